"""The page as a kiosk: what guests may do, when everything goes back to its beginning, and who may change the rest.

All of it is decided here and not in the browser. Phases: ``attract`` walks through the styles until somebody touches
the screen, ``guest`` lasts until nobody has done anything for a while, ``operator`` as long as the PIN has unlocked it.

Routes: ``/`` is the kiosk's page, ``/settings`` the usual one for the operator, ``/api/kiosk/begin`` and
``/api/kiosk/unlock`` (POST).
"""

import asyncio
import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from typing import Annotated

import msgspec
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from livestyle.control.guard import read_cookie, refuse
from livestyle.control.rates import Rates
from livestyle.control.state import encode_json
from livestyle.controls import ControlBoard
from livestyle.errors import ConfigError

STEP = 8.0  # s that a style shows before the next, while nobody is there
MORPH = 2.0  # s of that in which it becomes the next
WARNING = 10.0  # s before the end of a guest's time in which the page asks whether anybody is there
PIN_RATE = (1.0 / 120.0, 5.0)  # tries a second, and at once: six digits last four years
OPERATOR_TIME = 900.0  # s after which an unlocked screen locks itself, though guests go on touching it
GUEST_COMMANDS = frozenset({"style", "next", "previous"})
GUEST_POSTS = frozenset({"/api/command", "/api/pictures", "/api/kiosk/begin", "/api/kiosk/unlock"})
GUEST_PATHS = frozenset(
    {"/", "/kiosk.js", "/kiosk.css", "/link.js", "/pictures.js", "/icon.svg", "/pictures/painted", "/api/state", "/ws"}
)
GUEST_FOLDERS = ("/thumbnails/", "/shots/")
COOKIE = "livestyle-operator"
LOCKED = "this is locked: the operator unlocks it with the PIN"
ASSETS = {"/kiosk.js": "text/javascript", "/kiosk.css": "text/css", "/leave.js": "text/javascript"}
WAY_BACK = (  # for the operator, in the head of the usual page
    b'<a class="button quiet" id="leave" href="/">Lock and leave</a></header>'
    b'<script type="module" src="/leave.js"></script>'
)


class _Unlock(msgspec.Struct, forbid_unknown_fields=True):
    pin: Annotated[str, msgspec.Meta(max_length=100)]


class _Pin:
    """A PIN as scrypt leaves it: what is kept does not give it away."""

    def __init__(self, pin: str) -> None:
        self._salt = os.urandom(16)
        self._hash = self._digest(pin)

    def matches(self, pin: str) -> bool:
        """Takes 50 ms of a core, whatever the answer."""
        return hmac.compare_digest(self._digest(pin), self._hash)

    def _digest(self, pin: str) -> bytes:
        return hashlib.scrypt(pin.encode(errors="replace"), salt=self._salt, n=2**14, r=8, p=1)


