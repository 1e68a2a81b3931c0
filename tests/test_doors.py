"""What a client may ask of the page's server: how much, how often, how slowly. Real sockets against a real server."""

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest
from web_rig import STYLES, Rig, Viewer, make_frame, read_to_the_end, wait_until
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from livestyle.control import doors, guard
from livestyle.control.rates import Rates

HEAD = b"GET /api/state HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
def watched(rig: Rig) -> Iterator[Viewer]:
    """Somebody who watches the stream; it must go on whatever the others do."""
    rig.preview.write(make_frame(0))
    viewer = Viewer(rig)
    assert viewer.read() is not None
    yield viewer
    rig.preview.write(make_frame(1, value=200))
    picture = viewer.read()
    assert picture is not None
    assert abs(int(picture[0, 0, 0]) - 200) < 8
    viewer.close()


def has_ended(client: socket.socket) -> bool:
    """Whether the server has closed a connection; reads what came before."""
    client.setblocking(False)
    try:
        while client.recv(65536):
            continue
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        client.settimeout(10)
    return True


def read_status(client: socket.socket) -> int:
    """The status of the answer, 0 when the connection was ended instead."""
    try:
        head = client.recv(4096)
    except ConnectionError:
        return 0
    return int(head.split()[1]) if head else 0


# ---- how many


def test_a_thousand_connections_leave_the_stream_and_the_page_alone(rig: Rig, watched: Viewer) -> None:
    with contextlib.ExitStack() as stack, connect(rig.socket_url) as page:
        clients = []
        for _ in range(1000):
            with contextlib.suppress(ConnectionError):
                clients.append(stack.enter_context(socket.create_connection(("127.0.0.1", rig.server.port), 10)))
        wait_until(lambda: sum(not has_ended(client) for client in clients) <= doors.MOST_OF_ONE)
        rig.preview.write(make_frame(1, value=90))
        assert watched.read() is not None
        page.send('{"command": "style udnie"}')
        wait_until(lambda: rig.board.controls.style == "udnie")


def test_connections_that_ask_for_nothing_give_way(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "IDLE_TIME", 0.05)
    with contextlib.ExitStack() as stack:
        for _ in range(doors.MOST_OF_ONE):
            stack.enter_context(rig.raw(HEAD))
        time.sleep(0.1)
        assert rig.get("/api/state")[0] == 200


# ---- how slowly


@pytest.mark.parametrize(
    "beginning",
    [b"", b"GET", HEAD, b"POST /api/command HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"],
    ids=["nothing", "a word", "half a head", "half a body"],
)
def test_a_request_that_does_not_end_is_ended(
    rig: Rig, watched: Viewer, monkeypatch: pytest.MonkeyPatch, beginning: bytes
) -> None:
    monkeypatch.setattr(doors, "REQUEST_TIME", 0.3)
    with rig.raw(beginning) as client:
        wait_until(lambda: trickles_no_more(client, b"x"))


