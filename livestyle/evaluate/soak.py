"""``livestyle evaluate soak``: hours of scene → page, file and RTMP at once, and what grows or drifts meanwhile.

``livestyle live`` runs as a user would run it; this process reads the page's preview as a browser does, plays the
RTMP stream, and looks at memory, file handles, threads and figures every few seconds, by /proc: without one (Windows,
macOS) memory, handles and threads are left out. At the end the recording's duration is held against the wall clock.
"""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import av
import msgspec
import numpy as np
from av.error import FFmpegError
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import Progress

from livestyle.config import parse_size
from livestyle.errors import BackendError, ConfigError
from livestyle.evaluate.relay import Counter, find_children, read_memory, running
from livestyle.evaluate.report import make_folder, write_text
from livestyle.evaluate.servers import nginx_server, serving

FPS = 30
SHORTEST = 0.1  # minutes
SETTLED = 300.0  # s after which memory should not grow any more
GLANCE = 5.0  # s between two looks; more often in a run of a few seconds
PATIENCE = 60.0  # s for the start, and for the end
MOST_GROWTH = 2.0  # MB that were asked for
PAGE = re.compile(r"page: (http://\S+)")


class Look(msgspec.Struct, frozen=True):
    """One look at the running program, ``second`` after its first picture on the network.

    Memory in MiB, of livestyle itself and of its pushing child; ``handles`` and ``threads`` of both; None where the
    system does not tell. ``viewed`` counts the pictures that the page's viewer has got, ``arrived`` those of the
    stream; ``ahead_ms`` is by how much the stream's time stamps have gained on the wall clock.
    """

    second: float
    memory: float | None
    child: float | None
    handles: int | None
    threads: int | None
    fps: float
    latency_p50_ms: float
    latency_p95_ms: float
    level: int
    viewed: int
    arrived: int
    ahead_ms: float


class SoakReport(msgspec.Struct, frozen=True):
    """``growth_mb`` is from the first tenth of the time after `SETTLED` to the last, medians; None in a shorter run.

    ``wall_s`` is from one second after the first picture that arrived by RTMP to the last, ``stream_s`` and
    ``recorded_s`` what their time stamps and the recording's say of the same time; ``drift_ms`` is the change of (time
    stamp minus arrival) over the run. ``gap_ms`` is the longest between two pictures of the recording. ``problems`` are
    lines of the program's log that tell of one, and what else went wrong.
    """

    size: str
    minutes: float
    growth_mb: float | None
    handles: tuple[int, int] | None
    threads: tuple[int, int] | None
    latency_p50_ms: tuple[float, float]
    wall_s: float
    stream_s: float
    recorded_s: float
    recorded_pictures: int
    recorded_mb: float
    gap_ms: float
    drift_ms: float
    viewed_fps: float
    arrived_fps: float
    fps: float
    dropped: int
    repeated: int
    reconnects: int
    problems: tuple[str, ...]
    looks: tuple[Look, ...]


def measure_soak(minutes: float, size: str, suffix: str, out: Path, console: Console) -> SoakReport:
    """Run for so many minutes; write ``soak.md``, ``soak.json`` and ``soak.png`` to ``out``.

    ``suffix`` is that of the recording, such as ``.mkv``, which is deleted afterwards. Raises `ConfigError` for wrong
    input, `BackendError` when the run does not come about, `SinkError` for the folder.
    """
    if minutes < SHORTEST:
        raise ConfigError(f"{minutes:g} minutes are too few: give at least {SHORTEST:g}")
    parse_size(size)
    make_folder(out)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="livestyle-soak-")))
        url = stack.enter_context(serving(nginx_server(folder))).url("soak")
        record, facts, log = folder / f"soak{suffix}", folder / "report.json", folder / "live.log"
        command = [sys.executable, "-m", "livestyle", "live", "--source", "scene", "--size", size, "--fps", str(FPS)]
        command += ["--sink", "web", "--port", "0", "--sink", str(record), "--sink", url, "--report", str(facts)]
        player = Counter(url, listen=False, again=True)
        stack.callback(player.close)
        with running(command, log) as live:
            viewer = PageViewer(_await_page(live, log))
            stack.callback(viewer.close)
            looks = _watch(live, player, viewer, 60.0 * minutes, console)
            viewer.close()
            problems = _end(live)
        player.close()
        problems += [
            line for line in log.read_text().splitlines() if re.search("lost|failed|trying again|without", line)
        ]
        if not facts.exists() or not record.exists():
            raise BackendError(f"the run left nothing: {' '.join(log.read_text().split())[-300:]}")
        report = _sum_up(size, looks, player, json.loads(facts.read_bytes()), record, problems + viewer.problems)
    write_text(out / "soak.json", msgspec.json.format(msgspec.json.encode(report), indent=1).decode() + "\n")
    write_text(out / "soak.md", format_soak(report))
    plot_soak(report, out / "soak.png")
    return report


