"""RTMP in, painted, RTMP out: a whole relay of real processes, watched from outside.

A publisher pushes an encoded clip of the scene; ``livestyle live`` paints it and pushes on; here the packets that
arrive are counted. Between them stands nginx with its RTMP module where that is installed, or else livestyle listens
for the publisher itself and pushes to a listener of ours. Latency is what livestyle reports, from the decoded frame to
the end of the sink's write; its figures cover the newest `WINDOW` frames, so they are asked for throughout the run.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import msgspec
import numpy as np
from av.error import FFmpegError

from livestyle.errors import BackendError, ConfigError
from livestyle.evaluate import publisher
from livestyle.evaluate.clip import Clip
from livestyle.evaluate.servers import find_nginx, free_port, nginx_server, serving

FPS = 30
SECONDS = 8  # of the clip
SHORTEST = 5  # s of a relay
PATIENCE = 60.0  # s for everything to start or end
ASK = 20.0  # s between two looks at livestyle's own figures: each costs half a second of a core
GLANCE = 1.0  # s between two looks at its memory
SETTLED = 60.0  # s after which memory should not grow any more


class RelayReport(msgspec.Struct, frozen=True):
    """``fps`` arrived at the far end, ``dropped`` is the share of frames read that were not sent. ``latency_p95_ms`` is
    the worst of the windows looked at, ``latency_p50_ms`` their median. Memory is that of livestyle with its children;
    ``growth_mb`` after the first minute, None in a shorter run. ``size`` goes in and out.
    """

    server: str
    size: str
    seconds: float
    fps: float
    frames_in: int
    frames_out: int
    dropped: float
    repeated: int
    latency_p50_ms: float
    latency_p95_ms: float
    memory_mb: float
    growth_mb: float | None


def measure_relay(
    painted: tuple[int, int], size: tuple[int, int], profile: str, backend: str, seconds: int
) -> RelayReport:
    """Run a relay for so many seconds; ``size`` goes in and out, it is painted at ``painted``, (width, height) both.

    Raises `ConfigError` for too few seconds, `BackendError` when it does not come about.
    """
    if seconds < SHORTEST:
        raise ConfigError(f"{seconds} seconds are too few for a relay: give at least {SHORTEST}")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="livestyle-relay-")))
        clip = folder / "clip.mp4"
        write_clip(clip, *size)
        nginx = find_nginx()
        if nginx is None:
            to_live, from_live = f"rtmp://127.0.0.1:{free_port()}/app/in", f"rtmp://127.0.0.1:{free_port()}/app/out"
            source, server = to_live.replace("rtmp:", "rtmp-listen:"), "none, livestyle listens"
        else:
            running_server = stack.enter_context(serving(nginx_server(folder)))
            source = to_live = running_server.url("in")
            from_live, server = running_server.url("out"), "nginx"
        counter = Counter(from_live, listen=nginx is None)
        stack.callback(counter.close)
        stack.enter_context(running([sys.executable, publisher.__file__, str(clip), to_live], folder / "publisher.log"))
        if nginx is not None:
            time.sleep(2.0)  # until there is a picture to pull
        report = folder / "report.json"
        command = [sys.executable, "-m", "livestyle", "live", "--source", source, "--sink", from_live]
        command += ["--size", "{}x{}".format(*painted), "--output-size", "{}x{}".format(*size)]
        command += ["--fps", str(FPS), "--frames", str(FPS * seconds)]
        command += ["--profile", profile, "--backend", backend, "--report", str(report)]
        log = folder / "live.log"
        with running(command, log) as live:
            watched = watch(live, 2 * seconds + PATIENCE)
        if live.returncode or not report.exists():
            raise BackendError(f"the relay failed: {' '.join(log.read_text().split())[-300:]}")
        facts = json.loads(report.read_bytes())
        counter.close()
    windows = [*watched.latencies, (facts["latency_ms"]["p50"], facts["latency_ms"]["p95"])]
    return RelayReport(
        server=server,
        size="{}x{}".format(*size),
        seconds=round(counter.seconds(), 1),
        fps=round(counter.fps(), 2),
        frames_in=facts["frames_in"],
        frames_out=facts["frames_out"],
        dropped=round(facts["dropped"] / max(1, facts["frames_in"]), 5),
        repeated=facts["repeated"],
        latency_p50_ms=round(float(np.median([p50 for p50, _ in windows])), 1),
        latency_p95_ms=round(max(p95 for _, p95 in windows), 1),
        memory_mb=round(max(watched.memory, default=0.0), 1),
        growth_mb=watched.growth(),
    )


def write_clip(path: Path, width: int, height: int) -> None:
    """Encode `SECONDS` of the scene, a key picture in each second so that players join soon."""
    clip = Clip(width, height)
    settings = {"preset": "veryfast", "tune": "zerolatency", "bf": "0", "g": str(FPS)}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options=settings)
        stream.width, stream.height, stream.pix_fmt = width - width % 2, height - height % 2, "yuv420p"
        for number in range(FPS * SECONDS):
            picture = av.VideoFrame.from_ndarray(np.asarray(clip.next().pixels), format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


class Counter:
    """Counts the packets that arrive at an address, on a thread of its own; ``again`` joins a stream that broke."""

    def __init__(self, url: str, *, listen: bool, again: bool = False) -> None:
        self.moments: list[float] = []  # monotonic
        self.stamps: list[float] = []  # s, of the same packets
        self._url = url
        look = {"analyzeduration": "500000", "fpsprobesize": "0"}  # there is no sound to wait for
        self._options = {"rtmp_live": "live", **look} | (
            {"listen": "1", "timeout": str(int(PATIENCE))} if listen else {}
        )
        self._again = again
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="counter", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self._closing.is_set() and (self._again if self.moments else time.monotonic() < deadline):
            with contextlib.suppress(FFmpegError, OSError):  # nobody sends yet, or nobody does any more
                self._count()
            self._closing.wait(0.2)

    def _count(self) -> None:
        with av.open(self._url, options=self._options, timeout=(PATIENCE, 5.0)) as container:
            for packet in container.demux(video=0):
                if packet.size and packet.pts is not None and packet.time_base is not None:
                    self.stamps.append(float(packet.pts * packet.time_base))
                    self.moments.append(time.monotonic())
                if self._closing.is_set():
                    return

    def seconds(self) -> float:
        """From the first packet to the last."""
        return self.moments[-1] - self.moments[0] if self.moments else 0.0

    def fps(self) -> float:
        """Packets a second between the first second, in which a server hands on what it kept, and the last packet."""
        steady = [moment for moment in self.moments if moment > self.moments[0] + 1.0]
        return (len(steady) - 1) / (steady[-1] - steady[0]) if len(steady) > 1 else 0.0

    def close(self) -> None:
        """Stop counting; may be called twice."""
        self._closing.set()
        self._thread.join(PATIENCE)


class Watched:
    """What was seen of a running livestyle: latencies (p50, p95) in ms, and MB of memory with the moments."""

    def __init__(self) -> None:
        self.latencies: list[tuple[float, float]] = []
        self.moments: list[float] = []
        self.memory: list[float] = []

    def growth(self) -> float | None:
        """MB from the tenth of the run after the first minute to its last tenth, medians; None for a shorter run."""
        late = [mb for moment, mb in zip(self.moments, self.memory, strict=True) if moment > SETTLED]
        if len(late) < 20:
            return None
        part = len(late) // 10
        return round(float(np.median(late[-part:]) - np.median(late[:part])), 2)


def watch(live: "subprocess.Popen[bytes]", seconds: float) -> Watched:
    """Look at memory and figures of a process until it ends. Raises `BackendError` when it does not."""
    watched, started, asked = Watched(), time.monotonic(), time.monotonic()
    while live.poll() is None:
        now = time.monotonic()
        if now - started > seconds:
            raise BackendError("the relay does not come to its end")
        watched.moments.append(now - started)
        watched.memory.append(sum(read_memory(number) for number in (live.pid, *find_children(live.pid))))
        if now - asked > ASK:
            asked = now
            with contextlib.suppress(ValueError, KeyError):  # it is just ending
                state = json.loads(_ask(live.pid))
                watched.latencies.append((state["report"]["latency_ms"]["p50"], state["report"]["latency_ms"]["p95"]))
        with contextlib.suppress(subprocess.TimeoutExpired):
            live.wait(GLANCE)
    return watched


def _ask(number: int) -> bytes:
    command = [sys.executable, "-m", "livestyle", "ctl", "state", "--pid", str(number)]
    return subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False).stdout


def read_memory(number: int) -> float:
    """MB in memory of a process; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{number}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024.0
    return 0.0


def find_children(number: int) -> list[int]:
    """Processes that a process has started."""
    with contextlib.suppress(OSError):
        tasks = Path(f"/proc/{number}/task").glob("*/children")
        return [int(word) for task in tasks for word in task.read_text().split()]
    return []


@contextlib.contextmanager
def running(command: list[str], log: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """A process that is ended on leaving, if it has not ended by itself."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
