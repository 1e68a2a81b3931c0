"""Live pictures: ``/pictures/KIND`` (WebSocket) for the page, ``/preview.mjpg`` and ``/snapshot.png`` for anybody.

KIND is ``painted``, ``source`` or ``wall``. Each kind has one pump, which encodes for all viewers and rests while there
are none. The page's pictures come over a socket because it can say when it has drawn one: motion JPEG in an ``<img>``
piles up in the browser as soon as that is slower than the stream (measured on a busy computer: seven pictures, 0.17 s).
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from livestyle.control.parts import PageParts
from livestyle.control.preview import JpegPump, Preview, encode_png

MOST_VIEWERS = 32  # of pictures of any kind at the same time
PREVIEW_FPS = 30
PREVIEW_FPS_LIMIT = 60
SOCKET_FPS = 40  # the most; above 30, or a stream of 30 with a little jitter would wait for its own limit
UNDRAWN = 2  # pictures on their way to one page: one that is drawn, one that crosses the network meanwhile


class Streams:
    """Pictures for any number of viewers, from the construction until `close`."""

    def __init__(self, preview: Preview, parts: PageParts) -> None:
        self.viewers = 0  # of pictures of any kind
        self._preview = preview
        kinds = {"painted": preview, "source": parts.source, "wall": parts.wall}
        self._pumps = {kind: JpegPump(view) for kind, view in kinds.items() if view is not None}

    def routes(self) -> list[BaseRoute]:
        """What is served."""
        return [
            Route("/preview.mjpg", self._get_preview),
            Route("/snapshot.png", self._get_snapshot),
            WebSocketRoute("/pictures/{kind}", self._show),
        ]

    def close(self, timeout: float) -> None:
        """End every stream and the pumps, each within ``timeout`` seconds."""
        for pump in self._pumps.values():
            pump.close(timeout)

    async def _get_snapshot(self, _: Request) -> Response:
        newest = self._preview.wait_newer(0, 0.0)
        if newest is None:
            return Response("no picture has been painted yet", 503, media_type="text/plain")
        frame = newest[1]
        name = f"livestyle-{frame.index:06d}.png"
        data = await asyncio.to_thread(encode_png, frame)
        return Response(data, media_type="image/png", headers={"content-disposition": f'inline; filename="{name}"'})

    async def _get_preview(self, request: Request) -> Response:
        text = request.query_params.get("fps", str(PREVIEW_FPS))
        if not text.isdecimal() or len(text) > 3 or not 1 <= int(text) <= PREVIEW_FPS_LIMIT:
            return Response(f"fps goes from 1 to {PREVIEW_FPS_LIMIT}", 400, media_type="text/plain")
        media_type = "multipart/x-mixed-replace; boundary=frame"
        if request.method == "HEAD":
            return Response(media_type=media_type)
        if self.viewers >= MOST_VIEWERS:
            return Response(f"{MOST_VIEWERS} others watch already", 503, media_type="text/plain")
        return StreamingResponse(self._parts(int(text)), media_type=media_type)

    async def _parts(self, fps: int) -> AsyncGenerator[bytes, None]:
        """Motion JPEG: each part ends with the next boundary, or browsers would show every picture one late."""
        yield b"--frame\r\n"
        async with contextlib.aclosing(self._pictures("painted", fps)) as pictures:
            async for data in pictures:
                yield b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n--frame\r\n" % (len(data), data)

    async def _pictures(self, kind: str, fps: int) -> AsyncGenerator[bytes, None]:
        """JPEG files, the newest each time one is taken, until the pump is closed."""
        self.viewers += 1
        try:
            serial = 0
            while True:
                due = time.monotonic() + 1.0 / fps
                picture = await asyncio.wrap_future(self._pumps[kind].ask(serial))
                if picture is None:
                    return
                serial, data = picture
                yield data
                await asyncio.sleep(max(0.0, due - time.monotonic()))
        finally:
            self.viewers -= 1

    async def _show(self, websocket: WebSocket) -> None:
        """Send pictures, at most `UNDRAWN` that the page has not drawn; any message from it says that it drew one."""
        kind = websocket.path_params["kind"]
        if kind not in self._pumps:
            await websocket.close(1008, "there are no such pictures")
            return
        if self.viewers >= MOST_VIEWERS:
            await websocket.close(1013, f"{MOST_VIEWERS} others watch already")
            return
        await websocket.accept()
        room = asyncio.BoundedSemaphore(UNDRAWN)
        tasks = [asyncio.create_task(self._send(websocket, kind, room)), asyncio.create_task(_hear(websocket, room))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self, websocket: WebSocket, kind: str, room: asyncio.BoundedSemaphore) -> None:
        try:
            async with contextlib.aclosing(self._pictures(kind, SOCKET_FPS)) as pictures:
                await room.acquire()
                async for data in pictures:
                    await websocket.send_bytes(data)
                    await room.acquire()
            await websocket.close(1001, "livestyle stops")
        except (WebSocketDisconnect, RuntimeError):
            return  # the client has gone


async def _hear(websocket: WebSocket, room: asyncio.BoundedSemaphore) -> None:
    while (await websocket.receive())["type"] != "websocket.disconnect":
        with contextlib.suppress(ValueError):  # it says that it drew more than it got
            room.release()
