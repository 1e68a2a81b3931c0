"""``livestyle look``: a photo's colours become those of another photo of like things, as a look for live video.

A Deep Image Analogy finds for each part of the one what it is in the other; its result, kept photographic, says what
each colour becomes; a smooth table is fitted to that. What differs from place to place is lost on purpose: things move.
"""

import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from livestyle.analogy.color_fit import Fit, fit_table
from livestyle.analogy.deep_analogy import SHORTEST, Matcher, Settings, fit_picture
from livestyle.analogy.smoothing import refine
from livestyle.artifacts import load_model, write_whole
from livestyle.errors import ConfigError, SinkError, SourceError
from livestyle.live.look import grade
from livestyle.looks import Looks, format_cube
from livestyle.media import Frame, Pixels
from livestyle.pictures import check_target, read_picture, write_picture
from livestyle.sources import open_source
from livestyle.train.vgg import load_vgg

SIZE = 320  # pixels, the longest side: colours need no finer matches
GRABBED = ("camera", "scene")
SETTLING = 1.0  # s that a camera has to find its exposure
UNCHANGED = 2.0 / 255.0  # mean change of the colours of A that is called none
GAP = 8  # pixels between the pictures of a sheet


def make_look(
    name: str,
    a: str,
    b: Path,
    *,
    sheet: Path | None = None,
    seed: int = 0,
    vgg: Path | None = None,
    say: Callable[[str], None],
) -> Path:
    """Make the look ``name`` that gives ``a`` the colours of ``b`` and return its file, among the user's looks.

    ``a`` is a picture's path, ``camera``, ``camera:N`` or ``scene``, of which a frame is taken. ``sheet`` gets a
    picture of A, B, A' and A in the look. Raises `ConfigError` for a name that is taken and for wrong pictures,
    `SourceError` without a camera, `ModelError` for damaged weights, `SinkError` when the disk refuses.
    """
    looks = Looks()
    looks.check_new(name, load_model().styles)
    if sheet is not None:
        check_target(sheet)
    source = _fit(_grab(a) if a.partition(":")[0] in GRABBED else read_picture(Path(a)), a)
    reference = _fit(read_picture(b), str(b))
    found = _match(source, reference, seed, vgg)
    refined = refine(source, found)
    fit = fit_table(_colors(source), _colors(refined))
    graded = grade(fit.table, source)
    path = looks.path(name)
    try:
        write_whole(path, format_cube(fit.table, name).encode())
    except OSError as error:
        raise SinkError(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from error
    if sheet is not None:
        write_picture(sheet, _lay_out([source, reference, refined, graded]))
    say(_describe(fit, _colors(graded) - _colors(source)))
    return path


def _grab(spec: str) -> Pixels:
    """One frame of a camera, when its exposure has settled, or of the rendered scene."""
    source = open_source(spec)
    settled = time.monotonic() + (SETTLING if spec.startswith("camera") else 0.0)
    try:
        while (item := source.read()) is not None:
            if isinstance(item, Frame) and time.monotonic() >= settled:
                return item.pixels
    finally:
        source.close()
    raise SourceError(f"{spec} gave no picture")


def _fit(picture: Pixels, name: str) -> Pixels:
    fitted = fit_picture(picture, SIZE)
    if min(fitted.shape[:2]) < SHORTEST:
        height, width = picture.shape[:2]
        raise ConfigError(
            f"{name} is {width}×{height} pixels: give at least {SHORTEST} on each side, no more than "
            f"{SIZE // SHORTEST} times longer than wide"
        )
    return fitted


def _match(source: Pixels, reference: Pixels, seed: int, vgg: Path | None) -> Pixels:
    """A': ``source`` made of the parts of ``reference`` that show the same."""
    network = load_vgg(vgg)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("matching", total=1.0)
        settings = Settings(seed=seed, threads=torch.get_num_threads())
        matcher = Matcher(network, source, reference, settings, lambda part: progress.advance(task, part))
        return matcher.run().a_prime


def _colors(picture: Pixels) -> NDArray[np.float64]:
    return picture.reshape(-1, 3).astype(np.float64) / 255.0


def _lay_out(pictures: list[Pixels]) -> Pixels:
    """Side by side at one height, on white."""
    height = max(picture.shape[0] for picture in pictures)
    tiles: list[Pixels] = []
    for picture in pictures:
        width = round(picture.shape[1] * height / picture.shape[0])
        resized = cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC)
        tiles += [np.asarray(resized, np.uint8), np.full((height, GAP, 3), 255, np.uint8)]
    return np.hstack(tiles[:-1])


def _describe(fit: Fit, change: NDArray[np.float64]) -> str:
    """What came of it, for people."""
    mean = float(np.abs(change).mean())
    if mean < UNCHANGED:
        return "the look changes next to nothing: the two pictures have the same colours"
    return f"the look changes colours by {mean:.0%} on average, and half of A comes within {fit.missed:.0%} of A'"
