"""The page's server, with real HTTP clients: assets, state, commands, who may ask, starting and stopping."""

import gc
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from fractions import Fraction

import numpy as np
import pytest
from web_rig import PNG, STYLES, Rig, Viewer, make_board, make_frame, make_report, read_to_the_end
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from livestyle.control.web import MESSAGE_LIMIT, WebServer
from livestyle.controls import COMMANDS
from livestyle.errors import ConfigError
from livestyle.media import Frame
from livestyle.sinks.web import PreviewSink

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
    [
        b"",
        b"{",
        b"[]",
        b'{"command": 3}',
        b'{"other": "next"}',
        b"\xff\xfe",
        b'{"command": "%b"}' % (b"x" * 2000),
        b"[" * 2000,
    ],
)
def test_a_body_that_is_no_command_is_400(rig: Rig, body: bytes) -> None:
    status, _, answer = rig.post(body)
    assert status == 400
    assert "error" in json.loads(answer)


def test_a_body_too_large_is_refused(rig: Rig) -> None:
    assert rig.post(b" " * (MESSAGE_LIMIT + 1))[0] == 413
    assert rig.get("/api/command")[0] == 405


def test_answers_do_not_wait_until_the_one_before_is_acknowledged(rig: Rig) -> None:
    with rig.raw(b"GET /api/state HTTP/1.1\r\nHost: localhost\r\n\r\n") as client:
        assert client.recv(65536)
        ours = client.getsockname()
        served = [
            thing
            for thing in gc.get_objects()
            if type(thing) is socket.socket and thing.fileno() >= 0 and _peer(thing) == ours
        ]
        assert [end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for end in served] == [1]


def _peer(end: socket.socket) -> object:
    try:
        return end.getpeername()
    except OSError:
        return None


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
