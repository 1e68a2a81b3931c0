"""``livestyle evaluate correspondence``: how far off the fields of Deep Image Analogy lie where the truth is known.

A is a photo, bent; B' is the photo itself, painted by the shipped network, in other colours, or drawn as a sketch. So
where each pixel of A belongs in B' is known exactly, and the end-point error is the distance from there in pixels.
Beside it stand what works on colours and gradients: PatchMatch on colours, DIS optical flow, SIFT matching.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from livestyle.analogy.agreement import Offsets, find_offsets, smooth_both
from livestyle.analogy.command import draw_field
from livestyle.analogy.deep_analogy import Matcher, Settings
from livestyle.analogy.patchmatch import improve_field, start_field
from livestyle.artifacts import Model
from livestyle.controls import Controls
from livestyle.errors import ConfigError
from livestyle.evaluate.quality import choose_photos
from livestyle.evaluate.report import Strip, draw_sheet, make_folder, write_text
from livestyle.live.stylizer import Stylizer
from livestyle.media import Frame, Pixels
from livestyle.pictures import read_picture, write_picture
from livestyle.train.data import list_pictures, resize_short_side
from livestyle.train.vgg import VGG16, load_vgg

Mask = NDArray[np.bool_]  # (h, w)
Match = Callable[[Pixels, Pixels], tuple[Offsets, Offsets]]  # field and smooth field from A to B'

KNOTS = 4  # a side
SHEET_PHOTOS = 2
CLOSE = 5.0  # pixels: an end-point error below counts as found
SHARPNESS = 64  # the sketch blurs by the longest side over this
OURS = "deep analogy"


@dataclass(frozen=True, slots=True)
class Warp:
    """The most that a photo is turned (degrees), zoomed (share of 1), shifted and, at each knot, bent (of its side)."""

    turn: float
    zoom: float
    shift: float
    bend: float


WARPS = {"near": Warp(8.0, 0.07, 0.04, 0.025), "far": Warp(20.0, 0.15, 0.1, 0.03)}


@dataclass(frozen=True, slots=True)
class Errors:
    """End-point errors of one field, in pixels: median, mean, share below `CLOSE`."""

    median: float
    mean: float
    close: float


@dataclass(frozen=True, slots=True)
class Row:
    """One method on all pairs of a warp and a look: means over the pairs; ``smooth`` of the smooth field."""

    warp: str
    look: str
    method: str
    raw: Errors
    smooth: Errors


@dataclass(frozen=True, slots=True)
class Report:
    """``reach``: mean and largest true offset by warp, as shares of ``side``, the pictures' side in pixels."""

    rows: tuple[Row, ...]
    photos: int
    side: int
    reach: dict[str, tuple[float, float]]

    def ratio(self, warp: str, look: str) -> tuple[float, float]:
        """Our median error over the smallest other one, of the fields and of the smooth ones."""
        rows = [row for row in self.rows if (row.warp, row.look) == (warp, look)]
        ours = next(row for row in rows if row.method == OURS)
        others = [row for row in rows if row.method != OURS]
        return (
            ours.raw.median / min(row.raw.median for row in others),
            ours.smooth.median / min(row.smooth.median for row in others),
        )


def bend(photo: Pixels, warp: Warp, seed: int) -> tuple[Pixels, Offsets, Mask]:
    """The photo turned, zoomed, shifted and bent: the picture, where its pixels lie in the photo, which are inside it.

    Beyond its edge the photo is mirrored; those pixels have no truth.
    """
    height, width = photo.shape[:2]
    longest = max(height, width)
    random = np.random.default_rng(seed)
    turn, zoom = random.uniform(-warp.turn, warp.turn), 1.0 + random.uniform(-warp.zoom, warp.zoom)
    affine = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), turn, zoom)
    affine[:, 2] += random.uniform(-warp.shift, warp.shift, 2) * longest
    knots = (random.uniform(-warp.bend, warp.bend, (KNOTS, KNOTS, 2)) * longest).astype(np.float32)
    local = cv2.resize(knots, (width, height), interpolation=cv2.INTER_CUBIC)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    places = np.dstack([columns, rows, np.ones_like(rows)]) @ affine.T.astype(np.float32) + local
    bent = cv2.remap(photo, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    inside = np.all((places >= 0) & (places <= (width - 1, height - 1)), axis=2)
    return np.asarray(bent, np.uint8), places - np.dstack([columns, rows]), inside


def recolour(photo: Pixels) -> Pixels:
    """Hues turned by 120°, tones by a curve that darkens the middle."""
    hsv = cv2.cvtColor(photo, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(np.int32) + 60) % 180
    hsv[..., 2] = np.rint((hsv[..., 2] / 255.0) ** 1.6 * 255.0)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)


