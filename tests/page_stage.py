"""The page's server with a board and a picture that moves, and what tests of the page ask of it."""

import functools
import json
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
from browser import Browser

from livestyle.control.access import Access
from livestyle.control.parts import PageParts
from livestyle.control.web import LOOPBACK, WebServer
from livestyle.controls import ControlBoard, Controls
from livestyle.live.clip import record_clip
from livestyle.live.regions import DrawnMask
from livestyle.media import Frame
from livestyle.presets import Presets
from livestyle.sinks.web import PreviewSink

STYLES = ("starry_night", "great_wave", "scream", "udnie")
ORANGE = (240, 150, 20)
BLUE = (20, 60, 200)  # of the source
TILES = ((250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0))  # of the wall
REPORT: dict[str, object] = {
    "frames_in": 1820,
    "frames_out": 1804,
    "dropped": 16,
    "repeated": 3,
    "fps": 29.73,
    "latency_ms": {"p50": 41.2, "p95": 55.0},
    "stages_ms": {"encode": {"p50": 12.2, "p95": 16.8}, "decode": {"p50": 9.9, "p95": 12.1}},
    "switches": 7,
    "reconnects": 1,
    "source": "camera 0",
    "sinks": {"virtual camera": "live", "rtmp": "stalled, trying again"},
}


class CountingSink(PreviewSink):
    """Counts how often somebody looked."""

    looks = 0

    def wait_newer(self, serial: int, timeout: float) -> tuple[int, Frame] | None:
        self.looks += 1
        return super().wait_newer(serial, timeout)


class Stage:
    """A server with a board and a picture that is painted 20 times a second, and all that the page can show beside."""

    def __init__(
        self,
        port: int = 0,
        access: Access = LOOPBACK,
        presets: Presets | None = None,
        styles: tuple[str, ...] = STYLES,
    ) -> None:
        controls = Controls((("starry_night", 1.0),))
        self.board = ControlBoard(controls, styles, masks=("my mask.png", "painted"), presets=presets)
        self.report = dict(REPORT)
        self.preview, self.sources, self.wall = CountingSink(), CountingSink(), CountingSink()
        self.mask = DrawnMask()
        thumbnail = cv2.imencode(".jpg", np.full((40, 64, 3), 90, np.uint8))[1].tobytes()
        self.server = WebServer(
            self.board,
            self.preview,
            lambda: self.report,
            access=access,
            port=port,
            thumbnails={"starry_night": thumbnail},
            parts=PageParts(
                source=self.sources,
                wall=self.wall,
                draw_mask=self.mask.draw,
                record_clip=functools.partial(record_clip, self.preview, seconds=0.6),
            ),
            **self.options(),
        )
        self._stop = threading.Event()
        self._painter = threading.Thread(target=self._paint, name="painter")
        self._painter.start()

    def options(self) -> dict[str, Any]:
        """What else the server is made with."""
        return {}

    def _paint(self) -> None:
        painted, source = (np.full((90, 160, 3), color, np.uint8) for color in (ORANGE, BLUE))
        wall = np.concatenate([np.full((54, 96, 3), color, np.uint8) for color in TILES], axis=1)
        index = 0
        while not self._stop.wait(0.05):
            for sink, pixels in ((self.preview, painted), (self.sources, source), (self.wall, wall)):
                sink.write(Frame(pixels, index, index, Fraction(1, 20), time.monotonic()))
            index += 1

    def close(self) -> None:
        self._stop.set()
        self._painter.join()
        self.server.close()
        for sink in (self.preview, self.sources, self.wall):
            sink.close()


def addresses(log: list[dict[str, Any]]) -> Iterator[str]:
    """What was asked of the network; what Chromium asks itself for its own pages (chrome://) is left out."""
    yield from (url for url in _asked(log) if not url.startswith("chrome://"))


def _asked(log: list[dict[str, Any]]) -> Iterator[str]:
    for entry in log:
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            yield message["params"]["request"]["url"]
        if message["method"] == "Network.webSocketCreated":
            yield message["params"]["url"]


def pressed(style: str) -> str:
    return f"return document.querySelector('[data-style={style}]').getAttribute('aria-pressed')"


def drag(page: Browser, slider: str, value: int) -> None:
    page.run(f"const s = document.getElementById('{slider}'); s.value = {value}; s.dispatchEvent(new Event('input'))")
