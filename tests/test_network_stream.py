"""Network streams: real servers and publishers, and all the ways in which they fall silent, leave or refuse.

Whatever they do, no call may hang and no other thread may stand still (`heartbeat`).
"""

import gc
import http.server
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from clips import make_clip, number_of
from live_http import served
from publisher import publisher
from repeating import repeated
from servers import free_port, nginx_rtmp, node_media_server

from livestyle.errors import SourceError, SourceLost
from livestyle.media import AudioPacket, Frame
from livestyle.sources.stream import StreamSource

HELD_UP = 0.5  # seconds that no other thread may stand still


@contextmanager
def heartbeat() -> Iterator[None]:
    """Fails if a thread that only sleeps is held up for more than `HELD_UP` meanwhile."""
    beats = [time.monotonic()]
    with repeated(lambda: beats.append(time.monotonic()), 0.01):
        yield
    assert max((after - before for before, after in pairwise(beats)), default=0.0) < HELD_UP


@contextmanager
def silent_server() -> Iterator[int]:
    """The port of a server that accepts (the kernel does) and never says a word."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(8)
        yield server.getsockname()[1]


def listen_url(port: int) -> str:
    return f"rtmp-listen://127.0.0.1:{port}/live/key"


def push_url(port: int) -> str:
    return f"rtmp://127.0.0.1:{port}/live/key"


def read_to_the_end(source: StreamSource) -> tuple[list[Frame], list[AudioPacket], SourceLost]:
    frames: list[Frame] = []
    sound: list[AudioPacket] = []
    while True:
        try:
            item = source.read()
        except SourceLost as lost:
            return frames, sound, lost
        assert item is not None, "a live stream that ends is lost, so that it is opened again"
        if isinstance(item, Frame):
            frames.append(item)
        else:
            sound.append(item)


def first_frame(source: StreamSource) -> Frame:
    while not isinstance(item := source.read(), Frame):
        assert item is not None
    return item


def interrupted_within_a_second(source: StreamSource) -> None:
    threading.Timer(0.2, source.interrupt).start()
    started = time.monotonic()
    while source.read() is not None:
        pass
    assert time.monotonic() - started < 1.2


def test_a_publisher_is_received_whole_and_its_leaving_is_a_loss() -> None:
    port = free_port()
    with publisher(push_url(port), frames=60), heartbeat(), StreamSource(listen_url(port)) as source:
        info = source.info
        frames, sound, lost = read_to_the_end(source)
        with pytest.raises(SourceLost):
            source.read()
    assert (info.width, info.height, info.live) == (320, 240, True)
    assert info.audio is not None
    assert (info.audio.codec, info.audio.sample_rate, info.audio.layout) == ("aac", 48_000, "stereo")
    assert frames[0].pts == 0
    assert len(frames) > 50  # newest wins: a busy machine may skip some
    assert frames[-1].index >= 58  # the last packet may go under with the connection
    assert all(number_of(frame.pixels) == frame.index % 56 for frame in frames)
    assert all(frame.seconds == pytest.approx(frame.index / 30, abs=0.002) for frame in frames)
    assert 90 <= len(sound) <= 95  # 2 s of 1024-sample packets
    assert [packet.pts for packet in sound] == sorted({packet.pts for packet in sound})
    assert "live/…" in str(lost)
    assert "key" not in str(lost)


def test_a_slow_reader_gets_the_newest_picture_and_all_the_sound() -> None:
    port = free_port()
    with publisher(push_url(port), frames=75), StreamSource(listen_url(port)) as source:
        assert first_frame(source).index == 0
        source._reader._thread.join(20.0)  # read nothing until the publisher has left
        frames, sound, _ = read_to_the_end(source)
    assert [frame.index for frame in frames] == [frames[0].index]
    assert frames[0].index >= 72
    assert len(sound) >= 112


def test_a_publisher_that_freezes_is_lost_and_an_interrupt_does_not_wait_for_it() -> None:
    for interrupt in (False, True):
        port = free_port()
        with publisher(push_url(port)) as process, StreamSource(listen_url(port), read_seconds=1.5) as source:
            first_frame(source)
            process.send_signal(signal.SIGSTOP)
            with heartbeat():
                if interrupt:
                    interrupted_within_a_second(source)
                else:
                    _, _, lost = read_to_the_end(source)
                    assert "nothing came any more" in str(lost)
                source.close()


def test_a_killed_publisher_is_lost() -> None:
    port = free_port()
    with publisher(push_url(port)) as process, StreamSource(listen_url(port)) as source:
        first_frame(source)
        process.kill()
        assert "hung up" in str(read_to_the_end(source)[2])


def test_who_is_no_publisher_does_not_end_the_wait() -> None:
    port, received = free_port(), threading.Event()

    def visit() -> None:
        for said in (b"", b"GET / HTTP/1.1\r\n\r\n" + b"x" * 2000):
            with connect(port) as client, suppress(ConnectionError):
                client.sendall(said)
        with publisher(push_url(port), frames=30):
            received.wait(20.0)

    visitors = threading.Thread(target=visit)
    visitors.start()
    with StreamSource(listen_url(port)) as source:
        assert first_frame(source).index == 0
    received.set()
    visitors.join(20.0)


def connect(port: int) -> socket.socket:
    deadline = time.monotonic() + 10.0
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 1.0)
        except ConnectionError:  # between two turns of listening: refused, or reset when it came just before the end
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_listener_can_be_cancelled_and_frees_its_port() -> None:
    port = free_port()
    cancel = threading.Event()
    threading.Timer(0.3, cancel.set).start()
    started = time.monotonic()
    with heartbeat(), pytest.raises(SourceError, match="on request"):
        StreamSource(listen_url(port), cancel=cancel)
    assert time.monotonic() - started < 1.3
    for thread in threading.enumerate():
        if thread.name.startswith("source rtmp-listen"):
            thread.join(3.0)
    with socket.socket() as successor:
        successor.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        successor.bind(("127.0.0.1", port))


def test_a_port_that_is_taken_is_one_clear_line() -> None:
    with silent_server() as port, pytest.raises(SourceError, match=r"cannot listen at .*already in use"):
        StreamSource(listen_url(port))


@pytest.mark.parametrize("scheme", ["rtmp", "http", "rtsp"])
def test_a_silent_server_ends_the_open_in_time(scheme: str) -> None:
    with silent_server() as port, heartbeat():
        started = time.monotonic()
        with pytest.raises(SourceError, match=r"did not answer within 1 s") as caught:
            StreamSource(f"{scheme}://127.0.0.1:{port}/live/key", open_seconds=1.0)
        assert time.monotonic() - started < 3.0
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["rtmp", "http", "rtsp"])
def test_refused_and_unknown_hosts_are_one_clear_line(scheme: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SourceError, match="nothing listens at"):
        StreamSource(f"{scheme}://127.0.0.1:{free_port()}/live/key")
    with pytest.raises(SourceError, match=r"host nosuch\.invalid cannot be found"):
        StreamSource(f"{scheme}://nosuch.invalid/live/key")
    for address in (f"{scheme}://127.0.0.1:port/x", f"{scheme}://[::1/x", f"{scheme}:///x"):
        with pytest.raises(SourceError, match="is not a valid address"):
            StreamSource(address)
    assert capfd.readouterr() == ("", "")


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def web_server(folder: Path) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_film_over_http_is_read_like_a_file(tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mp4", 45)
    with web_server(tmp_path) as address, StreamSource(f"{address}/clip.mp4?token=1") as source:
        assert not source.info.live
        frames = []
        while (item := source.read()) is not None:
            if isinstance(item, Frame):
                frames.append(number_of(item.pixels))
        assert frames == list(range(45))
        with pytest.raises(SourceError, match=r"clip2.mp4 cannot be had: .*404"):
            StreamSource(f"{address}/clip2.mp4?token=1")


def test_a_program_that_ends_while_it_reads_ends_cleanly() -> None:
    """The thread left behind in FFmpeg must not crash the interpreter on its way out."""
    program = """if True:
        import sys, threading
        from livestyle.errors import SourceError
        from livestyle.sources.stream import StreamSource
        cancel = threading.Event()
        threading.Timer(0.3, cancel.set).start()
        try:
            StreamSource(sys.argv[1], open_seconds=30.0, cancel=cancel)
        except SourceError as error:
            print(error)
    """
    with silent_server() as port:
        command = [sys.executable, "-c", program, f"rtmp://127.0.0.1:{port}/a/b"]
        done = subprocess.run(command, capture_output=True, timeout=20.0)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"on request" in done.stdout


@pytest.mark.slow
def test_a_publisher_without_sound_is_received(tmp_path: Path) -> None:
    """FFmpeg would look for sound longer than the source may take to open."""
    with nginx_rtmp(tmp_path) as server, publisher(server.url(), sound=False):
        deadline = time.monotonic() + 60.0
        while True:
            try:
                source = StreamSource(server.url())
                break
            except SourceError:  # the publisher is still on its way up
                if time.monotonic() > deadline:
                    raise
        with source:
            assert source.info.audio is None
            assert isinstance(source.read(), Frame)


@pytest.mark.slow
def test_nginx_joined_in_the_middle_killed_and_started_again(tmp_path: Path) -> None:
    with nginx_rtmp(tmp_path) as server:
        with heartbeat(), pytest.raises(SourceError, match=r"nobody publishes at rtmp://.*/app/…"):
            StreamSource(server.url(), open_seconds=1.0)
        for _ in range(2):
            with publisher(server.url()), StreamSource(_published(server.url())) as source:
                frames = [first_frame(source) for _ in range(45)]
                assert frames[0].seconds < 1.0  # newest wins: a busy machine may have skipped the very first
                assert [b.index - a.index for a, b in pairwise(frames)].count(1) > 20
                assert source.info.audio is not None
                server.kill()
                with heartbeat():
                    read_to_the_end(source)
            server.start()


@pytest.mark.slow
def test_nginx_frozen_in_the_middle(tmp_path: Path) -> None:
    with nginx_rtmp(tmp_path) as server, publisher(server.url()):
        with StreamSource(_published(server.url()), read_seconds=1.0) as source:
            first_frame(source)
            server.freeze()
            with heartbeat():
                assert "nothing came any more" in str(read_to_the_end(source)[2])
                source.close()
        server.thaw()


@pytest.mark.slow
def test_node_media_server_goes_on_with_a_second_publisher(tmp_path: Path) -> None:
    """It keeps its players, and its clock runs on: the stamps must go on as if nothing had happened."""
    with node_media_server(tmp_path) as server:
        with publisher(server.url()):
            source = StreamSource(_published(server.url()), read_seconds=10.0)
            frames = [first_frame(source) for _ in range(30)]
        with source, publisher(server.url()), heartbeat():
            frames += [first_frame(source) for _ in range(30)]
    stamps = [frame.seconds for frame in frames]
    assert stamps == sorted(set(stamps))
    elapsed = frames[-1].captured - frames[0].captured
    assert stamps[-1] < elapsed + 3.0


def _published(url: str) -> str:
    """Wait until somebody publishes there: the publisher is a process that has to start."""
    deadline = time.monotonic() + 20.0
    while True:
        try:
            StreamSource(url, open_seconds=2.0).close()
            return url
        except SourceError:
            assert time.monotonic() < deadline, "nobody publishes"


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")
@pytest.mark.parametrize("to_the_end", [True, False])
def test_a_stream_that_is_opened_again_and_again_leaves_nothing_behind(tmp_path: Path, to_the_end: bool) -> None:
    """A decoder has threads of its own. (The memory of a process that runs all tests moves by more than one holds.)"""
    options = {"flvflags": "no_duration_filesize"}
    film = make_clip(tmp_path / "film.flv", 20, (1920, 1080), options=options).read_bytes()
    threads = list[int]()
    gc.disable()  # it would find some of what is left, some time
    try:
        with served(film) as url:
            for _ in range(15):
                with StreamSource(url) as source:
                    first_frame(source)
                    if to_the_end:
                        read_to_the_end(source)
                threads.append(len(list(Path("/proc/self/task").iterdir())))
    finally:
        gc.enable()
    assert min(threads[-5:]) <= max(threads[:5])