def sketch(photo: Pixels) -> Pixels:
    """A pencil drawing: the grey photo divided by its own blur, which leaves lines on white."""
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    ground = cv2.GaussianBlur(grey, (0, 0), max(photo.shape[:2]) / SHARPNESS)
    drawn = cv2.divide(grey, ground, scale=255.0)
    return np.repeat(np.asarray(drawn, np.uint8)[..., None], 3, axis=2)


def match_deep(a: Pixels, b_prime: Pixels, vgg: VGG16) -> tuple[Offsets, Offsets]:
    """The field and the smooth field from A to B' of Deep Image Analogy, with the settings of ``livestyle analogy``."""
    found = Matcher(vgg, a, b_prime, Settings(threads=torch.get_num_threads())).run()
    assert found.smooth_ab is not None
    return find_offsets(found.field_ab), found.smooth_ab


def match_colours(a: Pixels, b_prime: Pixels) -> Offsets:
    """PatchMatch as published (Barnes et al. 2009): squared differences of 7×7 patches of colours, all places tried."""
    ours, theirs = a / np.float32(255.0), b_prime / np.float32(255.0)
    ours_squared, theirs_squared = (np.square(x).sum(axis=2) for x in (ours, theirs))
    # Our PatchMatch looks for the largest scalar product: made minus the squared difference by two more channels.
    one = np.dstack([ours, ours_squared, np.ones_like(ours_squared)])
    other = np.dstack([2.0 * theirs, -np.ones_like(theirs_squared), -theirs_squared])
    first = start_field(a.shape[:2], b_prime.shape[:2])
    threads, radius = torch.get_num_threads(), max(b_prime.shape[:2])
    return find_offsets(improve_field(one, other, first, patch=7, radius=radius, passes=10, threads=threads))


def match_dis(a: Pixels, b_prime: Pixels) -> Offsets:
    """Dense inverse search (Kroeger et al. 2016) on grey, OpenCV's medium preset."""
    one, other = (cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) for pixels in (a, b_prime))
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(one, other, None)  # type: ignore[call-overload]
    return np.asarray(flow, np.float32)


def match_sift(a: Pixels, b_prime: Pixels) -> Offsets:
    """SIFT (Lowe 2004): mutual nearest descriptors that pass the ratio test; each pixel goes with the nearest."""
    finder = cv2.SIFT.create(contrastThreshold=0.01)
    (points, descriptors), (others, other_descriptors) = (
        finder.detectAndCompute(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), None) for pixels in (a, b_prime)
    )
    height, width = a.shape[:2]
    found = []
    if len(points) > 1 and len(others) > 1:
        matcher = cv2.BFMatcher()
        back = {match.queryIdx: match.trainIdx for match in matcher.match(other_descriptors, descriptors)}
        for best, second in matcher.knnMatch(descriptors, other_descriptors, k=2):
            if best.distance < 0.8 * second.distance and back[best.trainIdx] == best.queryIdx:
                found.append((*points[best.queryIdx].pt, *others[best.trainIdx].pt))
    if not found:
        return np.zeros((height, width, 2), np.float32)
    matches = np.array(found, np.float32)
    seeds = np.full((height, width), 255, np.uint8)
    columns, rows = np.clip(np.rint(matches[:, :2]).astype(int), 0, (width - 1, height - 1)).T
    seeds[rows, columns] = 0
    _, labels = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    offsets = np.zeros((labels.max() + 1, 2), np.float32)
    offsets[labels[rows, columns]] = matches[:, 2:] - matches[:, :2]
    return np.asarray(offsets[labels])


