"""The page's server: live preview, state and commands, in a thread of its own.

Routes: ``/`` and its assets, ``/thumbnails/NAME``, ``/api/state``, ``/api/commands``, ``/api/command`` (POST) and
``/ws``; those of live pictures are in `streams`, of snapshots and clips in `gallery`, of the painted mask in `drawing`,
of buttons in `deck`. The page's files are read once at the start and thumbnails are looked up by style, so that no path
from a request ever meets the file system. `livestyle.control.guard` stands in front of every route,
`livestyle.control.doors` in front of every connection.
"""

import asyncio
import threading
import time
from collections.abc import Mapping
from importlib.resources import files
from types import TracebackType
from typing import Annotated

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Scope
from starlette.websockets import WebSocket, WebSocketDisconnect

from livestyle.control.access import Access
from livestyle.control.answers import answer_json, refuse
from livestyle.control.deck import TokenInAddress, make_routes
from livestyle.control.doors import BACKLOG, Doors, listen
from livestyle.control.drawing import mask_route
from livestyle.control.gallery import Gallery
from livestyle.control.guard import MESSAGE_LIMIT, Guard
from livestyle.control.kiosk import Kiosk, KioskLock, read_session
from livestyle.control.parts import PREVIEW_ALONE, PageParts
from livestyle.control.preview import Preview
from livestyle.control.state import Report, encode_json, list_commands, read_state
from livestyle.control.streams import Streams
from livestyle.controls import ControlBoard
from livestyle.errors import ConfigError

DEFAULT_PORT = 8765
PUSH_INTERVAL = 0.25  # s between states on /ws when nothing changes
WATCH_INTERVAL = 0.05  # s; how soon a change made by another front end shows on the page
SWEEP_INTERVAL = 0.5  # s between looks for clients that hold a connection for nothing
HEAD_LIMIT = 16 * 1024  # bytes of a request's head; all cookies of this computer's other servers come along
LOOPBACK = Access()

