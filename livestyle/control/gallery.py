"""Pictures and short clips that the page takes: kept in memory, few and small, at addresses that nobody guesses.

Routes: ``/api/pictures`` and ``/api/clips`` (POST) take one, ``/shots/ID`` is the file, ``/shots/ID/qr.svg`` its
address as a QR code for a phone.
"""

import asyncio
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from livestyle.control.answers import answer_file, answer_json, refuse
from livestyle.control.preview import Preview, encode_png
from livestyle.control.qr import draw_qr
from livestyle.control.state import encode_json
from livestyle.errors import LivestyleError

MOST = 8  # shots that are kept; the oldest goes first
MOST_BYTES = 40_000_000  # of all shots together
ID_BYTES = 16  # of chance in the address of a shot


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture (PNG) or clip (MP4)."""

    id: str
    kind: str
    data: bytes

    @property
    def media_type(self) -> str:
        """As HTTP names it."""
        return "image/png" if self.kind == "picture" else "video/mp4"

    @property
    def name(self) -> str:
        """Of the file, for whoever saves it."""
        return f"livestyle-{self.id[:6]}.{'png' if self.kind == 'picture' else 'mp4'}"


class Shots:
    """The newest shots, at most `MOST` and `MOST_BYTES`. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, Shot] = {}

    def add(self, kind: str, data: bytes) -> Shot:
        """Keep one more; as many of the oldest are forgotten as it needs."""
        shot = Shot(secrets.token_urlsafe(ID_BYTES), kind, data)
        with self._lock:
            self._kept[shot.id] = shot
            while len(self._kept) > 1 and (len(self._kept) > MOST or self._size() > MOST_BYTES):
                del self._kept[next(iter(self._kept))]
        return shot

    def _size(self) -> int:
        return sum(len(shot.data) for shot in self._kept.values())

    def find(self, name: str) -> Shot | None:
        """The shot of an id."""
        return self._kept.get(name)

    def list(self) -> list[dict[str, object]]:
        """For the page's state: id, kind and bytes, the newest last."""
        with self._lock:
            return [{"id": shot.id, "kind": shot.kind, "bytes": len(shot.data)} for shot in self._kept.values()]


class Gallery:
    """Takes shots of ``preview``. ``address`` is the server's address for phones, "" when none can reach it."""

    def __init__(
        self,
        preview: Preview,
        record_clip: Callable[[threading.Event], bytes] | None,
        address: str,
        on_change: Callable[[], None],
    ) -> None:
        self.shots = Shots()
        self._preview = preview
        self._record_clip = record_clip
        self._address = address
        self._on_change = on_change
        self._recording = False
        self._drawing = asyncio.Lock()  # one PNG at a time: it takes a core for as long as it takes
        self._stop = threading.Event()
        self._worker = ThreadPoolExecutor(1, "page-clip")

    def routes(self) -> list[BaseRoute]:
        """What is served."""
        routes: list[BaseRoute] = [
            Route("/api/pictures", self._take_picture, methods=["POST"]),
            Route("/shots/{id}", self._get_shot, methods=["GET"]),
            Route("/shots/{id}/qr.svg", self._get_code, methods=["GET"]),
        ]
        if self._record_clip is not None:
            routes.append(Route("/api/clips", self._take_clip, methods=["POST"]))
        return routes

    def close(self) -> None:
        """Break off a clip that is being recorded."""
        self._stop.set()
        self._worker.shutdown()

    async def _take_picture(self, _: Request) -> Response:
        newest = self._preview.wait_newer(0, 0.0)
        if newest is None:
            return refuse("no picture has been painted yet", 503)
        async with self._drawing:
            data = await asyncio.to_thread(encode_png, newest[1])
        return self._keep("picture", data)

    async def _take_clip(self, _: Request) -> Response:
        assert self._record_clip is not None
        if self._recording:
            return refuse("a clip is being recorded already: one at a time", 409)
        self._recording = True
        try:
            data = await asyncio.get_running_loop().run_in_executor(self._worker, self._record_clip, self._stop)
        except LivestyleError as error:
            return refuse(str(error), 503)
        finally:
            self._recording = False
        return self._keep("clip", data)

    def _keep(self, kind: str, data: bytes) -> Response:
        shot = self.shots.add(kind, data)
        self._on_change()
        return answer_json(encode_json({"id": shot.id, "kind": shot.kind, "bytes": len(data)}), 201)

    async def _get_shot(self, request: Request) -> Response:
        shot = self.shots.find(request.path_params["id"])
        if shot is None:
            return refuse("this shot is gone: only the newest are kept", 404)
        return answer_file(request, shot.data, shot.media_type, shot.name)

    async def _get_code(self, request: Request) -> Response:
        shot = self.shots.find(request.path_params["id"])
        if shot is None or not self._address:
            return refuse("there is no code: no phone can reach this address", 404)
        return Response(draw_qr(f"{self._address}/shots/{shot.id}"), media_type="image/svg+xml")