def test_a_second_request_may_not_trickle_either(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    with rig.raw(HEAD + b"\r\n") as client:
        assert read_status(client) == 200
        monkeypatch.setattr(doors, "REQUEST_TIME", 0.3)
        wait_until(lambda: trickles_no_more(client, b"G"))


def trickles_no_more(client: socket.socket, data: bytes) -> bool:
    """Send one byte more; True once the server has ended the connection."""
    try:
        client.sendall(data)
    except OSError:
        return True
    return has_ended(client)


def test_a_client_that_does_not_read_is_dropped(rig: Rig, watched: Viewer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "STUCK_TIME", 1.0)
    with contextlib.ExitStack() as stack:
        stuck = [stack.enter_context(rig.raw(b"GET /preview.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")) for _ in "ab"]
        wait_until(lambda: rig.server.viewers == 3)
        frame = make_frame(1, 3840, 2160, 128)
        frame.pixels.flat[::7] = 255  # large as a JPEG
        deadline = time.monotonic() + 60
        while rig.server.viewers > 1:
            assert time.monotonic() < deadline, "they were never dropped"
            rig.preview.write(frame)
            assert watched.read() is not None
        assert len(stuck) == 2


# ---- how much


@pytest.mark.parametrize("kind", ["declared", "chunked"])
def test_ten_megabytes_are_refused(rig: Rig, watched: Viewer, kind: str) -> None:
    megabyte = b" " * 2**20
    head = b"POST /api/command HTTP/1.1\r\nHost: localhost\r\n"
    if kind == "declared":
        head += b"Content-Length: %d\r\n\r\n" % (10 * 2**20)
    else:
        head += b"Transfer-Encoding: chunked\r\n\r\n"
    with rig.raw(head) as client:
        with contextlib.suppress(ConnectionError):
            for _ in range(10):
                client.sendall(megabyte if kind == "declared" else b"100000\r\n" + megabyte + b"\r\n")
        assert read_status(client) in (413, 0)  # 0: the answer was lost, as the client went on to send
    assert rig.get("/api/state")[0] == 200


def test_a_message_of_ten_megabytes_ends_its_socket(rig: Rig, watched: Viewer) -> None:
    with connect(rig.socket_url) as link:
        with contextlib.suppress(ConnectionClosed):
            link.send(" " * (10 * 2**20))
        with pytest.raises(ConnectionClosed):
            read_to_the_end(link)


def test_a_head_without_end_is_refused(rig: Rig, watched: Viewer) -> None:
    with rig.raw(HEAD + b"X-Long: " + b"x" * 100_000) as client:
        assert read_status(client) in (400, 0)
        wait_until(lambda: has_ended(client))


@pytest.mark.parametrize("length", [b"-1", b"1e3", b"99999999999999999999", b"\xb2"])
def test_lengths_that_are_none_are_refused(rig: Rig, length: bytes) -> None:
    with rig.raw(b"POST /api/command HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + length + b"\r\n\r\n") as client:
        assert read_status(client) in (400, 413)


# ---- how often


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """A server that lets a client ask for 20 things at once, and 4 more a second."""
    monkeypatch.setattr(guard, "RATE_OF_ONE", (4.0, 20.0))
    monkeypatch.setattr(guard, "PENANCE", 0.05)
    rig = Rig()
    yield rig
    rig.server.close()
    rig.preview.close()


def test_too_many_requests_are_told_so(strict: Rig) -> None:
    answers = [strict.get("/api/state") for _ in range(60)]
    refused = [headers for status, headers, _ in answers if status == 429]
    assert answers[0][0] == 200
    assert refused
    assert refused[0]["retry-after"] == "1"
    wait_until(lambda: strict.get("/api/state")[0] == 200)


def test_a_flood_of_messages_is_slowed_down_and_none_is_lost(strict: Rig) -> None:
    with connect(strict.socket_url) as flood, connect(strict.socket_url) as page:
        started = time.monotonic()
        for _ in range(30):
            flood.send('{"command": "next"}')
        flood.send('{"command": "strength 0.35"}')
        page.recv(10)  # others hear from the server meanwhile
        wait_until(lambda: strict.board.controls.strength == 0.35, 30)
        assert time.monotonic() - started > 1.5  # 13 more than come at once, at 4 a second
    assert strict.board.controls.style == STYLES[30 % 4]


def test_pictures_cost_more_than_words(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "PENANCE", 0.0)
    rig.preview.write(make_frame(0))
    statuses = [rig.get("/snapshot.png")[0] for _ in range(60)]
    assert statuses[0] == 200
    assert 429 in statuses
    assert rig.get("/api/state")[0] == 200  # there is enough left for that


class Clock:
    """A time that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_one_client_has_its_share_and_all_have_theirs() -> None:
    clock = Clock()
    rates = Rates((1.0, 3.0), (10.0, 5.0), clock)
    assert [rates.spend("a") for _ in range(4)] == [0, 0, 0, 1.0]
    assert [rates.spend("b") for _ in range(3)] == [0, 0, pytest.approx(0.1)]  # all have spent five
    clock.now = 0.5
    assert rates.spend("a") == pytest.approx(0.5)
    assert rates.spend("b") == 0
    clock.now = 100.0
    assert [rates.spend("a") for _ in range(4)] == [0, 0, 0, 1.0]  # no more at once than the burst


def test_many_clients_take_no_memory() -> None:
    rates = Rates((1.0, 1.0), (1e9, 1e9), Clock())
    for number in range(5000):
        rates.spend(str(number))
    assert rates.spend("4999") > 0  # remembered
    assert rates.spend("0") == 0  # forgotten
