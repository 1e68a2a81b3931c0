"""How the measurement of stability is shown: a Markdown table, the error over time, and a video side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from livestyle.media import Frame, Pixels, StreamInfo
from livestyle.pictures import check_target
from livestyle.sinks import open_sink

if TYPE_CHECKING:
    from livestyle.evaluate.steadiness import SteadinessRow

HEADINGS = (
    "E_warp, 1 frame",
    "5 frames",
    "excess removed, 1",
    "excess removed, 5",
    "÷ Johnson, 1",
    "÷ Johnson, 5",
    "style loss",
    "distance",
    "ghost",
    "softer",
)
FEWER = {  # on a terminal
    "E_warp": "E_warp, 1 frame",
    "5 frames": "5 frames",
    "removed": "excess removed, 1",
    "at 5": "excess removed, 5",
    "distance": "distance",
    "softer": "softer",
}
CAPTION = 20  # pixels above each picture of the montage
FPS = 30


def format_steadiness(rows: Sequence[SteadinessRow]) -> str:
    """A Markdown table with a row per painter, style and clip."""
    lines = [
        "Warping error over 1 and 5 frames; lower is better. *Excess removed*: of the error above the input's own, "
        "compared with the same painter frame by frame. *÷ Johnson*: excess as a share of his. *Distance* (0 to 255) "
        "and *softer* (mean gradient): from the same painter frame by frame; *ghost*: that distance where the frame "
        "before showed something else.",
        "",
        f"| clip | style | painter | {' | '.join(HEADINGS)} |",
        f"|{'---|' * (3 + len(HEADINGS))}",
    ]
    lines += [f"| {' | '.join((row.clip, row.style, row.method, *_cells(row)))} |" for row in rows]
    return "\n".join(lines) + "\n"


def print_steadiness(rows: Sequence[SteadinessRow], console: Console) -> None:
    """The same for the terminal, a table for each style of each clip."""
    for clip, style in dict.fromkeys((row.clip, row.style) for row in rows):
        table = Table(title=f"{clip}: {style}")
        table.add_column("painter", no_wrap=True)
        for heading in FEWER:
            table.add_column(heading, justify="right")
        for row in rows:
            if (row.clip, row.style) == (clip, style):
                cells = dict(zip(HEADINGS, _cells(row), strict=True))
                table.add_row(row.method, *(cells[name] for name in FEWER.values()))
        console.print(table)


def _cells(row: SteadinessRow) -> list[str]:
    cells = [f"{value:.5f}" for value in row.e_warp]
    cells += [_number(value, "{:.0%}") for value in row.removed]
    cells += [_number(value, "{:.2f}") for value in row.to_johnson]
    return [
        *cells,
        _number(row.style_loss, "{:.2f}"),
        _number(row.distance, "{:.1f}"),
        _number(row.ghost, "{:.1f}"),
        _number(row.softer, "{:+.0%}"),
    ]


def _number(value: float, how: str) -> str:
    return "–" if math.isnan(value) else how.format(value)


def plot_errors(rows: Sequence[SteadinessRow], target: Path) -> None:
    """The error of each pair of neighbouring frames, a panel for each style of each clip."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = list(dict.fromkeys((row.clip, row.style) for row in rows))
    columns = min(4, len(panels))
    lines = -(-len(panels) // columns)
    figure, axes = pyplot.subplots(lines, columns, figsize=(4.5 * columns, 3 * lines), squeeze=False, sharex=True)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    for axis, panel in zip(axes.flat, panels, strict=False):
        for row in rows:
            if (row.clip, row.style) == panel:
                axis.plot(range(1, len(row.over_time) + 1), row.over_time, linewidth=1, label=row.method)
        axis.set_title(f"{panel[0]}: {panel[1]}", fontsize=9)
        axis.set_yscale("log")
    axes.flat[0].legend(fontsize=6)
    figure.supxlabel("frame")
    figure.supylabel("warping error to the frame before")
    figure.tight_layout()
    check_target(target)
    figure.savefig(target, dpi=100)
    pyplot.close(figure)


def draw_montage(videos: Sequence[tuple[str, Sequence[Pixels]]], target: Path) -> None:
    """A video of videos side by side, two in a row, under their captions. Raises `SinkError`."""
    sheets = [_sheet([(name, frames[n]) for name, frames in videos]) for n in range(len(videos[0][1]))]
    height, width = sheets[0].shape[:2]
    sink = open_sink(str(target), StreamInfo(width, height, Fraction(FPS), live=False))
    try:
        for number, sheet in enumerate(sheets):
            sink.write(Frame(sheet, number, number, Fraction(1, FPS), number / FPS))
    finally:
        sink.close()


def _sheet(tiles: Sequence[tuple[str, Pixels]]) -> Pixels:
    height, width = tiles[0][1].shape[:2]
    columns, lines = min(2, len(tiles)), -(-len(tiles) // 2)
    sheet = np.full((lines * (height + CAPTION) // 2 * 2, columns * width // 2 * 2, 3), 255, np.uint8)
    for number, (name, picture) in enumerate(tiles):
        top, left = number // 2 * (height + CAPTION), number % 2 * width
        cv2.putText(sheet, name, (left + 4, top + 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
        part = sheet[top + CAPTION : top + CAPTION + height, left : left + width]
        part[:] = picture[: part.shape[0], : part.shape[1]]
    return sheet
