"""The page on a network: its token, its addresses, and what is refused without them. Real servers, real clients."""

import http.client
import re
import socket
import stat
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from web_rig import Rig, Viewer, fetch, make_frame
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from livestyle.control.access import Access, client_key, find_address, open_network
from livestyle.errors import ConfigError

TOKEN = "J1yGeF0pXqLk2c8WmZtR5v"
COMMAND = b'{"command": "style udnie"}'
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def lan() -> Iterator[Rig]:
    rig = Rig(Access("", TOKEN))
    rig.preview.write(make_frame(0))
    yield rig
    rig.server.close()
    rig.preview.close()


def at_loopback(rig: Rig) -> str:
    return f"http://127.0.0.1:{rig.server.port}"


def ask(rig: Rig, path: str, body: bytes | None = None, **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    """One request to the server at 127.0.0.1, which it listens at too."""
    request = urllib.request.Request(at_loopback(rig) + path, body, headers)
    return fetch(request)


# ---- without the token


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/app.js",
        "/icon.svg",
        "/api/state",
        "/api/commands",
        "/snapshot.png",
        "/preview.mjpg",
        "/thumbnails/udnie",
        "/missing",
        "/shots",
        f"/api/state?token={TOKEN}",  # opens the page, nothing else
        "/?token=",
        f"/?token={TOKEN[:-1]}",
        f"/?token={TOKEN}x",
        "/?token=%00%ff",
    ],
)
def test_without_the_token_there_is_nothing(lan: Rig, path: str) -> None:
    status, headers, body = ask(lan, path)
    assert status == 401
    assert "set-cookie" not in headers
    assert TOKEN.encode() not in body


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {TOKEN[1:]}"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer \xff"},
        {"Cookie": f"livestyle={TOKEN}"},
        {"Cookie": "=;;="},
    ],
)
def test_no_command_without_the_token(lan: Rig, headers: dict[str, str]) -> None:
    assert ask(lan, "/api/command", COMMAND, **headers)[0] == 401
    with pytest.raises(InvalidStatus) as caught, connect(at_loopback(lan).replace("http", "ws") + "/ws"):
        pass
    assert caught.value.response.status_code == 403
    assert lan.board.controls.style == "starry_night"


# ---- with it


def test_programs_show_the_token_in_a_header(lan: Rig) -> None:
    assert ask(lan, "/api/command", COMMAND, **BEARER)[0] == 200
    assert lan.board.controls.style == "udnie"
    with connect(at_loopback(lan).replace("http", "ws") + "/ws", additional_headers=BEARER) as link:
        link.send('{"command": "style scream"}')
        link.recv(5)


def test_a_browser_shows_it_once_and_has_a_cookie_from_then_on(lan: Rig) -> None:
    status, headers, body = ask(lan, f"/?token={TOKEN}")
    assert status == 200
    assert b'url=/"' in body  # leads to the address without it
    cookie = headers["set-cookie"]
    for part in ("HttpOnly", "SameSite=strict", "Path=/"):
        assert part in cookie
    assert TOKEN not in cookie
    key = cookie.partition(";")[0]
    status, _, page = ask(lan, "/", Cookie=f"theme=dark; {key}")
    assert status == 200
    assert b"/app.js" in page
    assert ask(lan, "/api/command", COMMAND, Cookie=key, Origin=at_loopback(lan))[0] == 200
    assert lan.board.controls.style == "udnie"
    # whoever has the cookie does not thereby have the token
    assert ask(lan, "/api/state", Authorization=f"Bearer {key.partition('=')[2]}")[0] == 401


def test_the_cookie_opens_only_the_server_that_gave_it(lan: Rig) -> None:
    key = ask(lan, f"/?token={TOKEN}")[1]["set-cookie"].partition(";")[0]
    other = Rig(Access("", TOKEN[::-1]))
    try:
        assert ask(other, "/api/state", Cookie=key)[0] == 401
        assert key.partition("=")[0] != ask(other, f"/?token={TOKEN[::-1]}")[1]["set-cookie"].partition("=")[0]
    finally:
        other.server.close()
        other.preview.close()


# ---- names and addresses


def test_only_addresses_and_names_of_this_computer_are_answered(lan: Rig) -> None:
    for host in ["evil.example", "192.168.1.1.evil.example", "", "[", "0x7f000001", "127.1", "[::1].evil.example"]:
        assert ask(lan, "/api/state", Host=host, **BEARER)[0] == 403
    own = socket.gethostname()
    for host in ["localhost", "192.168.178.20:8765", "[fd00::2]:8765", own, f"{own.partition('.')[0]}.local:1"]:
        assert ask(lan, "/api/state", Host=host, **BEARER)[0] == 200


def test_another_origin_commands_nothing_even_with_the_cookie(lan: Rig) -> None:
    key = ask(lan, f"/?token={TOKEN}")[1]["set-cookie"].partition(";")[0]
    for origin in ["http://evil.example", "null", f"https://127.0.0.1:{lan.server.port}", "http://127.0.0.1:1"]:
        assert ask(lan, "/api/command", COMMAND, Cookie=key, Origin=origin)[0] == 403
    assert lan.board.controls.style == "starry_night"


def test_it_is_reached_by_every_address_of_this_computer(lan: Rig) -> None:
    hosts = ["127.0.0.1", find_address()] + (["[::1]"] if socket.has_dualstack_ipv6() else [])
    for host in hosts:
        url = f"http://{f'[{host}]' if host.count(':') > 1 and host[0] != '[' else host}:{lan.server.port}/api/state"
        assert fetch(urllib.request.Request(url, headers=BEARER))[0] == 200
    assert lan.server.url.startswith("http://")
    assert find_address() in lan.server.url


def test_loopback_is_reached_by_no_other_address(rig: Rig) -> None:
    if find_address() == "127.0.0.1":
        pytest.skip("this computer has no other address")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((find_address().strip("[]"), rig.server.port), timeout=5)


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("192.168.1.7", "192.168.1.7"),
        ("::ffff:192.168.1.7", "192.168.1.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_limits_count_one_client_as_one(host: str, key: str) -> None:
    assert client_key(host) == key


# ---- the token's file


@pytest.fixture
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path


def test_the_token_is_random_stays_and_is_private(data_folder: Path) -> None:
    access, file = open_network()
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", access.token)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o644)  # as an editor may leave it
    assert open_network()[0].token == access.token
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.unlink()
    assert open_network()[0].token != access.token


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 40, b"a" * 5000, b"two words and more of them"])
def test_a_file_without_a_token_is_one_line(data_folder: Path, content: bytes) -> None:
    file = open_network()[1]
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="holds no token: delete it") as caught:
        open_network()
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_used_is_one_line(data_folder: Path) -> None:
    (data_folder / "livestyle").write_bytes(b"")
    with pytest.raises(ConfigError, match="keeps its token in"):
        open_network()


def test_a_viewer_with_the_token_sees_the_stream(lan: Rig) -> None:
    request = urllib.request.Request(at_loopback(lan) + "/preview.mjpg", headers=BEARER)
    viewer = Viewer.__new__(Viewer)
    viewer.answer = urllib.request.urlopen(request, timeout=10)
    assert viewer.read() is not None
    viewer.close()
