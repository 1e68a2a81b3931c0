"""A contact sheet: styles across, pictures down, the originals in the first column; many styles make several bands."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from livestyle.artifacts import Model
from livestyle.controls import Controls
from livestyle.live.stylizer import Stylizer
from livestyle.media import Pixels
from livestyle.sources.scene import SceneSource
from livestyle.stylize import paint_picture

COLUMN = 480  # pixels; pictures are painted at the size they are shown in, so the strokes are true
TALLEST = 600  # pixels; portraits are narrower than their column
ACROSS = 4  # styles beside the originals in a band
GAP = 16
MARGIN = 40
HEAD = 84  # pixels for the styles' labels
CAPTION = 40  # pixels below each original for its name
PAPER, INK, PALE_INK = (250, 249, 246), (32, 32, 36), (120, 118, 112)
SCENES = ((0, 4), (1, 60), (2, 90))  # (seed, seconds): three places, with the balloon and the boat in different corners


@dataclass(frozen=True, slots=True)
class Named:
    """A picture, RGB (H, W, 3) uint8, and what is written below it."""

    name: str
    pixels: Pixels


def draw_scenes() -> list[Named]:
    """Pictures for whoever has none at hand: the rendered scene in three places."""
    named = []
    for seed, seconds in SCENES:
        with SceneSource(COLUMN, COLUMN * 9 // 16, 30, live=False, seed=seed) as scene:
            named.append(Named(f"scene {seed + 1}", scene.scene_frame(30 * seconds)))
    return named


def make_sheet(
    model: Model, painter: Stylizer, pictures: Sequence[Named], advance: Callable[[], None] = lambda: None
) -> Pixels:
    """Paint each picture in each style of the model and lay all out; ``advance`` is called after each painting."""
    rows = [Named(picture.name, _fit(picture.pixels)) for picture in pictures]
    styles = model.styles
    across = min(ACROSS, len(styles))
    bands = []
    for first in range(0, len(styles), across):
        band = _blank_band(across, rows)
        _fill_band(band, model, painter, styles[first : first + across], rows, advance)
        bands.append(band)
    return np.vstack(bands)


def _blank_band(across: int, rows: Sequence[Named]) -> Pixels:
    width = 2 * MARGIN + (1 + across) * COLUMN + across * GAP
    height = MARGIN + HEAD + sum(row.pixels.shape[0] + CAPTION for row in rows) + (len(rows) - 1) * GAP + MARGIN
    return np.full((height, width, 3), PAPER, np.uint8)


def _fill_band(
    band: Pixels,
    model: Model,
    painter: Stylizer,
    styles: Sequence[str],
    rows: Sequence[Named],
    advance: Callable[[], None],
) -> None:
    """The originals, and their paintings in some of the styles."""
    heads = [("Original", ""), *((model.caption(style), style) for style in styles)]
    for column, (caption, name) in enumerate(heads):
        write_line(band, caption, (_left(column), MARGIN + 30), 1.0, INK, COLUMN)
        write_line(band, name, (_left(column), MARGIN + 60), 0.62, PALE_INK, COLUMN)
    top = MARGIN + HEAD
    for row in rows:
        _place(band, row.pixels, 0, top)
        for column, style in enumerate(styles, start=1):
            _place(band, paint_picture(painter, row.pixels, Controls(((style, 1.0),))), column, top)
            advance()
        top += row.pixels.shape[0]
        write_line(band, row.name, (_left(0), top + 25), 0.62, PALE_INK, COLUMN)
        top += CAPTION + GAP


def _left(column: int) -> int:
    return MARGIN + column * (COLUMN + GAP)


def _fit(pixels: Pixels) -> Pixels:
    """Scale to the column's width, or to the tallest row; small pictures grow."""
    height, width = pixels.shape[:2]
    scale = min(COLUMN / width, TALLEST / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, size, interpolation=method), np.uint8)


def _place(sheet: Pixels, pixels: Pixels, column: int, top: int) -> None:
    height, width = pixels.shape[:2]
    left = _left(column)
    sheet[top : top + height, left : left + width] = pixels


def write_line(
    sheet: Pixels, text: str, at: tuple[int, int], scale: float, ink: tuple[int, int, int], width: int
) -> None:
    """One line of text from its lower left corner, shortened where it would be wider than ``width`` pixels."""
    plain = text.encode("ascii", "replace").decode()  # the built-in letters know no others
    while plain and _width(plain, scale) > width:
        plain = plain.removesuffix("...")[:-1] + "..."
    cv2.putText(sheet, plain, at, cv2.FONT_HERSHEY_DUPLEX, scale, ink, 1, cv2.LINE_AA)


def _width(text: str, scale: float) -> int:
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, scale, 1)
    return int(width)
