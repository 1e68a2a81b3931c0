"""What the measurements look like to people: Markdown tables, picture sheets, terminal tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from livestyle.errors import SinkError
from livestyle.media import Pixels

if TYPE_CHECKING:
    from livestyle.evaluate.quality import QualityReport
    from livestyle.evaluate.speed import Change, SpeedReport

PEAK = "share of the peak"  # a `Change` that is not of a peer
GAP = 8  # pixels between pictures of a sheet
CAPTION = 24  # pixels above a row of pictures

Strip = Sequence[tuple[str, Pixels]]  # (caption, picture) from left to right


def format_quality(report: QualityReport) -> str:
    """A Markdown table: a row per style and method; ``÷ Johnson`` below 1 is better than his network.

    ``= iterations`` is how many of L-BFGS on the pixels reach the same sum: more is better.
    """
    lines = [
        f"Mean of {report.photos} photos of 256×256, backend {report.backend}. Lower is better. "
        f"Auto-encoder (strength 0): {report.psnr:.2f} dB PSNR. Times are of this run, Johnson's in plain torch: "
        "`livestyle bench --peers` compares speeds.",
        "",
        "| style | method | content | style | sum | ÷ Johnson | = iterations | ms at 256×256 | GMAC at 640×360 "
        "| bytes per style | minutes of training |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in report.rows:
        cells = [
            row.style,
            row.method,
            f"{row.content:.3f}",
            f"{row.style_loss:.3f}",
            f"{row.total:.3f}",
            _number(report.ratio(row), "{:.2f}"),
            _count(row.iterations, report.iterations),
            _number(row.milliseconds, "{:.1f}"),
            _number(row.gmacs, "{:,.2f}"),
            _number(row.style_bytes, "{:,}"),
            _number(row.training_minutes, "{:.1f}"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def print_quality(report: QualityReport, console: Console) -> None:
    """The same table for the terminal."""
    table = Table(title=f"quality: {report.photos} photos, backend {report.backend}, auto-encoder {report.psnr:.2f} dB")
    for heading in ("style", "method"):
        table.add_column(heading, no_wrap=True)
    for heading in ("content", "style", "sum", "÷ Johnson", "ms"):
        table.add_column(heading, justify="right")
    for row in report.rows:
        losses = (f"{loss:.3f}" for loss in (row.content, row.style_loss, row.total))
        ratio, milliseconds = _number(report.ratio(row), "{:.2f}"), _number(row.milliseconds, "{:.1f}")
        table.add_row(row.style, row.method, *losses, ratio, milliseconds)
    console.print(table)


def draw_sheet(blocks: Mapping[str, Sequence[Strip]]) -> Pixels:
    """A picture (H, W, 3) of rows of pictures of one size with captions, on white; the block's name stands in front."""
    rows = [(name, strip) for name, strips in blocks.items() for strip in strips]
    side_y, side_x = rows[0][1][0][1].shape[:2]
    columns = max(len(strip) for _, strip in rows)
    height, width = len(rows) * (CAPTION + side_y + GAP) + GAP, columns * (side_x + GAP) + GAP
    sheet = np.full((height, width, 3), 255, np.uint8)
    for number, (name, strip) in enumerate(rows):
        top = GAP + number * (CAPTION + side_y + GAP)
        for column, (caption, picture) in enumerate(strip):
            left = GAP + column * (side_x + GAP)
            text = caption if column else f"{name}: {caption}"
            cv2.putText(sheet, text, (left, top + 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
            sheet[top + CAPTION : top + CAPTION + side_y, left : left + side_x] = picture
    return sheet


def print_speed(report: SpeedReport, console: Console, changes: Sequence[Change] = ()) -> None:
    """A table of one ``livestyle bench`` run, and of the changes since an earlier one."""
    machine = report.machine
    console.print(
        f"{machine.cpu}, {machine.threads} of {machine.cores} threads, {machine.isa}; {machine.runtime}; "
        f"backend {report.backend}, {report.precision}, style {report.style}, {report.frames} frames"
    )
    table = Table(title=f"milliseconds at {report.size}")
    table.add_column("what")
    for heading in ("median", "p95", "× our step"):
        table.add_column(heading, justify="right")
    for name, stage in report.stages_ms.items():
        table.add_row(f"  {name}", f"{stage.p50:.2f}", f"{stage.p95:.2f}", "")
    table.add_row("network step", f"{report.step_ms.p50:.2f}", f"{report.step_ms.p95:.2f}", "1.00")
    table.add_row("live loop, a frame", f"{report.loop_ms.p50:.2f}", f"{report.loop_ms.p95:.2f}", "")
    for name, milliseconds in report.peers.items():
        table.add_row(name, f"{milliseconds:.2f}", "", f"{report.ratios[name]:.2f}")
    console.print(table)
    for line in _tell_more(report):
        console.print(line, soft_wrap=True)
    for change in changes:
        times = "" if change.peer == PEAK else " times our step"
        console.print(
            f"{change.peer}: {change.before:.2f} → {change.now:.2f}{times} "
            f"({100.0 * (change.factor - 1.0):+.1f} % speed)"
        )


def _tell_more(report: SpeedReport) -> Iterator[str]:
    """A line for each thing beside the table."""
    roofline, switches, start, relay = report.roofline, report.switches, report.start, report.relay
    if roofline is not None:
        yield (
            f"convolutions: {100 * roofline.share:.0f} % of this machine's peak of {roofline.peak_gmacs:.0f} GMAC/s "
            f"({roofline.peak_shape}); everything: {100 * roofline.whole_share:.0f} %"
        )
        for name, graph in roofline.graphs.items():
            if graph.gmac:
                yield (
                    f"  {name}: {graph.gmac:.2f} GMAC, {graph.convolutions_ms:.2f} of {graph.ms:.2f} ms "
                    f"in convolutions, {graph.gmacs:.0f} GMAC/s, {100 * graph.share:.0f} %"
                )
    if switches is not None:
        yield (
            f"{switches.switches} switches and blends: slowest frame {switches.slowest_ms:.1f} ms, "
            f"{switches.ratio:.2f} × the median; without switches {switches.steady_slowest_ms:.1f} ms, "
            f"{switches.steady_ratio:.2f} ×"
        )
    if start is not None:
        yield f"start to the end of a run of one painted frame: {start.median_s:.2f} s, slowest {start.slowest_s:.2f} s"
    if relay is not None:
        grown = "" if relay.growth_mb is None else f", {relay.growth_mb:+.1f} MB after the first minute"
        yield (
            f"relay of {relay.size} over {relay.server}, {relay.seconds:.0f} s: {relay.fps:.2f} fps, "
            f"{100 * relay.dropped:.2f} % dropped, latency {relay.latency_p50_ms:.0f} ms "
            f"(p95 {relay.latency_p95_ms:.0f}), {relay.memory_mb:.0f} MB{grown}"
        )


def make_folder(folder: Path) -> None:
    """Make a folder for results. Raises `SinkError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(f"cannot make the folder {folder}: {error.strerror}") from error


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file. Raises `SinkError`."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror}") from error


def _count(iterations: int | None, tried: int) -> str:
    """How many iterations come level; ``> N`` when all N that were tried do not."""
    if not tried:
        return "–"
    return f"> {tried}" if iterations is None else f"{iterations}"


def _number(value: float | None, how: str) -> str:
    return "–" if value is None else how.format(value)
