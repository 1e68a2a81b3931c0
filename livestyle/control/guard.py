"""What every request to the page's server must pass, whatever its route: who asks, from where, how much, how often.

Met are other web sites in a browser on this computer, which could post commands (refused by their Origin, see
https://owasp.org/www-community/attacks/csrf) or rebind a name of theirs to it (refused by their Host), other people in
the network (refused without the token), and floods (counted for each client and for all).
"""

import asyncio
import re
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from livestyle.control.access import Access, client_key
from livestyle.control.rates import Rates

MESSAGE_LIMIT = 64 * 1024  # bytes of a request body or a WebSocket message
SHARED = "/shots/"  # what lies below is fetched without the token: each name there is a secret of its own
RATE_OF_ONE = (120.0, 360.0)  # requests and WebSocket messages a second, and at once; a slider sends 60 to 120
RATE_OF_ALL = (300.0, 720.0)
# in requests, of those that take some 25 ms of a core, as a PNG of 1280x720 does
COSTS = {"/snapshot.png": 20.0, "/api/pictures": 20.0, "/api/clips": 60.0}
PICTURES, DRAWN = (
    "/pictures/",
    0.1,
)  # a page that shows pictures says of each that it is drawn, which costs next to nothing
PENANCE = 1.0  # s that a client which asks too often waits for the answer that says so
HOST = re.compile(r"(\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(:[0-9]{1,5})?")
COOKIE = "livestyle"
COOKIE_AGE = 30 * 86400  # s

SAFE_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
        "connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}

# reloads from our own page, so that the cookie goes along although the address was opened from another site or program
WELCOME = """<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/">
<title>livestyle</title><a href="/">livestyle</a></html>"""


class _TooLargeError(Exception):
    """A body is longer than its route takes."""


class Guard:
    """ASGI middleware in front of every route.

    Programs that are not browsers send no Origin and pass; a browser always sends it with a POST or a WebSocket. A
    token is taken as ``Authorization: Bearer TOKEN``, or once as ``/?token=TOKEN``, which is answered with a cookie.
    """

    def __init__(self, app: ASGIApp, access: Access, limits: Mapping[str, int] | None = None) -> None:
        """``limits`` are bytes of a request's body by path, for those that take more than `MESSAGE_LIMIT`."""
        self._app = app
        self._access = access
        self._limits = {} if limits is None else limits
        self._rates = Rates(RATE_OF_ONE, RATE_OF_ALL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        client = client_key((scope.get("client") or ("",))[0])
        answer = await self._judge(scope, client)
        if scope["type"] == "websocket":
            if answer is not None:
                await send({"type": "websocket.close", "code": 1008})
                return
            await self._app(scope, self._slow_down(scope, receive, client), send)
            return
        state = {"started": False}

        async def send_safe(message: Message) -> None:
            if message["type"] == "http.response.start":
                state["started"] = True
                MutableHeaders(scope=message).update(SAFE_HEADERS)
            await send(message)

        if answer is not None:
            await answer(scope, receive, send_safe)
            return
        limit = self._limits.get(scope["path"], MESSAGE_LIMIT)
        try:
            await self._app(scope, _measure(receive, limit), send_safe)
        except _TooLargeError:
            if not state["started"]:
                await _too_large(scope, limit)(scope, receive, send_safe)

    async def _judge(self, scope: Scope, client: str) -> Response | None:
        """The answer to a request that goes no further; None lets it pass."""
        if self._rates.spend(client, COSTS.get(scope["path"], 1.0)):
            await asyncio.sleep(PENANCE)
            return refuse(scope, 429, "livestyle is asked too often: wait a moment", {"retry-after": "1"})
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._access.knows(_name_of(host)):
            return refuse(
                scope, 403, "livestyle answers only when called by the name of this computer, such as http://localhost"
            )
        if _is_foreign(scope, headers, host):
            return refuse(scope, 403, "livestyle takes commands only from its own page")
        length = headers.get("content-length", "0")
        limit = self._limits.get(scope["path"], MESSAGE_LIMIT)
        if not length.isdecimal() or len(length) > 18 or int(length) > limit:
            return _too_large(scope, limit)
        return self._ask_token(scope, headers)

    def _ask_token(self, scope: Scope, headers: Headers) -> Response | None:
        if not self._access.token:
            return None
        method = scope.get("method", "GET")
        if method in ("GET", "HEAD") and scope["type"] == "http" and scope["path"].startswith(SHARED):
            return None
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if method == "GET" and scope["type"] == "http" and scope["path"] == "/" and self._access.accepts(given):
            welcome = HTMLResponse(WELCOME)
            welcome.set_cookie(
                self._cookie(scope), self._access.pass_key, max_age=COOKIE_AGE, httponly=True, samesite="strict"
            )
            return welcome
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._access.accepts(token.strip()):
            return None
        if self._access.accepts_pass(read_cookie(headers, self._cookie(scope))):
            return None
        return refuse(
            scope,
            401,
            "livestyle asks for its token: open the address, or scan the code, that it shows at its start",
            {"www-authenticate": "Bearer"},
        )

    @staticmethod
    def _cookie(scope: Scope) -> str:
        """Cookies do not tell ports apart: two livestyles on one computer would lock each other's pages out."""
        return f"{COOKIE}-{(scope.get('server') or ('', 0))[1]}"

    def _slow_down(self, scope: Scope, receive: Receive, client: str) -> Receive:
        """Messages no faster than the rate: uvicorn reads no more of a client until its last message is taken."""

        cost = DRAWN if scope["path"].startswith(PICTURES) else 1.0

        async def receive_slowly() -> Message:
            message = await receive()
            while message["type"] == "websocket.receive" and (wait := self._rates.spend(client, cost)):
                await asyncio.sleep(wait)
            return message

        return receive_slowly


def _is_foreign(scope: Scope, headers: Headers, host: str) -> bool:
    """Whether another web site's page asks; it may do nothing but lead here."""
    site = headers.get("sec-fetch-site", "none")
    if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
        return site not in ("same-origin", "none") and headers.get("sec-fetch-mode") != "navigate"
    return headers.get("origin", f"http://{host}") != f"http://{host}" or site not in ("same-origin", "none")


def _measure(receive: Receive, limit: int) -> Receive:
    """``receive`` of a body that may have ``limit`` bytes; longer ones raise `_TooLargeError`."""
    size = 0

    async def receive_measured() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise _TooLargeError
        return message

    return receive_measured


def refuse(scope: Scope, status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    """One line, as JSON where programs ask. The connection ends: whatever else is on its way is not read."""
    extra = {"connection": "close", **(headers or {})}
    if scope["path"].startswith("/api/"):
        return Response(msgspec.json.encode({"error": text}), status, extra, "application/json")
    return PlainTextResponse(text, status, extra)


def _too_large(scope: Scope, limit: int) -> Response:
    return refuse(scope, 413, f"that is too large: at most {limit} bytes are taken")


def _name_of(host: str) -> str:
    """The name in a Host header, lower case, without port and brackets; "" when it cannot be read."""
    found = HOST.fullmatch(host.lower())
    return (found["v6"] or found["name"]) if found else ""


def read_cookie(headers: Headers, name: str) -> str:
    """The value of a cookie, "" when there is none."""
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return "" if morsel is None else morsel.value
