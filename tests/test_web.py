"""The page's server, with real HTTP and WebSocket clients; and the preview sink behind it."""

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from livestyle.control.web import MESSAGE_LIMIT, WebServer
from livestyle.controls import COMMANDS, ControlBoard, Controls
from livestyle.errors import ConfigError, SinkError
from livestyle.media import AudioPacket, Frame
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


class Rig:
    """A server with its board and its preview."""

    def __init__(self) -> None:
        self.board = make_board()
        self.preview = PreviewSink()
        self.server = WebServer(self.board, self.preview, make_report, port=0, thumbnails={"udnie": PNG})

    def get(self, path: str, **headers: str) -> tuple[int, Any, bytes]:
        return self.ask(urllib.request.Request(self.server.url + path, headers=headers))

    def post(self, body: bytes, **headers: str) -> tuple[int, Any, bytes]:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask(urllib.request.Request(self.server.url + "/api/command", body, headers, method="POST"))

    def command(self, text: str) -> tuple[int, dict[str, Any]]:
        status, _, body = self.post(json.dumps({"command": text}).encode())
        return status, json.loads(body)

    def ask(self, request: urllib.request.Request) -> tuple[int, Any, bytes]:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    @property
    def socket_url(self) -> str:
        return self.server.url.replace("http", "ws") + "/ws"

    def raw(self, data: bytes) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.server.port), timeout=10)
        client.sendall(data)
        return client


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.server.close()
    rig.preview.close()


def wait_until(check: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


# ---- the sink


def test_the_sink_keeps_the_newest_frame() -> None:
    with PreviewSink() as sink:
        assert sink.wait_newer(0, 0.0) is None
        for index in range(5):
            sink.write(make_frame(index))
        newest = sink.wait_newer(0, 0.0)
        assert newest is not None
        assert newest[0] == 5
        assert newest[1].index == 4
        assert sink.wait_newer(5, 0.01) is None
        sink.interrupt()
        sink.write_audio(AudioPacket(b"", 0, 0, Fraction(1, 1000)))


def test_the_sink_wakes_its_waiters_on_write_and_on_close() -> None:
    sink = PreviewSink()
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(sink.wait_newer(0, 20.0))) for _ in range(3)]
    for thread in threads:
        thread.start()
    sink.write(make_frame(0))
    for thread in threads:
        thread.join(5)
    assert [item is not None for item in found] == [True] * 3
    waiter = threading.Thread(target=lambda: found.append(sink.wait_newer(1, 20.0)))
    waiter.start()
    sink.close()
    sink.close()
    waiter.join(5)
    assert found[-1] is None
    assert sink.wait_newer(0, 20.0) is None
    with pytest.raises(SinkError):
        sink.write(make_frame(1))


# ---- page and assets


def test_the_page_and_its_assets_are_served_and_name_nothing_external(rig: Rig) -> None:
    for path, kind in [("/", "html"), ("/app.js", "javascript"), ("/app.css", "css"), ("/icon.svg", "svg")]:
        status, headers, body = rig.get(path)
        assert status == 200
        assert kind in headers["content-type"]
        assert "default-src 'none'" in headers["content-security-policy"]
        external = body.replace(b"http://www.w3.org/2000/svg", b"")
        assert b"http://" not in external
        assert b"https://" not in external


@pytest.mark.parametrize(
    "path",
    [
        "/missing",
        "/../web.py",
        "/page/../web.py",
        "/%2e%2e/web.py",
        "/thumbnails/../../etc/passwd",
        "/thumbnails/%2fetc%2fpasswd",
        "/thumbnails/scream",
        "//etc/passwd",
    ],
)
def test_no_path_reaches_the_file_system(rig: Rig, path: str) -> None:
    with rig.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()) as client:
        assert client.recv(4096).startswith(b"HTTP/1.1 404")


def test_thumbnails_and_commands(rig: Rig) -> None:
    status, headers, body = rig.get("/thumbnails/udnie")
    assert (status, headers["content-type"], body) == (200, "image/png", PNG)
    table = {entry["name"]: entry for entry in json.loads(rig.get("/api/commands")[2])}
    assert list(table) == list(COMMANDS)
    assert table["freeze"]["keys"] == ["space"]


