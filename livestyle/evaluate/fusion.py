"""Fusion of styles, measured: blends, switches, morphs, the borders of regions, and what each of them costs.

Everything is painted on one still frame in float32, so that what differs is the styles' doing alone; the times are
those of the precision that runs live.
"""

import statistics
import time
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import msgspec
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from livestyle.artifacts import Kernel, Model
from livestyle.backends import open_backend
from livestyle.controls import Controls, Mix, Region
from livestyle.live.morph import Morph
from livestyle.live.stylizer import Stylizer
from livestyle.media import Frame, Pixels
from livestyle.model.bank import normalize

DISTANCES = ((1, 4), (5, 8), (9, 16), (17, 32), (33, 64))  # pixels from a border, from and to
MORPH_FPS = 30
TIMED = 40  # frames of each median


class Border(msgspec.Struct, frozen=True):
    """What pixels ``nearest`` to ``farthest`` pixels from a hard border owe to the style beyond it.

    Mean difference from their own style alone as a share of the mean difference of the two styles: with the mask after
    the banks, as regions are painted, and before them, as StyleBank published it.
    """

    nearest: int
    farthest: int
    after: float
    before: float


class FusionReport(msgspec.Struct, frozen=True):
    """``blend_gap``: largest difference, of 255, of a blend of all styles and the sum of their banks' features.

    ``encodes``: encoder runs of a still frame that ``changes`` switches, blends, strengths and regions painted anew.
    ``jump``: largest step of a one-second morph, relative to the larger of its neighbours; ``largest_step`` relative to
    the whole way. ``borders``: see `Border`. ``milliseconds``: medians of the stages that fusion adds to.
    """

    blend_gap: float
    changes: int
    encodes: int
    jump: float
    largest_step: float
    borders: list[Border]
    milliseconds: dict[str, float]


def evaluate_fusion(model: Model, pixels: Pixels, backend: str = "openvino") -> FusionReport:
    """Measure on one picture, RGB (H, W, 3); all pairs of neighbouring styles in the model's list take part."""
    frame = Frame(pixels, 0, 0, Fraction(1), time.monotonic())
    whole = np.ones(pixels.shape[:2], np.float32)
    exact = Stylizer(model, backend=backend, precision="f32", masks={"whole": lambda _: whole})
    try:
        gap = measure_blend(exact, frame)
        changes = measure_encodes(exact, frame)
        jump, largest = measure_morph(exact, frame)
        borders = measure_borders(model, pixels, backend)
    finally:
        exact.close()
    return FusionReport(gap, *changes, jump, largest, borders, time_fusion(model, frame, backend))


def measure_blend(stylizer: Stylizer, frame: Frame) -> float:
    """Largest difference of the blend by kernels and the blend of what the banks give."""
    styles = stylizer.styles
    mix = tuple((style, 1.0 / len(styles)) for style in styles)
    layers = tuple(Region("whole", _plain(style), 1.0 / (index + 1)) for index, style in enumerate(styles))
    summed = _paint(stylizer, frame, Controls(_plain(styles[0]), layers[1:]))
    return float(np.abs(_paint(stylizer, frame, Controls(mix)) - summed).max())


def measure_encodes(stylizer: Stylizer, frame: Frame) -> tuple[int, int]:
    """(changes painted, encodes) on a frame that was seen before."""
    first, *rest = stylizer.styles
    stylizer.paint(frame, Controls(_plain(first)))
    before = stylizer.encodes
    changes = [Controls(_plain(style)) for style in rest]
    changes += [Controls(((first, 0.5), (style, 0.5)), strength=0.7) for style in rest]
    changes += [Controls(_plain(first), (Region("circle", _plain(style)),)) for style in rest]
    for controls in changes:
        stylizer.paint(frame, controls)
    return len(changes), stylizer.encodes - before


def measure_morph(stylizer: Stylizer, frame: Frame) -> tuple[float, float]:
    """(largest jump relative to its neighbours, relative to the whole way) of morphs of a second, over all pairs."""
    jump = largest = 0.0
    for first, second in _pairs(stylizer.styles):
        morph = Morph()
        steps = [morph.follow(Controls(_plain(first), morph=1.0), 0.0)]
        goal = Controls(_plain(second), morph=1.0)
        steps += [morph.follow(goal, number / MORPH_FPS) for number in range(1, MORPH_FPS + 1)]
        pictures = [_paint(stylizer, frame, controls) for controls in steps]
        sizes = [float(np.abs(after - before).mean()) for before, after in pairwise(pictures)]
        around = [max(sizes[max(0, n - 1) : n] + sizes[n + 1 : n + 2]) for n in range(len(sizes))]
        jump = max(jump, *(size / near for size, near in zip(sizes, around, strict=True)))
        largest = max(largest, max(sizes) / float(np.abs(pictures[-1] - pictures[0]).mean()))
    return jump, largest


