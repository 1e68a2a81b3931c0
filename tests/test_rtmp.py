"""The RTMP push against real servers: that everything arrives, and what happens when they die, freeze or say nothing.

A thread that ticks beside each failure shows that nothing in the program stands still meanwhile.
"""

import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.error import FFmpegError
from pictures import frames, live_frames, sound, ticking
from servers import RtmpServer, free_port, nginx_rtmp, node_media_server

from livestyle.errors import ConfigError, SinkError
from livestyle.media import StreamInfo
from livestyle.sinks import open_sink
from livestyle.sinks.rtmp import RtmpSink, length_prefixed, public_url

INFO = StreamInfo(160, 120, Fraction(30), live=True)
Serve = Callable[[Path], AbstractContextManager[RtmpServer]]
STILL = 0.5  # seconds that no thread may stand still


def push(url: str, info: StreamInfo = INFO, *, retry: bool = False) -> RtmpSink:
    sink = open_sink(url, info, retry=retry)
    assert isinstance(sink, RtmpSink)
    return sink


def wait_until(condition: Callable[[], bool], seconds: float, work: Callable[[], None] | None = None) -> bool:
    """Whether ``condition`` came true in time; ``work`` is done again and again while waiting."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        if work is not None:
            work()
        time.sleep(0.01)
    return condition()


@dataclass
class Recording:
    """What a player has got so far: times in seconds, and whether the first picture was a key picture."""

    video: list[float] = field(default_factory=list)
    audio: list[float] = field(default_factory=list)
    keys: list[bool] = field(default_factory=list)


@contextmanager
def playing(url: str) -> Iterator[Recording]:
    """Play ``url`` in a thread for as long as the block lasts, again and again where it ends or is not there yet."""
    recording, done = Recording(), threading.Event()

    def play() -> None:
        while not done.is_set():
            try:
                with av.open(url, options={"fpsprobesize": "0", "rtmp_live": "live"}, timeout=(3, 1)) as container:
                    for packet in container.demux():
                        if packet.pts is not None and packet.stream.type == "video":
                            recording.video.append(float(packet.pts * packet.time_base))
                            recording.keys.append(packet.is_keyframe)
                        elif packet.pts is not None:
                            recording.audio.append(float(packet.pts * packet.time_base))
                        if done.is_set():
                            return
            except (FFmpegError, OSError):
                done.wait(0.05)

    thread = threading.Thread(target=play, name="player")
    thread.start()
    try:
        yield recording
    finally:
        done.set()
        thread.join(10)


def children_of(parent: int) -> list[int]:
    """Running processes that ``parent`` started, zombies left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                state, mother = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            if int(mother) == parent and state != "Z":
                found.append(int(entry.name))
    return found


def senders() -> list[int]:
    """The push processes of this one."""
    return [pid for pid in children_of(os.getpid()) if b"rtmp_child" in _command_line(pid)]


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[RtmpServer]:
    with nginx_rtmp(tmp_path) as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("serve", [nginx_rtmp, node_media_server])
def test_everything_arrives_with_its_sound(tmp_path: Path, serve: Serve) -> None:
    audio, packets = sound(8.0)
    info = replace(INFO, audio=audio)
    joined: int | None = None
    with serve(tmp_path) as server, ticking() as ticker, playing(server.url()) as got:
        with closing(push(server.url(), info)) as sink:
            for frame in live_frames(info, 220):
                while packets and packets[0].seconds < frame.seconds + 0.2:  # ahead of its picture
                    sink.write_audio(packets.pop(0))
                sink.write(frame)
                if joined is None and got.video:
                    joined = frame.index
                if joined is not None and frame.index >= joined + 90:
                    break
            assert joined is not None
            start = joined / 30
            assert wait_until(lambda: len([at for at in got.video if at > start]) >= 86, 3)  # 95 % of 90
            assert sink.status == "streaming"
            assert sink.dropped == 0
        assert ticker.worst < STILL
    assert got.keys[0]
    if serve is node_media_server:  # it keeps the group of pictures for players: nothing was lost on the way
        assert got.video[0] == 0.0
    assert len([at for at in got.audio if at > start]) >= 0.95 * 3.0 * 48_000 / 1024 - 10
    assert got.video == sorted(got.video)
    assert abs(got.video[-1] - got.audio[-1]) < 0.3
    assert senders() == []