class PageViewer:
    """Reads the page's preview on a thread of its own, as a browser shows it, and asks for the state."""

    def __init__(self, address: str) -> None:
        self.pictures = 0
        self.problems: list[str] = []
        self._host = urlsplit(address).netloc
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="page viewer", daemon=True)
        self._thread.start()

    def state(self) -> dict[str, object]:
        """What the page shows besides pictures. Raises `OSError`."""
        connection = http.client.HTTPConnection(self._host, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request("GET", "/api/state")
            state: dict[str, object] = json.loads(connection.getresponse().read())
            return state

    def close(self) -> None:
        """Leave; may be called twice."""
        self._closing.set()
        self._thread.join(10.0)

    def _run(self) -> None:
        try:
            self._view()
        except (OSError, http.client.HTTPException) as error:
            if not self._closing.is_set():
                self.problems.append(f"the page's preview broke: {error}")

    def _view(self) -> None:
        with contextlib.closing(http.client.HTTPConnection(self._host, timeout=PATIENCE)) as connection:
            connection.request("GET", "/preview.mjpg?fps=30")
            answer = connection.getresponse()
            while not self._closing.is_set():
                line = answer.readline()
                if line.lower().startswith(b"content-length:"):
                    answer.readline()
                    self.pictures += answer.read(int(line.split(b":")[1]))[:2] == b"\xff\xd8"
                elif not line:
                    if not self._closing.is_set():
                        self.problems.append("the page's preview ended")
                    return


def _await_page(live: "subprocess.Popen[bytes]", log: Path) -> str:
    deadline = time.monotonic() + PATIENCE
    while live.poll() is None and time.monotonic() < deadline:
        found = PAGE.search(log.read_text())
        if found:
            return found[1]
        time.sleep(0.1)
    raise BackendError(f"livestyle does not start: {' '.join(log.read_text().split())[-300:]}")


def _watch(
    live: "subprocess.Popen[bytes]", player: Counter, viewer: PageViewer, seconds: float, console: Console
) -> list[Look]:
    deadline = time.monotonic() + PATIENCE
    while len(player.moments) < 2 * FPS and live.poll() is None:
        if time.monotonic() > deadline:
            raise BackendError("nothing arrives by RTMP")
        time.sleep(0.1)
    started, looks = time.monotonic(), list[Look]()
    glance = min(GLANCE, seconds / 10.0)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("soaking", total=seconds)
        while (now := time.monotonic()) < started + seconds and live.poll() is None:
            looks.append(_look(live.pid, player, viewer, now - started))
            progress.update(task, completed=now - started)
            with contextlib.suppress(subprocess.TimeoutExpired):
                live.wait(glance)
    return looks


def _look(number: int, player: Counter, viewer: PageViewer, second: float) -> Look:
    report: dict[str, object] = {}
    with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
        found = viewer.state().get("report")
        report = found if isinstance(found, dict) else {}
    latency, painting = report.get("latency_ms", {}), report.get("painting", {})
    assert isinstance(latency, dict)
    assert isinstance(painting, dict)
    children = find_children(number)
    there = os.path.isdir("/proc/self")
    return Look(
        second=round(second, 1),
        memory=round(read_memory(number), 2) if there else None,
        child=round(sum(map(read_memory, children)), 2) if there else None,
        handles=sum(_count(one, "fd") for one in (number, *children)) if there else None,
        threads=sum(_count(one, "task") for one in (number, *children)) if there else None,
        fps=float(str(report.get("fps", 0.0))),
        latency_p50_ms=float(latency.get("p50", 0.0)),
        latency_p95_ms=float(latency.get("p95", 0.0)),
        level=int(painting.get("level", 0)),
        viewed=viewer.pictures,
        arrived=len(player.moments),
        ahead_ms=round(1000.0 * (_lead(player, -FPS, None) - _lead(player, FPS, 2 * FPS)), 1),
    )


def _lead(player: Counter, first: int, last: int | None) -> float:
    """Seconds that time stamps are ahead of the arrival clock: of the promptest of those pictures."""
    pairs = list(zip(player.stamps[first:last], player.moments[first:last], strict=False))
    return max((stamp - moment for stamp, moment in pairs), default=0.0)


def _count(number: int, what: str) -> int:
    with contextlib.suppress(OSError):
        return len(os.listdir(f"/proc/{number}/{what}"))
    return 0


def _end(live: "subprocess.Popen[bytes]") -> list[str]:
    """Tell it to stop, as a terminal would; what was wrong with how it did."""
    if live.poll() is not None:
        return [f"livestyle ended by itself with code {live.returncode}"]
    live.send_signal(signal.SIGTERM)
    try:
        live.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        return ["livestyle did not stop"]
    return [f"livestyle stopped with code {live.returncode}"] if live.returncode else []


def _sum_up(
    size: str, looks: list[Look], player: Counter, facts: dict[str, object], record: Path, problems: list[str]
) -> SoakReport:
    if len(looks) < 2 or len(player.moments) < 3 * FPS:
        raise BackendError(f"the run came to nothing: {'; '.join(problems)}")
    settled = [look for look in looks if look.second >= SETTLED]
    later = settled if len(settled) >= 20 else looks
    stamps, biggest, megabytes = _read_recording(record)
    span = looks[-1].second - looks[0].second
    joined = next(n for n, moment in enumerate(player.moments) if moment > player.moments[0] + 1.0)
    began = player.stamps[joined]  # a server first hands on what it kept
    counts = {name: facts[name] for name in ("dropped", "repeated", "reconnects")}
    return SoakReport(
        size=size,
        minutes=round(looks[-1].second / 60.0, 2),
        growth_mb=_growth([look.memory for look in settled]) if len(settled) >= 20 else None,
        handles=_ends([look.handles for look in later]),
        threads=_ends([look.threads for look in later]),
        latency_p50_ms=(later[0].latency_p50_ms, later[-1].latency_p50_ms),
        wall_s=round(player.moments[-1] - player.moments[joined], 3),
        stream_s=round(player.stamps[-1] - began, 3),
        recorded_s=round(stamps[-1] - began, 3),  # both outputs begin at 0 with the same picture
        recorded_pictures=len(stamps),
        recorded_mb=round(megabytes, 1),
        gap_ms=round(1000.0 * biggest, 1),
        drift_ms=looks[-1].ahead_ms,
        viewed_fps=round((looks[-1].viewed - looks[0].viewed) / span, 2),
        arrived_fps=round((looks[-1].arrived - looks[0].arrived) / span, 2),
        fps=round(float(np.mean([look.fps for look in looks])), 2),
        problems=tuple(problems),
        looks=tuple(looks),
        **{name: int(str(value)) for name, value in counts.items()},
    )


def _read_recording(path: Path) -> tuple[list[float], float, float]:
    """Times of the pictures in seconds, the longest gap between two, and the size in MB."""
    try:
        with av.open(str(path)) as container:
            base = container.streams.video[0].time_base
            stamps = [
                float(packet.pts * base) for packet in container.demux(video=0) if packet.pts is not None and base
            ]
    except (FFmpegError, IndexError) as error:
        raise BackendError(f"the recording cannot be read: {error}") from error
    return stamps, float(np.diff(stamps).max(initial=0.0)), path.stat().st_size / 1e6


def _growth(memory: Sequence[float | None]) -> float | None:
    known = [value for value in memory if value is not None]
    if not known:
        return None
    part = max(1, len(known) // 10)
    return round(float(np.median(known[-part:]) - np.median(known[:part])), 2)


def _ends(counts: Sequence[int | None]) -> tuple[int, int] | None:
    """Medians of the first and the last tenth."""
    known = [count for count in counts if count is not None]
    part = max(1, len(known) // 10)
    return (int(np.median(known[:part])), int(np.median(known[-part:]))) if known else None


def format_soak(report: SoakReport) -> str:
    """A Markdown table: what was asked and what came out."""
    growth = "shorter than that" if report.growth_mb is None else f"{report.growth_mb:+.2f} MB"
    rows = [
        ("memory after minute 5", f"< {MOST_GROWTH:g} MB more", growth),
        ("file handles, first and last", "the same", _pair(report.handles)),
        ("threads, first and last", "the same", _pair(report.threads)),
        ("latency, median, first and last", "no growth", "{:.0f} and {:.0f} ms".format(*report.latency_p50_ms)),
        ("stream's time stamps against the wall clock", "no drift", f"{report.drift_ms:+.0f} ms"),
        ("length by wall clock, stream, recording", "the same",
         f"{report.wall_s:.2f}, {report.stream_s:.2f}, {report.recorded_s:.2f} s"),
        ("longest gap in the recording", "", f"{report.gap_ms:.0f} ms"),
        ("pictures a second: painted, stream, page", str(FPS),
         f"{report.fps:.1f}, {report.arrived_fps:.1f}, {report.viewed_fps:.1f}"),
        ("dropped, repeated, reconnects", "", f"{report.dropped}, {report.repeated}, {report.reconnects}"),
        ("problems", "none", "; ".join(report.problems) or "none"),
    ]  # fmt: skip
    title = f"Scene at {report.size} to page, recording ({report.recorded_mb:,.0f} MB) and RTMP"
    lines = [f"{title} for {report.minutes:g} min.", ""]
    lines += ["| what | asked | got |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def _pair(counts: tuple[int, int] | None) -> str:
    return "this system does not tell" if counts is None else "{} and {}".format(*counts)


def plot_soak(report: SoakReport, target: Path) -> None:
    """Memory, handles and threads, latency and the gain on the wall clock over time."""
    minutes = [look.second / 60.0 for look in report.looks]
    figure = Figure(figsize=(9, 9), layout="tight")
    memory, counts, latency, clock = figure.subplots(4, 1, sharex=True)
    memory.plot(minutes, [look.memory for look in report.looks], label="livestyle")
    memory.set_ylabel("memory, MiB")
    memory.axvline(SETTLED / 60.0, color="grey", linewidth=0.8, linestyle=":")
    counts.plot(minutes, [look.handles for look in report.looks], label="file handles")
    counts.plot(minutes, [look.threads for look in report.looks], label="threads")
    counts.set_ylim(bottom=0)
    latency.plot(minutes, [look.latency_p50_ms for look in report.looks], label="latency p50, ms")
    latency.plot(minutes, [look.latency_p95_ms for look in report.looks], label="latency p95, ms", linewidth=0.8)
    latency.plot(minutes, [look.fps for look in report.looks], label="new frames a second", linewidth=0.8)
    latency.set_ylim(bottom=0)
    clock.plot(minutes, [look.ahead_ms for look in report.looks], label="stream ahead of the wall clock, ms")
    clock.set_xlabel("minutes")
    for axis in (memory, counts, latency, clock):
        axis.legend(loc="lower right")
        axis.grid(alpha=0.3)
    memory.set_title(f"scene at {report.size} to page, recording and RTMP")
    figure.savefig(target, dpi=100)