SCRIPTS = (
    *("advice.js", "app.js", "brush.js", "compare.js", "keys.js", "link.js", "looks.js", "mixer.js", "pad.js"),
    *("pictures.js", "plot.js", "presets.js", "regions.js", "shots.js", "sliders.js", "wall.js"),
)
ASSETS = {
    "/": ("index.html", "text/html; charset=utf-8"),
    **{f"/{name}": (name, "text/javascript; charset=utf-8") for name in SCRIPTS},
    "/app.css": ("app.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    command: Annotated[str, msgspec.Meta(max_length=1000)]


class WebServer:
    """Serves the page from its construction until `close`; commands go to ``board``, pictures come from ``preview``."""

    def __init__(
        self,
        board: ControlBoard,
        preview: Preview,
        report: Report,
        *,
        access: Access = LOOPBACK,
        port: int = DEFAULT_PORT,
        thumbnails: Mapping[str, bytes] | None = None,
        kiosk: Kiosk | None = None,
        parts: PageParts = PREVIEW_ALONE,
    ) -> None:
        """Bind and start. ``report`` gives the live report, as often as four times a second, and must not block.

        ``port`` 0 takes any free one. ``thumbnails`` maps style names, and ``look/NAME``, to JPEG or PNG files;
        ``parts`` are what the page can do beside. Raises `ConfigError` when the port cannot be had.
        """
        self._board = board
        self._report = report
        self._kiosk = kiosk
        self._thumbnails = {} if thumbnails is None else thumbnails
        self._stop = threading.Event()
        self._parts = parts
        self._subscribers: set[asyncio.Event] = set()
        self._state = ""
        self._shown = board.controls
        self._due = 0.0
        self._socket = listen(access.host, port)
        self.port: int = self._socket.getsockname()[1]
        self._access = access
        self.url = f"http://{access.address}:{self.port}"
        self._phone_url = self.url if access.token else ""  # without a token only this computer is answered
        self._streams = Streams(preview, parts)
        self._gallery = Gallery(preview, parts.record_clip, self._phone_url, self._publish)
        middleware = [Middleware(TokenInAddress), Middleware(Guard, access=access)]
        if kiosk is not None:
            middleware.append(Middleware(KioskLock, kiosk=kiosk))
        self._app = Starlette(routes=self._routes(), middleware=middleware)
        self._doors = Doors()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="page", daemon=True)
        self._thread.start()

    @property
    def viewers(self) -> int:
        """How many clients watch the preview stream."""
        return self._streams.viewers

    def close(self) -> None:
        """End every stream and the server, within two seconds. May be called twice."""
        self._stop.set()
        self._streams.close(0.3)
        self._gallery.close()
        self._thread.join(1.7)

    def __enter__(self) -> "WebServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _routes(self) -> list[BaseRoute]:
        page = files("livestyle.control") / "page"
        routes: list[BaseRoute] = [
            Route(path, Response((page / name).read_bytes(), media_type=media_type), methods=["GET"])
            for path, (name, media_type) in ASSETS.items()
        ]
        return [
            *([] if self._kiosk is None else self._kiosk.routes()),  # its page comes before the usual one
            *routes,
            Route("/api/commands", answer_json(encode_json(list_commands())), methods=["GET"]),
            Route("/api/state", self._get_state),
            Route("/api/command", self._post_command, methods=["POST"]),
            *make_routes(self._access, self._run_line),
            Route("/thumbnails/{name:path}", self._get_thumbnail),
            WebSocketRoute("/ws", self._talk),
            *self._streams.routes(),
            *self._gallery.routes(),
            *([] if self._parts.draw_mask is None else [mask_route(self._parts.draw_mask)]),
        ]

    async def _serve(self) -> None:
        config = uvicorn.Config(
            self._app,
            loop="asyncio",
            backlog=BACKLOG,
            http=self._doors.protocol,
            h11_max_incomplete_event_size=HEAD_LIMIT,
            ws="websockets-sansio",
            ws_max_size=MESSAGE_LIMIT,
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
            log_level="critical",  # a client that goes away is no news, and a traceback is not for users
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        watching = asyncio.create_task(self._watch(server))
        await server.serve(sockets=[self._socket])
        for connection in list(server.server_state.connections):  # clients that would not read to the end
            if connection.transport is not None:
                connection.transport.abort()
        await watching
        await asyncio.sleep(0)  # let the aborted transports close

    async def _watch(self, server: uvicorn.Server) -> None:
        """Push the state when anybody changed the controls, and every `PUSH_INTERVAL`; end the server on `close`."""
        swept = time.monotonic()
        try:
            while not self._stop.is_set():
                await asyncio.sleep(WATCH_INTERVAL)
                if time.monotonic() - swept > SWEEP_INTERVAL:
                    self._doors.sweep(server.server_state.connections)
                    swept = time.monotonic()
                if self._kiosk is not None:
                    self._kiosk.tick()
                changed = self._board.controls is not self._shown
                if self._subscribers and (changed or time.monotonic() >= self._due):
                    self._publish()
        finally:
            server.should_exit = True
            for subscriber in self._subscribers:
                subscriber.set()

    def _publish(self) -> None:
        self._shown = self._board.controls
        self._state = self._encode_state().decode()
        self._due = time.monotonic() + PUSH_INTERVAL
        for subscriber in self._subscribers:
            subscriber.set()

    def _encode_state(self) -> bytes:
        state = read_state(self._board, self._report)
        state["thumbnails"] = sorted(self._thumbnails)
        if self._kiosk is not None:
            state["kiosk"] = self._kiosk.describe()
        state["shots"] = [] if self._kiosk else self._gallery.shots.list()  # guests do not see each other's
        state["page"] = {
            "source": self._parts.source is not None,
            "wall": self._parts.wall is not None,
            "mask": self._parts.draw_mask is not None,
            "clips": self._parts.record_clip is not None,
            "phones": bool(self._phone_url),
        }
        return encode_json(state)

    def _obey(self, message: bytes | str, scope: Scope) -> str:
        """Run the command of a ``{"command": TEXT}`` message; the one line that says what is wrong, "" when done."""
        try:
            command = msgspec.json.decode(message, type=_Request).command
            if self._kiosk is None:
                self._board.run(command)
            else:
                self._kiosk.obey(command, read_session(scope))
        except ConfigError as error:
            return str(error)
        except (msgspec.DecodeError, UnicodeError, RecursionError):  # the last where brackets are nested by the hundred
            return 'send JSON such as {"command": "style udnie"}'
        self._publish()
        return ""

    def _run_line(self, line: str) -> Response:
        try:
            self._board.run(line)
        except ConfigError as error:
            return refuse(str(error), 400)
        self._publish()
        return answer_json(self._state.encode())

    async def _get_state(self, _: Request) -> Response:
        return answer_json(self._encode_state())

    async def _post_command(self, request: Request) -> Response:
        problem = self._obey(await request.body(), request.scope)
        if problem:
            return refuse(problem, 400)
        return answer_json(self._state.encode())  # as `_obey` has just told all

    async def _get_thumbnail(self, request: Request) -> Response:
        data = await asyncio.to_thread(self._thumbnails.get, request.path_params["name"])
        if data is None:
            return Response("there is no such thumbnail", 404, media_type="text/plain")
        return Response(data, media_type="image/png" if data.startswith(b"\x89PNG") else "image/jpeg")

    async def _talk(self, websocket: WebSocket) -> None:
        await websocket.accept()
        news = asyncio.Event()
        self._subscribers.add(news)
        self._publish()
        tasks = [asyncio.create_task(self._tell(websocket, news)), asyncio.create_task(self._hear(websocket))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._subscribers.discard(news)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _tell(self, websocket: WebSocket, news: asyncio.Event) -> None:
        """Send the newest state on every change; a client that reads slowly skips states."""
        try:
            while True:
                await news.wait()
                news.clear()
                if self._stop.is_set():
                    await websocket.close(1001, "livestyle stops")
                    return
                await websocket.send_text(self._state)
        except (WebSocketDisconnect, RuntimeError):
            return  # the client has gone; `_hear` ends too

    async def _hear(self, websocket: WebSocket) -> None:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            problem = self._obey(message.get("text") or message.get("bytes") or b"", websocket.scope)
            if problem:
                await websocket.send_text(encode_json({"error": problem}).decode())