@pytest.mark.slow
@pytest.mark.parametrize("serve", [nginx_rtmp, node_media_server])
def test_goes_on_by_itself_when_the_server_is_killed_and_comes_back(tmp_path: Path, serve: Serve) -> None:
    with serve(tmp_path) as server, ticking() as ticker, closing(push(server.url())) as sink:
        pusher = Pusher(sink)
        assert wait_until(lambda: sink.status == "streaming" and pusher.written > 10, 5, pusher)
        server.kill()
        assert wait_until(lambda: sink.status != "streaming", 10, pusher)
        assert "went away" in sink.status
        assert sink.reconnects == 0
        server.start()
        with playing(server.url()) as got:
            assert wait_until(lambda: sink.reconnects == 1 and len(got.video) > 5, 20, pusher)
        assert sink.status == "streaming"
        assert got.keys[0]
        assert got.video[0] > 0.3  # the clock went on where it was
        assert pusher.slowest < STILL
        assert sink.dropped > 0
    assert ticker.worst < STILL
    assert senders() == []


@pytest.mark.slow
def test_a_server_that_freezes_is_left_and_found_again(nginx: RtmpServer) -> None:
    noisy = StreamInfo(640, 360, Fraction(60), live=True)  # fills the sockets' buffers soon
    with ticking() as ticker, closing(push(nginx.url(), noisy)) as sink:
        pusher = Pusher(sink, noise=True)
        assert wait_until(lambda: pusher.written > 30, 10, pusher)
        nginx.freeze()
        assert wait_until(lambda: sink.status != "streaming", 30, pusher)
        nginx.thaw()
        assert wait_until(lambda: sink.reconnects == 1, 20, pusher)
        assert pusher.slowest < STILL
    assert ticker.worst < STILL
    assert senders() == []


@pytest.mark.slow
def test_a_server_that_is_frozen_at_the_close(nginx: RtmpServer) -> None:
    with ticking() as ticker:
        sink = push(nginx.url())
        for frame in frames(INFO, 30):
            sink.write(frame)
        nginx.freeze()
        started = time.monotonic()
        sink.close()
        assert time.monotonic() - started < 5
    assert ticker.worst < STILL
    assert senders() == []


@contextmanager
def silent_server() -> Iterator[str]:
    """Accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"rtmp://127.0.0.1:{listener.getsockname()[1]}/app/live"


@pytest.mark.slow
def test_a_server_that_says_nothing(tmp_path: Path) -> None:
    with silent_server() as url, ticking() as ticker:
        with pytest.raises(SinkError, match="stays silent") as caught:
            push(url)
        assert "/live" not in str(caught.value)
    assert ticker.worst < STILL
    assert senders() == []


@pytest.mark.slow
def test_closing_while_a_server_says_nothing() -> None:
    with silent_server() as url, ticking() as ticker:
        sink = push(url, retry=True)
        assert wait_until(lambda: len(senders()) == 1, 10)
        sink.write(next(frames(INFO, 1)))
        assert sink.dropped == 1
        started = time.monotonic()
        sink.close()
        assert time.monotonic() - started < 2
    assert ticker.worst < STILL
    assert senders() == []


@pytest.mark.slow
def test_a_server_that_comes_later(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with nginx_rtmp(tmp_path) as server:
        server.kill()
        with caplog.at_level(logging.WARNING), closing(push(server.url("secret"), retry=True)) as sink:
            assert wait_until(lambda: "refused" in sink.status, 10)
            server.start()
            assert wait_until(lambda: sink.status == "streaming", 20)
            assert sink.reconnects == 0
    assert "connection refused; waiting for it" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.slow
def test_sound_from_before_the_connection_does_not_break_it(tmp_path: Path) -> None:
    audio, packets = sound(1.0)
    with nginx_rtmp(tmp_path) as server:
        server.kill()
        with closing(push(server.url(), replace(INFO, audio=audio), retry=True)) as sink:
            pusher = Pusher(sink)
            assert wait_until(lambda: "refused" in sink.status, 10, pusher)
            server.start()
            assert wait_until(lambda: sink.status == "streaming", 20, pusher)
            with playing(server.url()) as got:
                assert wait_until(lambda: len(got.video) > 5, 10, pusher)
                sink.write_audio(packets[5])  # of 0.1 s
                seen = len(got.video)
                assert wait_until(lambda: len(got.video) > seen + 20, 10, pusher)
            assert sink.connections == 1


@pytest.mark.parametrize(
    ("address", "said"),
    [("127.0.0.1:{port}", "connection refused"), ("no.such.host.invalid", "unknown host no.such.host.invalid")],
)
def test_a_server_that_cannot_be_reached_is_one_line(address: str, said: str) -> None:
    with pytest.raises(SinkError, match=said) as caught:
        push(f"rtmp://{address.format(port=free_port())}/app/key?token=1")
    assert "key" not in str(caught.value)
    assert "token" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert senders() == []


@pytest.mark.slow
def test_a_server_that_refuses_the_stream(nginx: RtmpServer) -> None:
    with pytest.raises(SinkError, match="does not take the stream"):
        push(nginx.url().replace("/app/", "/nothing/"))


@pytest.mark.slow
def test_the_key_shows_nowhere(nginx: RtmpServer) -> None:
    with closing(push(nginx.url("secret"))) as sink:
        (pid,) = senders()
        assert b"secret" not in _command_line(pid)
        assert b"secret" not in Path(f"/proc/{pid}/environ").read_bytes()
        assert "secret" not in sink.address


ORPHAN = """
import sys, time
from pictures import frames
from test_rtmp import INFO, push, senders
sink = push(sys.argv[1])
for frame in frames(INFO, 10):
    sink.write(frame)
