"""``livestyle evaluate load``: a live stream while another program takes one core, second by second.

The scene runs into a null sink for three equal stretches: alone, beside a process that keeps one core busy, and alone
again. What the governor did is in the timeline that the session itself keeps.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from livestyle.artifacts import Model
from livestyle.config import parse_size
from livestyle.controls import ControlBoard, Controls
from livestyle.errors import BackendError, ConfigError
from livestyle.evaluate.report import make_folder, write_text
from livestyle.live.outlet import SinkPlan
from livestyle.live.scaling import ScaledPainter
from livestyle.live.session import Session
from livestyle.live.stats import Second, Stats
from livestyle.live.stylizer import Stylizer
from livestyle.media import StreamInfo
from livestyle.sinks.null import NullSink
from livestyle.sources.scene import SceneSource

FPS = 30
SHORTEST = 9  # s: three of each stretch
GLANCE = 0.05  # s
BURN = "import os\nif hasattr(os, 'sched_setaffinity'): os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})\n"
BURN += "while True: pass"


class Stretch(msgspec.Struct, frozen=True):
    """One third of a run. ``fps`` is its mean, ``slowest`` its slowest second, ``deepest`` the lowest level used."""

    name: str
    fps: float
    slowest: int
    dropped: int
    deepest: int
    last: int


class LoadReport(msgspec.Struct, frozen=True):
    """``stretches``: before, loaded and after. ``back``: seconds from the end of the load to level 0, None if never."""

    size: str
    governed: bool
    stretches: tuple[Stretch, ...]
    back: int | None
    timeline: tuple[Second, ...]


def measure_load(model: Model, size: str, seconds: int, out: Path, *, backend: str, governed: bool) -> LoadReport:
    """Run for ``seconds``, write ``load.json`` and ``load.png`` to ``out``, and return the figures.

    Raises `ConfigError` for wrong input, `BackendError` when painting fails and `SinkError` for the folder.
    """
    if seconds < SHORTEST:
        raise ConfigError(f"{seconds} seconds are too few: give at least {SHORTEST}")
    width, height = parse_size(size)
    make_folder(out)
    third = seconds // 3
    timeline = _run_loaded(model, (width, height), third, backend, governed)
    names = ("alone", "one core taken", "alone again")
    stretches = tuple(_sum_up(name, timeline[n * third : (n + 1) * third]) for n, name in enumerate(names))
    again = timeline[2 * third :]
    back = next((n for n, second in enumerate(again) if all(later.level == 0 for later in again[n:])), None)
    report = LoadReport(f"{width}x{height}", governed, stretches, back, tuple(timeline))
    write_text(out / "load.json", msgspec.json.format(msgspec.json.encode(report), indent=1).decode() + "\n")
    plot_load(report, third, out / "load.png")
    return report


def _run_loaded(model: Model, size: tuple[int, int], third: int, backend: str, governed: bool) -> list[Second]:
    stats, messages = Stats(), list[str]()

    def open_painter(info: StreamInfo) -> ScaledPainter:
        fps = float(info.fps) if governed else None
        painter = ScaledPainter(
            lambda: Stylizer(model, backend=backend), size, size, fps=fps, on_rung=stats.set_painting
        )
        painter.prepare()
        return painter

    session = Session(
        lambda _: SceneSource(*size, FPS),
        [SinkPlan("null", lambda info: NullSink("null", info), realtime=False)],
        open_painter,
        ControlBoard(Controls(((model.styles[0], 1.0),)), lambda: model.styles),
        stats,
        size=size,
        on_message=messages.append,
    )
    runner = threading.Thread(target=session.run, name="session")
    runner.start()
    try:
        _wait(stats, third, runner)
        load = subprocess.Popen([sys.executable, "-c", BURN])
        try:
            _wait(stats, 2 * third, runner)
        finally:
            load.kill()
            load.wait()
        _wait(stats, 3 * third, runner)
    finally:
        session.stop()
        runner.join()
    if messages:
        raise BackendError(f"the run was disturbed: {messages[0]}")
    return stats.timeline()[: 3 * third]


def _wait(stats: Stats, seconds: int, runner: threading.Thread) -> None:
    while len(stats.timeline()) < seconds:
        runner.join(GLANCE)
        if not runner.is_alive():
            raise BackendError("the session ended by itself")


def _sum_up(name: str, seconds: Sequence[Second]) -> Stretch:
    rates, levels = [second.fps for second in seconds], [second.level for second in seconds]
    dropped = sum(second.dropped for second in seconds)
    return Stretch(name, round(sum(rates) / len(rates), 2), min(rates), dropped, max(levels), levels[-1])


def plot_load(report: LoadReport, third: int, target: Path) -> None:
    """Frames per second and painted lines over time; the load is shaded."""
    moments = [second.second + 0.5 for second in report.timeline]
    figure = Figure(figsize=(9, 5), layout="tight")
    rate, lines = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    rate.plot(moments, [second.fps for second in report.timeline], linewidth=1.2)
    rate.axhline(29, color="grey", linewidth=0.8, linestyle=":")
    rate.set_ylim(0, FPS + 3)
    rate.set_ylabel("new frames in the second")
    lines.step(moments, [int(second.size.partition("x")[2]) for second in report.timeline], where="mid")
    lines.set_ylim(bottom=0)
    lines.set_ylabel("painted lines")
    lines.set_xlabel("seconds")
    for axis in (rate, lines):
        axis.axvspan(third, 2 * third, color="tab:red", alpha=0.12)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    rate.set_title(f"{report.size} at {FPS} fps, one of {cores} cores taken in the shaded stretch")
    figure.savefig(target, dpi=100)


def print_load(report: LoadReport, console: Console) -> None:
    """The stretches as a table."""
    table = Table(title=f"{report.size} at {FPS} fps, governor {'on' if report.governed else 'off'}")
    for heading in ("", "fps", "slowest second", "dropped", "deepest level", "level at its end"):
        table.add_column(heading, justify="right" if heading else "left")
    for stretch in report.stretches:
        cells = (stretch.fps, stretch.slowest, stretch.dropped, stretch.deepest, stretch.last)
        table.add_row(stretch.name, *(f"{cell:g}" for cell in cells))
    console.print(table)
    console.print(
        "not back at the asked size" if report.back is None else f"back at the asked size after {report.back} s"
    )