class Kiosk:
    """The phases, the PIN and its sessions, on the server's loop. What ``board`` is at the start are the defaults."""

    def __init__(
        self, board: ControlBoard, *, idle: float, pin: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        """A guest's and an operator's time ends ``idle`` seconds after they did something. Without a ``pin`` nobody
        unlocks anything."""
        self._board = board
        self._defaults = board.controls
        self._idle = idle
        self._pin = _Pin(pin) if pin else None
        self._tries = Rates(PIN_RATE, PIN_RATE, clock)
        self._clock = clock
        self._operator = ""  # the session that is unlocked; one at a time
        self._unlocked = 0.0
        self._touched = 0.0
        self._due = clock() + STEP
        self.phase = "attract"

    def touch(self) -> None:
        """Somebody did something at the kiosk, or the operator in the settings."""
        if self.phase != "attract" and self._is_over():
            self._rest()  # whoever comes now is somebody else
        self._touched = self._clock()
        if self.phase == "attract":
            self.phase = "guest"
            self._board.restore(replace(self._defaults, mix=self._board.controls.mix))

    def is_operator(self, session: str) -> bool:
        """Whether ``session`` is the one that was unlocked and has not ended."""
        return bool(self._operator) and not self._is_over() and self._knows(session)

    def _knows(self, session: str) -> bool:
        return hmac.compare_digest(session.encode(errors="replace"), self._operator.encode())

    def _is_over(self) -> bool:
        """Whether the time of the guest, or of the operator, has ended."""
        now = self._clock()
        is_late = self.phase == "operator" and now - self._unlocked > OPERATOR_TIME
        return is_late or now - self._touched > self._idle

    def obey(self, text: str, session: str) -> None:
        """Run a command. Raises `ConfigError` for a wrong one, and for a guest's that is none of `GUEST_COMMANDS`."""
        if not self.is_operator(session) and text.strip().partition(" ")[0] not in GUEST_COMMANDS:
            raise ConfigError(LOCKED)
        self._board.run(text)
        self.touch()

    def tick(self) -> None:
        """Go on to whatever is due; to be called several times a second."""
        now = self._clock()
        if self.phase != "attract" and self._is_over():
            self._rest()
        elif self.phase == "attract" and now >= self._due:
            self._due = now + STEP
            self._board.restore(replace(self._board.controls, morph=MORPH))
            self._board.run("next")

    def lock(self, session: str) -> None:
        """The operator leaves: what is set now is what everything goes back to from now on."""
        if self.is_operator(session):
            self._defaults = self._board.controls
            self._rest()

    async def unlock(self, pin: str) -> str:
        """A new session for whoever knows the PIN. Raises `ConfigError` when it is wrong or was tried too often."""
        if self._pin is None:
            raise ConfigError("this kiosk has no PIN: nothing can be changed here")
        if wait := self._tries.spend(""):
            raise ConfigError(f"too many tries: wait {max(1, round(wait))} seconds")
        if not await asyncio.to_thread(self._pin.matches, pin):
            raise ConfigError("that is not the PIN")
        self.touch()
        self.phase = "operator"
        self._unlocked = self._clock()
        self._operator = secrets.token_urlsafe(16)
        return self._operator

    def _rest(self) -> None:
        self._operator = ""
        self.phase = "attract"
        self._due = self._clock() + STEP
        self._board.restore(self._defaults)

    def describe(self) -> dict[str, object]:
        """For the page: the phase, seconds that are left of it (None for ever), and whether there is a PIN."""
        left = None if self.phase == "attract" else max(0.0, self._idle - (self._clock() - self._touched))
        return {
            "phase": self.phase,
            "left": left,
            "warning": min(WARNING, self._idle / 2),
            "pin": self._pin is not None,
        }

    def routes(self) -> list[BaseRoute]:
        """The kiosk's own pages and requests."""
        page = files("livestyle.control") / "page"
        html = "text/html; charset=utf-8"
        self._page = (page / "kiosk.html").read_bytes()
        settings = (page / "index.html").read_bytes().replace(b"</header>", WAY_BACK, 1)
        return [
            Route("/", self._get_page, methods=["GET"]),
            Route("/settings", Response(settings, media_type=html), methods=["GET"]),
            Route("/api/kiosk/begin", self._post_begin, methods=["POST"]),
            Route("/api/kiosk/unlock", self._post_unlock, methods=["POST"]),
            *(
                Route(path, Response((page / path[1:]).read_bytes(), media_type=kind), methods=["GET"])
                for path, kind in ASSETS.items()
            ),
        ]

    async def _get_page(self, request: Request) -> Response:
        self.lock(read_session(request.scope))
        return Response(self._page, media_type="text/html; charset=utf-8")

    async def _post_begin(self, _: Request) -> Response:
        return Response(encode_json(self.describe()), media_type="application/json")  # the lock has seen the touch

    async def _post_unlock(self, request: Request) -> Response:
        try:
            asked = msgspec.json.decode(await request.body(), type=_Unlock)
            session = await self.unlock(asked.pin)
        except ConfigError as error:
            return refuse(request.scope, 403, str(error))
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return refuse(request.scope, 400, 'send JSON such as {"pin": "123456"}')
        answer = Response(encode_json({"settings": "/settings"}), media_type="application/json")
        answer.set_cookie(cookie_name(request.scope), session, httponly=True, samesite="strict")
        return answer


class KioskLock:
    """ASGI middleware behind the guard: guests reach only what the kiosk's page needs, whatever routes there are."""

    def __init__(self, app: ASGIApp, kiosk: Kiosk) -> None:
        self._app = app
        self._kiosk = kiosk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        posts = scope.get("method", "GET") not in ("GET", "HEAD")
        if not self._kiosk.is_operator(read_session(scope)) and not _is_for_guests(scope["path"], posts):
            if scope["path"] == "/settings":
                await RedirectResponse("/", 303)(scope, receive, send)
                return
            await refuse(scope, 403, LOCKED)(scope, receive, send)
            return
        if posts and scope["path"] != "/api/kiosk/unlock":
            self._kiosk.touch()
        await self._app(scope, receive, send)


def _is_for_guests(path: str, posts: bool) -> bool:
    if posts:
        return path in GUEST_POSTS
    return path in GUEST_PATHS or path.startswith(GUEST_FOLDERS)


def cookie_name(scope: Scope) -> str:
    """Of the operator's session; cookies do not tell ports apart."""
    return f"{COOKIE}-{(scope.get('server') or ('', 0))[1]}"


def read_session(scope: Scope) -> str:
    """The operator's session that a request or a WebSocket shows, "" for none."""
    return read_cookie(Headers(scope=scope), cookie_name(scope))