def measure_borders(model: Model, pixels: Pixels, backend: str) -> list[Border]:
    """How styles bleed over the border of a left half, the mask laid after the banks and before them."""
    width, height = pixels.shape[1] // 16 * 16, pixels.shape[0] // 16 * 16  # so that the border lies on the grid
    runner = open_backend(backend, model, width, height, "f32")
    source = runner.upload(np.ascontiguousarray(pixels[None, :height, :width]))
    normal = normalize(torch.from_numpy(runner.download(runner.load("encode")(pixels=source)["features"])))
    decode = runner.load("decode")

    def show(painted: Tensor) -> NDArray[np.float64]:
        picture = runner.download(decode(painted=runner.upload(painted.numpy()))["picture"])[0]
        return np.asarray(picture, np.float64)

    columns = np.arange(width)
    is_left = columns < width // 2
    distance = np.where(is_left, width // 2 - columns, columns - width // 2 + 1)
    left = torch.zeros(normal.shape[2:])
    left[:, : left.shape[1] // 2] = 1.0
    sums = np.zeros((2, len(DISTANCES)))
    pairs = _pairs(model.styles)
    for pair in pairs:
        kernels = [model.read_kernel(style) for style in pair]
        alone = [_convolve(normal, kernel, torch.ones_like(left)) for kernel in kernels]
        first, second = (show(painted) for painted in alone)
        own = np.where(is_left[None, :, None], first, second)
        after = show(left * alone[0] + (1.0 - left) * alone[1])
        before = show(_convolve(normal, kernels[0], left) + _convolve(normal, kernels[1], 1.0 - left))
        for number, painted in enumerate((after, before)):
            strayed = np.abs(painted - own).mean(axis=(0, 2)) / np.abs(first - second).mean()
            sums[number] += [strayed[(distance >= low) & (distance <= high)].mean() for low, high in DISTANCES]
    runner.close()
    means = (sums / len(pairs)).round(4).T.tolist()
    return [Border(low, high, *shares) for (low, high), shares in zip(DISTANCES, means, strict=True)]


def _convolve(normal: Tensor, kernel: Kernel, mask: Tensor) -> Tensor:
    """K ⊗ (M × F) + M × b."""
    painted = F.conv2d(normal * mask, torch.from_numpy(kernel.weight), padding=1)
    return painted + torch.from_numpy(kernel.bias)[:, None, None] * mask


def time_fusion(model: Model, frame: Frame, backend: str) -> dict[str, float]:
    """Median milliseconds of banks and decoder with and without regions or a morph, and of keeping colours."""
    styles = (model.styles * 4)[:4]
    names = ("left", "top", "circle")
    regions = tuple(Region(name, _plain(style)) for name, style in zip(names, styles[1:], strict=True))
    start = Controls(_plain(styles[0]))
    shares = [(number + 1) / (TIMED + 1) for number in range(TIMED)]
    runs = {
        "bank+decode": [start] * TIMED,
        "bank+decode, in a morph": [Controls(((styles[0], 1.0 - share), (styles[1], share))) for share in shares],
        **{f"bank+decode, regions: {n}": [Controls(start.mix, regions[:n])] * TIMED for n in (1, 2, 3)},
        "colors": [Controls(start.mix, keep_colors=True)] * TIMED,
    }
    stylizer = Stylizer(model, backend=backend)
    medians: dict[str, float] = {}
    for name, looks in runs.items():
        times: list[float] = []
        for controls in looks:
            stylizer.paint(frame, controls)
            times.append(stylizer.stages[name.partition(",")[0]])
        medians[name] = round(statistics.median(times), 3)
    stylizer.close()
    return medians


def _plain(style: str) -> Mix:
    return ((style, 1.0),)


def _pairs(styles: Sequence[str]) -> list[tuple[str, str]]:
    """Each style with its successor, the last with the first."""
    return list(zip(styles, (*styles[1:], styles[0]), strict=True))


def _paint(stylizer: Stylizer, frame: Frame, controls: Controls) -> NDArray[np.float64]:
    return stylizer.paint(frame, controls).pixels.astype(np.float64)
