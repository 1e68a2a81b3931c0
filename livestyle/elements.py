"""Style elements: what each bank has learned, seen as the strokes that single features become.

A bank is a bare convolution, so its answer to an impulse in one feature is that feature's slice of the kernel; decoded,
it is the stroke, dab or edge that the style paints wherever the feature is found (StyleBank, CVPR 2017, shows such
elements). Nothing is encoded and no photo is needed.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from livestyle.artifacts import Kernel, Model
from livestyle.backends import Graph, open_backend
from livestyle.contact_sheet import GAP, INK, MARGIN, PALE_INK, PAPER, write_line
from livestyle.media import Pixels

IMPULSE = 12.0  # of a feature, in units of its own spread over a picture: what its strongest places reach
TILE = 16  # features from one impulse to the next: their strokes do not meet
SHOWN = 8  # features of a tile that are shown, round the impulse
ACROSS, DOWN = 12, 3  # elements of a style on the sheet, the strongest first
SCALE = 3  # sheet pixels per painted pixel
FULL = 110.0  # of 255: on the sheet the strongest elements leave the ground by so much, and the others in proportion
HEAD = 76  # pixels above a style's elements for its name


@dataclass(frozen=True, slots=True)
class Element:
    """The answer to one feature: its number, RGB ``pixels`` (H, W, 3) and the ``ground`` that they leave, (H, W, 3)."""

    feature: int
    pixels: Pixels
    ground: Pixels

    @property
    def difference(self) -> NDArray[np.float32]:
        """The element without its ground, -255 to 255."""
        return self.pixels.astype(np.float32) - self.ground

    @property
    def strength(self) -> float:
        """Mean distance from the ground."""
        return float(np.abs(self.difference).mean())


def paint_elements(model: Model, style: str, backend: str = "auto") -> list[Element]:
    """Every element of a style, the strongest first. Raises `BackendError` or `ModelError`."""
    facts = model.manifest
    side = -(-TILE * facts.stride // facts.multiple) * facts.multiple  # pixels of a tile
    step = side // facts.stride
    columns = int(np.ceil(np.sqrt(facts.channels + 1)))
    rows = -(-(facts.channels + 1) // columns)  # one tile stays empty: the ground
    runner = open_backend(backend, model, columns * side, rows * side)
    try:
        painted = answer_impulses(model.read_kernel(style), rows, columns, step)
        decode: Graph = runner.load("decode")
        picture = runner.download(decode(painted=runner.upload(painted[None]))["picture"])[0]
    finally:
        runner.close()
    shown = SHOWN * facts.stride
    start = (step // 2) * facts.stride + facts.stride // 2 - shown // 2
    tiles = [
        np.ascontiguousarray(picture[y : y + shown, x : x + shown])
        for y in range(start, rows * side, side)
        for x in range(start, columns * side, side)
    ]
    elements = [Element(feature, tiles[feature], tiles[facts.channels]) for feature in range(facts.channels)]
    return sorted(elements, key=lambda element: element.strength, reverse=True)


def answer_impulses(kernel: Kernel, rows: int, columns: int, step: int) -> NDArray[np.float32]:
    """A bank's features (C, rows·step, columns·step) where tile n, row by row, holds an impulse in feature n."""
    channels = kernel.bias.shape[0]
    painted = np.zeros((channels, rows * step, columns * step), np.float32) + kernel.bias[:, None, None]
    for feature in range(channels):
        row, column = divmod(feature, columns)
        y, x = row * step + step // 2, column * step + step // 2
        # a convolution as networks know it correlates, so an impulse brings out its kernel mirrored
        painted[:, y - 1 : y + 2, x - 1 : x + 2] += IMPULSE * kernel.weight[:, feature, ::-1, ::-1]
    return painted


def make_elements_sheet(model: Model, advance: Callable[[], None] = lambda: None) -> Pixels:
    """The strongest elements of every style of the model, a block for each; ``advance`` is called after each style."""
    cell = SHOWN * model.manifest.stride * SCALE
    block = HEAD + DOWN * (cell + GAP)
    width = 2 * MARGIN + ACROSS * (cell + GAP) - GAP
    sheet = np.full((2 * MARGIN + len(model.styles) * block, width, 3), PAPER, np.uint8)
    for number, style in enumerate(model.styles):
        top = MARGIN + number * block
        write_line(sheet, model.caption(style), (MARGIN, top + 30), 1.0, INK, width - 2 * MARGIN)
        elements = paint_elements(model, style)[: ACROSS * DOWN]
        gain = max(1.0, FULL / float(np.percentile([np.abs(element.difference) for element in elements], 99.5)))
        note = f"{style}, contrast x{gain:.1f}"
        write_line(sheet, note, (MARGIN, top + 58), 0.62, PALE_INK, width - 2 * MARGIN)
        for index, element in enumerate(elements):
            row, column = divmod(index, ACROSS)
            y, x = top + HEAD + row * (cell + GAP), MARGIN + column * (cell + GAP)
            clear = element.ground + gain * element.difference
            enlarged = cv2.resize(clear, (cell, cell), interpolation=cv2.INTER_CUBIC)
            sheet[y : y + cell, x : x + cell] = np.clip(enlarged, 0, 255).astype(np.uint8)
        advance()
    return sheet