# ---- state and commands


def test_state_is_controls_styles_and_report(rig: Rig) -> None:
    status, _, body = rig.get("/api/state")
    state = json.loads(body)
    assert status == 200
    assert state["controls"]["mix"] == [["starry_night", 1.0]]
    assert state["styles"] == list(STYLES)
    assert state["thumbnails"] == ["udnie"]
    assert state["report"]["fps"] == 29.7
    assert state["report"]["latency_ms"] == {"p50": 41.0, "p95": None}  # JSON knows no NaN


def test_a_posted_command_changes_the_board(rig: Rig) -> None:
    status, state = rig.command("style scream:0.5,udnie:0.5")
    assert status == 200
    assert state["controls"]["mix"] == [["scream", 0.5], ["udnie", 0.5]]
    assert rig.board.controls.mix == (("scream", 0.5), ("udnie", 0.5))


@pytest.mark.parametrize("text", ["style udnei", "dance", "", "strength nan", "freeze perhaps", "next 3"])
def test_a_wrong_command_is_400_with_one_line(rig: Rig, text: str) -> None:
    before = rig.board.controls
    status, answer = rig.command(text)
    assert status == 400
    assert answer["error"]
    assert "\n" not in answer["error"]
    assert rig.board.controls is before


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"command": 3}', b'{"other": "next"}', b"\xff\xfe", b'{"command": "%b"}' % (b"x" * 2000)],
)
def test_a_body_that_is_no_command_is_400(rig: Rig, body: bytes) -> None:
    status, _, answer = rig.post(body)
    assert status == 400
    assert "error" in json.loads(answer)


def test_a_body_too_large_is_refused(rig: Rig) -> None:
    assert rig.post(b" " * (MESSAGE_LIMIT + 1))[0] == 413
    assert rig.get("/api/command")[0] == 405


# ---- who may ask


def test_names_of_other_computers_are_refused(rig: Rig) -> None:
    for host in ["evil.example", "evil.example:8765", "localhost.evil.example", "127.0.0.1.evil.example", "", "[", "0"]:
        assert rig.get("/api/state", Host=host)[0] == 403
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1:8765", "[::1]:8765"]:
        assert rig.get("/api/state", Host=host)[0] == 200


def test_commands_from_other_origins_are_refused(rig: Rig) -> None:
    body = b'{"command": "style udnie"}'
    port = rig.server.port
    for origin in ["http://evil.example", "null", f"http://127.0.0.1:{port + 1}", f"https://127.0.0.1:{port}"]:
        assert rig.post(body, Origin=origin)[0] == 403
    assert rig.post(body, Sec_Fetch_Site="cross-site")[0] == 403
    assert rig.board.controls.style == "starry_night"
    assert rig.post(body, Origin=rig.server.url, Sec_Fetch_Site="same-origin")[0] == 200
    assert rig.board.controls.style == "udnie"


def test_pictures_cannot_be_embedded_elsewhere(rig: Rig) -> None:
    _, headers, _ = rig.get("/api/state")
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_a_socket_from_another_origin_is_refused(rig: Rig) -> None:
    with pytest.raises(InvalidStatus) as caught, connect(rig.socket_url, origin="http://evil.example"):  # type: ignore[arg-type]
        pass
    assert caught.value.response.status_code == 403
    with connect(rig.socket_url, origin=rig.server.url) as link:  # type: ignore[arg-type]
        assert "controls" in json.loads(link.recv(5))


# ---- the socket