print(*senders(), flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
@pytest.mark.parametrize("frozen", [False, True])
def test_no_child_outlives_a_program_that_is_killed(nginx: RtmpServer, frozen: bool) -> None:
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{here.parent}"}
    command = [sys.executable, "-c", ORPHAN, nginx.url()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as program:
        assert program.stdout is not None
        (child,) = [int(pid) for pid in program.stdout.readline().split()]
        assert b"rtmp_child" in _command_line(child)
        if frozen:
            nginx.freeze()
        program.kill()
    assert wait_until(lambda: b"rtmp_child" not in _command_line(child), 10)


@pytest.mark.slow
def test_a_file_is_sent_at_its_own_pace(nginx: RtmpServer) -> None:
    info = replace(INFO, live=False)
    with closing(push(nginx.url(), info)) as sink:
        started = time.monotonic()
        for frame in frames(info, 30):
            sink.write(frame)
        assert 0.9 < time.monotonic() - started < 10
        assert sink.dropped == 0


@pytest.mark.slow
def test_sound_that_rtmp_cannot_carry(nginx: RtmpServer, caplog: pytest.LogCaptureFixture) -> None:
    audio, packets = sound(0.2, "libopus")
    with caplog.at_level(logging.WARNING), closing(push(nginx.url(), replace(INFO, audio=audio))) as sink:
        sink.write_audio(packets[0])
        sink.write(next(frames(INFO, 1)))
    assert "without sound: RTMP carries AAC and MP3, not opus" in caplog.text


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtmp://host/app/key", "rtmp://host/app/***"),
        ("rtmp://me:pass@host:1936/app/deep/key?token=a", "rtmp://host:1936/app/deep/***"),
        ("rtmps://live.example.com/app/key", "rtmps://live.example.com/app/***"),
    ],
)
def test_addresses_are_shown_without_their_secrets(url: str, shown: str) -> None:
    assert public_url(url) == shown


@pytest.mark.parametrize(
    "url", ["rtmp://", "rtmp://host", "rtmp://host/app", "rtmp://host:port/app/key", "rtmp:///a/b"]
)
def test_an_address_that_makes_no_sense(url: str) -> None:
    with pytest.raises(ConfigError, match="rtmp://HOST/APP/KEY"):
        open_sink(url, INFO)


def test_start_codes_become_lengths() -> None:
    assert length_prefixed(b"\0\0\0\1ab\0\0\1c\0\0\3\1") == b"\0\0\0\2ab\0\0\0\5c\0\0\3\1"


class Pusher:
    """Writes the next frame when it is due; ``slowest`` is the longest `write` in seconds."""

    def __init__(self, sink: RtmpSink, *, noise: bool = False) -> None:
        self.written = 0
        self.slowest = 0.0
        self._sink = sink
        self._info = sink.info
        self._began = time.monotonic()
        shape = (self._info.height, self._info.width, 3)
        generator = np.random.default_rng(0)
        self._pictures = [generator.integers(0, 255, shape, np.uint8) for _ in range(4)] if noise else []

    def __call__(self) -> None:
        now = time.monotonic()
        index = int((now - self._began) * self._info.fps)
        if index < self.written:
            return
        frame = next(frames(self._info, 1, index))
        if self._pictures:
            frame = replace(frame, pixels=self._pictures[index % 4])
        started = time.monotonic()
        self._sink.write(frame)
        self.slowest = max(self.slowest, time.monotonic() - started)
        self.written = index + 1
