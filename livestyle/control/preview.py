"""Pictures for the page: the newest frame as JPEG, encoded once for all viewers and only while somebody waits."""

import threading
from concurrent.futures import Future
from typing import Protocol

import cv2

from livestyle.media import Frame

JPEG_QUALITY = 80
POLL = 0.2  # s; how long one wait for a frame may keep a late viewer from its first picture

Picture = tuple[int, bytes]  # (serial of the frame, JPEG file)


class Preview(Protocol):
    """Where the newest frame is kept (`livestyle.sinks.web.PreviewSink`)."""

    def wait_newer(self, serial: int, timeout: float) -> tuple[int, Frame] | None:
        """(serial, newest frame) once its serial is above ``serial``; None after ``timeout`` seconds or when closed."""


def encode_jpeg(frame: Frame) -> bytes:
    """The frame as a JPEG file (BT.601 full range, 4:2:0) of quality `JPEG_QUALITY`."""
    bgr = cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return bytes(data)


def encode_png(frame: Frame) -> bytes:
    """The frame as a PNG file, lossless."""
    _, data = cv2.imencode(".png", cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2BGR))
    return bytes(data)


class JpegPump:
    """One thread that answers "give me a picture newer than n" for any number of viewers.

    A viewer asks again only when it has sent the last picture on, so a slow viewer skips frames and delays nobody.
    """

    def __init__(self, preview: Preview) -> None:
        self._preview = preview
        self._change = threading.Condition()
        self._waiting: dict[Future[Picture | None], int] = {}
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="page-jpeg", daemon=True)
        self._thread.start()

    def ask(self, serial: int) -> Future[Picture | None]:
        """A future of the newest picture once its serial is above ``serial``; None when the pump is closed."""
        future: Future[Picture | None] = Future()
        with self._change:
            if self._closed:
                future.set_result(None)
                return future
            self._waiting[future] = serial
            self._change.notify()
        return future

    def close(self, timeout: float) -> None:
        """Answer everybody with None and end the thread, at most ``timeout`` seconds from now."""
        with self._change:
            self._closed = True
            waiting, self._waiting = self._waiting, {}
            self._change.notify()
        for future in waiting:
            _resolve(future, None)
        self._thread.join(timeout)

    def _run(self) -> None:
        picture: Picture = (0, b"")
        while True:
            with self._change:
                self._change.wait_for(lambda: bool(self._waiting) or self._closed)
                if self._closed:
                    return
                oldest = min(self._waiting.values())
            newest = self._preview.wait_newer(oldest, POLL)
            if newest is None:
                self._rest()
                continue
            if newest[0] != picture[0]:
                picture = (newest[0], encode_jpeg(newest[1]))
            self._answer(picture)

    def _rest(self) -> None:
        """Forget viewers that left, and pause: a closed preview answers None at once and the thread would spin."""
        with self._change:
            for future in [future for future in self._waiting if future.cancelled()]:
                del self._waiting[future]
            self._change.wait_for(lambda: self._closed, 0.05)

    def _answer(self, picture: Picture) -> None:
        with self._change:
            ready = [future for future, serial in self._waiting.items() if serial < picture[0]]
            for future in ready:
                del self._waiting[future]
        for future in ready:
            _resolve(future, picture)


def _resolve(future: Future[Picture | None], picture: Picture | None) -> None:
    if future.set_running_or_notify_cancel():  # False when its viewer has gone
        future.set_result(picture)