def next_state(link: Any, check: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        message = json.loads(link.recv(10))
        if check(message):
            return dict(message)
    raise AssertionError("the state never came")


def read_to_the_end(link: Any) -> None:
    for _ in range(100):
        link.recv(10)


def test_the_socket_pushes_states_by_itself(rig: Rig) -> None:
    with connect(rig.socket_url) as link:
        for _ in range(4):
            assert json.loads(link.recv(5))["report"]["fps"] == 29.7


def test_the_socket_takes_commands_and_tells_everybody(rig: Rig) -> None:
    with connect(rig.socket_url) as one, connect(rig.socket_url) as other:
        one.send('{"command": "style udnie"}')
        next_state(one, lambda message: message["controls"]["style"] == "udnie")
        next_state(other, lambda message: message["controls"]["style"] == "udnie")
        rig.board.run("coherence off")  # another front end
        next_state(one, lambda message: not message["controls"]["coherence"])


@pytest.mark.parametrize("message", ["style udnie", '{"command": "dance"}', b"\xff", b"", '{"command": null}'])
def test_the_socket_answers_a_wrong_message_and_goes_on(rig: Rig, message: str | bytes) -> None:
    with connect(rig.socket_url) as link:
        link.send(message)
        assert "\n" not in next_state(link, lambda answer: "error" in answer)["error"]
        link.send('{"command": "next"}')
        next_state(link, lambda answer: answer.get("controls", {}).get("style") == "great_wave")


def test_the_socket_refuses_large_messages(rig: Rig) -> None:
    with connect(rig.socket_url) as link:
        link.send(" " * (MESSAGE_LIMIT + 1))
        with pytest.raises(ConnectionClosed):
            read_to_the_end(link)
    assert rig.get("/api/state")[0] == 200


def test_a_socket_that_nobody_reads_delays_nobody(rig: Rig) -> None:
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13"
    request = f"GET /ws HTTP/1.1\r\nHost: localhost\r\n{upgrade}\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    with rig.raw(request.encode()), connect(rig.socket_url) as link:
        for _ in range(2000):
            rig.board.run("next")
        rig.board.run("style udnie")
        next_state(link, lambda message: message["controls"]["style"] == "udnie")


# ---- pictures


def test_a_snapshot_is_the_newest_frame_exactly(rig: Rig) -> None:
    assert rig.get("/snapshot.png")[0] == 503
    noise = np.random.default_rng(1).integers(0, 256, (37, 53, 3), np.uint8)
    rig.preview.write(make_frame(0))
    rig.preview.write(Frame(noise, 7, 7, Fraction(1, 30), 0.0))
    status, headers, body = rig.get("/snapshot.png")
    assert status == 200
    assert "livestyle-000007.png" in headers["content-disposition"]
    decoded = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert np.array_equal(decoded[..., ::-1], noise)


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


def test_the_preview_shows_the_frames_in_their_colours(rig: Rig) -> None:
    orange = np.full((48, 64, 3), (250, 140, 10), np.uint8)
    rig.preview.write(Frame(orange, 0, 0, Fraction(1, 30), 0.0))
    viewer = Viewer(rig)
    assert "multipart/x-mixed-replace" in viewer.answer.headers["content-type"]
    picture = viewer.read()  # a frame that came before the viewer, and no other after it: a frozen picture shows
    assert picture is not None
    assert np.abs(picture.astype(int) - orange).max() < 12
    rig.preview.write(make_frame(1, 128, 96, 200))  # another size
    picture = viewer.read()
    assert picture is not None
    assert picture.shape == (96, 128, 3)
    viewer.close()
    wait_until(lambda: rig.server.viewers == 0 or rig.preview.write(make_frame(2)))


@pytest.mark.parametrize("fps", ["0", "61", "x", "-1", "1e9", ""])
def test_a_frame_rate_out_of_range_is_refused(rig: Rig, fps: str) -> None:
    assert rig.get(f"/preview.mjpg?fps={fps}")[0] == 400


def test_asking_for_the_headers_of_the_preview_watches_nothing(rig: Rig) -> None:
    request = urllib.request.Request(rig.server.url + "/preview.mjpg", method="HEAD")
    assert rig.ask(request)[0] == 200
    assert rig.server.viewers == 0


class CountingPreview(PreviewSink):
    """Counts how often somebody fetched a frame."""

    fetched = 0

    def wait_newer(self, serial: int, timeout: float) -> tuple[int, Frame] | None:
        found = super().wait_newer(serial, timeout)
        self.fetched += found is not None
        return found


def test_nothing_is_encoded_while_nobody_watches_and_once_for_all_who_do() -> None:
    preview = CountingPreview()
    with WebServer(make_board(), preview, make_report, port=0) as server:
        rig = Rig.__new__(Rig)
        rig.server, rig.preview = server, preview
        for index in range(20):
            preview.write(make_frame(index))
        assert preview.fetched == 0
        viewers = [Viewer(rig) for _ in range(3)]
        for viewer in viewers:
            assert viewer.read() is not None
        assert preview.fetched <= 3
        for viewer in viewers:
            viewer.close()
    preview.close()


def test_a_viewer_that_reads_nothing_slows_nobody(rig: Rig) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (360, 640, 3), np.uint8)  # some 300 KB a picture
    request = b"GET /preview.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with rig.raw(request), rig.raw(request):
        viewer = Viewer(rig, "?fps=60")
        for index in range(40):
            rig.preview.write(Frame(noise, index, index, Fraction(1, 30), 0.0))
            assert viewer.read() is not None
        started = time.monotonic()
        assert rig.get("/api/state")[0] == 200
        assert time.monotonic() - started < 5
        viewer.close()


