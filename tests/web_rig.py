"""The page's server with its board and its preview, and clients that talk to it."""

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import cv2
import numpy as np

from livestyle.control.access import Access
from livestyle.control.web import LOOPBACK, WebServer
from livestyle.controls import ControlBoard, Controls
from livestyle.media import Frame
from livestyle.sinks.web import PreviewSink

STYLES = ("starry_night", "great_wave", "scream", "udnie")
PNG = cv2.imencode(".png", np.zeros((4, 6, 3), np.uint8))[1].tobytes()


def make_frame(index: int, width: int = 64, height: int = 48, value: int = 0) -> Frame:
    pixels = np.full((height, width, 3), value, np.uint8)
    return Frame(pixels, index, index, Fraction(1, 30), time.monotonic())


def make_board() -> ControlBoard:
    return ControlBoard(Controls((("starry_night", 1.0),)), STYLES)


def make_report() -> dict[str, object]:
    return {"fps": 29.7, "frames_out": 12, "latency_ms": {"p50": 41.0, "p95": float("nan")}, "sinks": {"page": "live"}}


def fetch(request: urllib.request.Request) -> tuple[int, Any, bytes]:
    """Status, headers and body of what the server answers, good or bad."""
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


class Rig:
    """A server with its board and its preview."""

    def __init__(self, access: Access = LOOPBACK) -> None:
        self.board = make_board()
        self.preview = PreviewSink()
        self.server = WebServer(self.board, self.preview, make_report, access=access, port=0, thumbnails={"udnie": PNG})

    def get(self, path: str, **headers: str) -> tuple[int, Any, bytes]:
        return fetch(urllib.request.Request(self.server.url + path, headers=headers))

    def post(self, body: bytes, **headers: str) -> tuple[int, Any, bytes]:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return fetch(urllib.request.Request(self.server.url + "/api/command", body, headers, method="POST"))

    def command(self, text: str) -> tuple[int, dict[str, Any]]:
        status, _, body = self.post(json.dumps({"command": text}).encode())
        return status, json.loads(body)

    @property
    def socket_url(self) -> str:
        return self.server.url.replace("http", "ws") + "/ws"

    def raw(self, data: bytes) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.server.port), timeout=10)
        client.sendall(data)
        return client


class Viewer:
    """Reads the preview stream part by part."""

    def __init__(self, rig: Rig, query: str = "") -> None:
        self.answer = urllib.request.urlopen(rig.server.url + "/preview.mjpg" + query, timeout=10)

    def read(self) -> np.ndarray | None:
        """The next picture (RGB), None at the end of the stream."""
        length = 0
        while line := self.answer.readline():
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
            if line == b"\r\n" and length:
                data = self.answer.read(length)
                picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
                assert picture is not None
                return picture[..., ::-1]
        return None

    def close(self) -> None:
        self.answer.close()


def wait_until(check: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def read_to_the_end(link: Any) -> None:
    for _ in range(100):
        link.recv(10)