def evaluate_correspondence(
    photos: Path,
    *,
    model: Model,
    side: int = 256,
    every: int | None = None,
    count: int | None = 4,
    vgg: Path | None = None,
    backend: str = "openvino",
    out: Path,
) -> Report:
    """Measure all methods and write ``out/correspondence.md`` and ``out/correspondence.png``.

    The photos of a folder are those of `choose_photos`, cut to squares of ``side`` pixels; each is painted in the next
    style of the model. Raises `ConfigError` for wrong input, `ModelError` for damaged weights, `SinkError` when ``out``
    cannot be written.
    """
    if not 64 <= side <= 512:
        raise ConfigError(f"--size {side}: give 64 to 512 pixels")
    chosen = choose_photos(list_pictures(photos), every, count)
    make_folder(out)
    network = load_vgg(vgg)
    methods: dict[str, Match] = {
        OURS: lambda a, b_prime: match_deep(a, b_prime, network),
        "PatchMatch on colours": _with_smooth(match_colours),
        "DIS": _with_smooth(match_dis),
        "SIFT": _with_smooth(match_sift),
    }
    painter = Stylizer(model, backend=backend)
    looks: dict[str, Callable[[Pixels, str], Pixels]] = {
        "painted": lambda photo, style: _paint(painter, photo, style),
        "recoloured": lambda photo, _: recolour(photo),
        "sketched": lambda photo, _: sketch(photo),
    }
    errors: dict[tuple[str, str, str], list[tuple[Errors, Errors]]] = {}
    reaches: dict[str, list[tuple[float, float]]] = {warp: [] for warp in WARPS}
    blocks: dict[str, list[Strip]] = {}
    console = Console(stderr=True)
    jobs = [(number, path, warp, look) for number, path in enumerate(chosen) for warp in WARPS for look in looks]
    for number, path, warp, look in track(
        jobs, "matching", console=console, transient=True, disable=not console.is_terminal
    ):
        photo = _cut(read_picture(path), side)
        a, truth, inside = bend(photo, WARPS[warp], seed=number)
        b_prime = looks[look](photo, model.styles[number % len(model.styles)])
        reach = np.linalg.norm(truth, axis=2)[inside]
        reaches[warp].append((float(reach.mean()) / side, float(reach.max()) / side))
        strip = [("A", a), ("B'", b_prime), ("truth", draw_field(truth, float(reach.max())))]
        for name, match in methods.items():
            found, smooth = match(a, b_prime)
            both = measure_errors(found, truth, inside), measure_errors(smooth, truth, inside)
            errors.setdefault((warp, look, name), []).append(both)
            strip.append((f"{name} {both[0].median:.1f}", draw_field(found, float(reach.max()))))
            strip.append((f"smooth {both[1].median:.1f}", draw_field(smooth, float(reach.max()))))
        if number < SHEET_PHOTOS:
            blocks.setdefault(warp, []).append(strip)
    painter.close()
    order = [*WARPS, *looks, *methods]
    rows = (
        Row(*key, _average([raw for raw, _ in pairs]), _average([smooth for _, smooth in pairs]))
        for key, pairs in sorted(errors.items(), key=lambda item: [order.index(name) for name in item[0]])
    )
    farthest = {
        warp: (statistics.fmean(mean for mean, _ in known), max(most for _, most in known))
        for warp, known in reaches.items()
    }
    report = Report(tuple(rows), len(chosen), side, farthest)
    write_text(out / "correspondence.md", format_report(report))
    write_picture(out / "correspondence.png", draw_sheet(blocks))
    return report


def measure_errors(found: Offsets, truth: Offsets, inside: Mask) -> Errors:
    """End-point errors over the pixels that have a truth."""
    errors = np.linalg.norm(found - truth, axis=2)[inside]
    return Errors(float(np.median(errors)), float(errors.mean()), float((errors < CLOSE).mean()))


def format_report(report: Report) -> str:
    """A Markdown table: a row per warp, look and method."""
    warps = "; ".join(
        f"{name}: turned up to {warp.turn:g}°, zoomed {100 * warp.zoom:g} %, shifted {100 * warp.shift:g} %, bent "
        f"{100 * warp.bend:g} % at {KNOTS}×{KNOTS} knots, which moves pixels by {100 * report.reach[name][0]:.0f} % of "
        f"the side in the mean and {100 * report.reach[name][1]:.0f} % at most"
        for name, warp in WARPS.items()
    )
    lines = [
        f"End-point errors in pixels, means over {report.photos} photos of {report.side}×{report.side}. "
        f"Warps: {warps}. "
        "Smooth: what both ways agree on, carried to the rest (ours: also searched around that at three levels).",
        "",
        f"| warp | look | method | median | mean | < {CLOSE:g} px | smooth: median | mean | < {CLOSE:g} px |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in report.rows:
        cells = [f"{e.median:.1f} | {e.mean:.1f} | {100 * e.close:.0f} %" for e in (row.raw, row.smooth)]
        lines.append(f"| {row.warp} | {row.look} | {row.method} | {cells[0]} | {cells[1]} |")
    lines.append("")
    for warp, look in dict.fromkeys((row.warp, row.look) for row in report.rows):
        raw, smooth = report.ratio(warp, look)
        lines.append(f"* {warp}, {look}: our median is {raw:.2f} × the best other one, smooth {smooth:.2f} ×.")
    return "\n".join(lines) + "\n"


def _with_smooth(match: Callable[[Pixels, Pixels], Offsets]) -> Match:
    def match_twice(a: Pixels, b_prime: Pixels) -> tuple[Offsets, Offsets]:
        ours = match(a, b_prime)
        return ours, smooth_both(ours, match(b_prime, a))[0]

    return match_twice


def _average(errors: Sequence[Errors]) -> Errors:
    return Errors(
        statistics.fmean(each.median for each in errors),
        statistics.fmean(each.mean for each in errors),
        statistics.fmean(each.close for each in errors),
    )


def _cut(picture: Pixels, side: int) -> Pixels:
    """The middle square, ``side`` pixels."""
    fitted = resize_short_side(picture, side)
    top, left = ((length - side) // 2 for length in fitted.shape[:2])
    return np.ascontiguousarray(fitted[top : top + side, left : left + side])


def _paint(painter: Stylizer, photo: Pixels, style: str) -> Pixels:
    frame = Frame(photo, 0, 0, Fraction(1, 30), 0.0)
    return painter.paint(frame, Controls(((style, 1.0),), coherence=False)).pixels