def test_a_slow_viewer_gets_the_newest_picture(rig: Rig) -> None:
    viewer = Viewer(rig, "?fps=20")
    for index in range(100):
        rig.preview.write(make_frame(index, value=index))
    first = viewer.read()
    assert first is not None
    rig.preview.write(make_frame(100, value=220))
    last = first
    for _ in range(3):
        if abs(int(last[0, 0, 0]) - 220) < 4:
            break
        picture = viewer.read()
        assert picture is not None
        last = picture
    assert abs(int(last[0, 0, 0]) - 220) < 4  # not the 100 frames in between
    viewer.close()


# ---- starting and stopping


def test_a_port_that_is_taken_is_one_line(rig: Rig) -> None:
    port = rig.server.port
    with pytest.raises(ConfigError, match=rf"port {port} .* --port") as caught:
        WebServer(make_board(), rig.preview, make_report, port=port)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_does_not_exist_is_one_line(port: int) -> None:
    with PreviewSink() as preview, pytest.raises(ConfigError, match="--port"):
        WebServer(make_board(), preview, make_report, port=port)


def test_the_same_port_serves_again_after_close() -> None:
    with PreviewSink() as preview:
        first = WebServer(make_board(), preview, make_report, port=0)
        with connect(first.url.replace("http", "ws") + "/ws") as link:
            link.recv(5)
            first.close()
        with WebServer(make_board(), preview, make_report, port=first.port) as second:
            assert urllib.request.urlopen(second.url + "/api/state", timeout=5).status == 200


def test_close_is_quick_with_open_streams() -> None:
    rig = Rig()
    rig.preview.write(make_frame(0))
    noise = np.random.default_rng(3).integers(0, 256, (720, 1280, 3), np.uint8)
    viewer, slow = Viewer(rig), Viewer(rig, "?fps=1")
    viewer.read()
    stuck = rig.raw(b"GET /preview.mjpg?fps=60 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    half = rig.raw(b"POST /api/command HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
    with connect(rig.socket_url) as link:
        link.recv(5)
        for index in range(20):  # fills what the stuck viewer never reads
            rig.preview.write(Frame(noise, index, index, Fraction(1, 30), 0.0))
            viewer.read()
        started = time.monotonic()
        rig.server.close()
        took = time.monotonic() - started
        rig.server.close()
        with pytest.raises(ConnectionClosed):
            read_to_the_end(link)
    assert took < 2.5
    assert not any(thread.name.startswith("page") for thread in threading.enumerate())
    for client in (viewer, slow, stuck, half):
        client.close()
    rig.preview.close()


def test_a_preview_that_closed_first_ends_nothing_else(rig: Rig) -> None:
    viewer = Viewer(rig)
    rig.preview.close()
    assert rig.get("/api/state")[0] == 200
    assert rig.get("/snapshot.png")[0] == 503
    rig.server.close()
    assert viewer.read() is None
    viewer.close()
