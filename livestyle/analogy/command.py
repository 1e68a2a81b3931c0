"""What ``livestyle analogy`` does: two pictures in; the exchanged looks, the fields and refined versions out."""

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from livestyle.analogy.agreement import find_offsets
from livestyle.analogy.deep_analogy import (
    LEVELS,
    SHORTEST,
    WEIGHTS,
    Analogy,
    Matcher,
    Settings,
    Weights,
    fit_picture,
)
from livestyle.analogy.smoothing import refine
from livestyle.artifacts import write_whole
from livestyle.errors import ConfigError, SinkError
from livestyle.media import Pixels
from livestyle.pictures import read_picture, write_picture
from livestyle.train.vgg import load_vgg

LONGEST = 700  # pixels a side, the official code's limit
SIZE = 448


@dataclass(frozen=True, slots=True)
class Mode:
    """The official README's settings for a use, and which of A and B' are photographs, whose results are refined."""

    weights: Weights
    ratio: float
    refined: tuple[bool, bool]


MODES = {
    "photo-to-style": Mode(WEIGHTS[3], 1.0, (True, False)),
    "style-to-style": Mode(WEIGHTS[3], 1.0, (False, False)),
    "style-to-photo": Mode(WEIGHTS[2], 0.5, (False, True)),
    "photo-to-photo": Mode(WEIGHTS[3], 1.0, (True, True)),
}


def run_analogy(
    a: Path,
    b: Path,
    out: Path,
    *,
    mode: str = "photo-to-style",
    levels: int = LEVELS,
    size: int = SIZE,
    seed: int = 0,
    one_way: bool = False,
    vgg: Path | None = None,
    console: Console | None = None,
) -> list[Path]:
    """Match the pictures ``a`` and ``b`` and write what comes of it into the folder ``out``; returns the files.

    ``a_prime.png`` is A in the looks of B, ``b.png`` is B in the looks of A (not with ``one_way``). ``field_ab.npy`` is
    float32 (h, w, 2), how far right and down the match of each pixel lies in the other picture; ``field_ab.png`` shows
    it on the colour wheel. ``field_ab_smooth`` is the smooth one of `livestyle.analogy.agreement` (not with
    ``one_way``), ``report.json`` tells how long each part took. Where the mode takes A or B for a photograph, its
    result also comes ``_refined``: the photograph itself in the result's colours. ``mode`` is one of `MODES`,
    ``levels`` 1 to 5 (fewer are faster and coarser), ``size`` the longest side in pixels, at most `LONGEST`. Nothing is
    written before all is computed, and each file whole or not at all. Raises
    `ConfigError`, `ModelError` and `SinkError`.
    """
    if mode not in MODES:
        raise ConfigError(f"no mode {mode!r}: known are {', '.join(MODES)}")
    if not 1 <= levels <= LEVELS:
        raise ConfigError(f"--levels {levels}: give 1 to {LEVELS}")
    if not 0 <= seed < 2**31:
        raise ConfigError(f"--seed {seed}: give 0 to {2**31 - 1}")
    chosen = MODES[mode]
    pictures = [_read(path, size, chosen.ratio) for path in (a, b)]
    _make_folder(out)
    network = load_vgg(vgg)
    console = console or Console(stderr=True)
    settings = Settings(chosen.weights, levels=levels, seed=seed, one_way=one_way, threads=torch.get_num_threads())
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        sizes = " and ".join(f"{picture.shape[1]}×{picture.shape[0]}" for picture in pictures)
        task = progress.add_task(f"matching {sizes}", total=1.0)
        found = Matcher(network, pictures[0], pictures[1], settings, lambda part: progress.advance(task, part)).run()
    facts: dict[str, object] = {
        "mode": mode,
        "sizes": [f"{picture.shape[1]}x{picture.shape[0]}" for picture in pictures],
        "levels": levels,
        "seed": seed,
        "one_way": one_way,
    }
    written = _write(out, found, pictures, chosen.refined, facts)
    shares = _shares(found)
    total = sum(shares.values())
    told = ", ".join(f"{part} {seconds:.1f} s ({seconds / total:.0%})" for part, seconds in shares.items())
    console.print(f"{len(written)} files in {out} after {total:.1f} s: {told}", highlight=False, soft_wrap=True)
    return written


def draw_field(offsets: NDArray[np.float32], longest: float | None = None) -> Pixels:
    """Offsets (h, w, 2) right and down as RGB: hue is the direction, paleness stands for small ones.

    Full colour is an offset of ``longest`` pixels, or what few of these offsets pass.
    """
    right, down = offsets[..., 0], offsets[..., 1]
    reach = np.hypot(right, down)
    if longest is None:
        longest = max(float(np.percentile(reach, 99)), 1.0)
    hsv = np.empty((*reach.shape, 3), np.uint8)
    hsv[..., 0] = np.mod(np.arctan2(down, right) / math.tau, 1.0) * 179.0
    hsv[..., 1] = np.clip(reach / longest, 0.0, 1.0) * 255.0
    hsv[..., 2] = 255
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)


def _read(path: Path, size: int, ratio: float) -> Pixels:
    if not SHORTEST <= size <= LONGEST:
        raise ConfigError(f"--size {size}: give {SHORTEST} to {LONGEST} pixels")
    picture = read_picture(path)
    fitted = fit_picture(picture, size, ratio)
    if min(fitted.shape[:2]) < SHORTEST:
        height, width = picture.shape[:2]
        fit_height, fit_width = fitted.shape[:2]
        after = "" if fitted.shape == picture.shape else f" and becomes {fit_width}×{fit_height}"
        raise ConfigError(f"{path} is {width}×{height} pixels{after}: each side must have at least {SHORTEST}")
    return fitted


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(f"cannot make the folder {out}: {(error.strerror or str(error)).lower()}") from error
    if not os.access(out, os.W_OK | os.X_OK):
        raise SinkError(f"cannot write in the folder {out}: no permission")


def _write(
    out: Path, found: Analogy, pictures: list[Pixels], refined: tuple[bool, bool], facts: dict[str, object]
) -> list[Path]:
    jobs: list[tuple[Path, Callable[[Path], None]]] = []
    halves = [
        ("a_prime", "field_ab", found.a_prime, found.field_ab, found.smooth_ab),
        ("b", "field_ba", found.b, found.field_ba, found.smooth_ba),
    ]
    for (name, field_name, result, field, smooth), own, wanted in zip(halves, pictures, refined, strict=True):
        if result is None or field is None:
            continue
        jobs.append((out / f"{name}.png", _picture_writer(result)))
        if wanted:
            begin = time.monotonic()
            jobs.append((out / f"{name}_refined.png", _picture_writer(refine(own, result))))
            found.seconds["refine"] = found.seconds.get("refine", 0.0) + time.monotonic() - begin
        for file_name, offsets in ((field_name, find_offsets(field)), (f"{field_name}_smooth", smooth)):
            if offsets is not None:
                jobs.append((out / f"{file_name}.npy", _array_writer(offsets)))
                jobs.append((out / f"{file_name}.png", _picture_writer(draw_field(offsets))))
    report = {**facts, "seconds": {part: round(seconds, 3) for part, seconds in found.seconds.items()}}
    jobs.append((out / "report.json", lambda path: _write_bytes(path, json.dumps(report, indent=2).encode() + b"\n")))
    for path, write in jobs:
        write(path)
    return [path for path, _ in jobs]


def _picture_writer(pixels: Pixels) -> Callable[[Path], None]:
    return lambda path: write_picture(path, pixels)


def _array_writer(array: NDArray[np.float32]) -> Callable[[Path], None]:
    return lambda path: _write_array(path, array)


def _write_array(path: Path, array: NDArray[np.float32]) -> None:
    data = BytesIO()
    np.save(data, array)
    _write_bytes(path, data.getvalue())


def _write_bytes(path: Path, data: bytes) -> None:
    try:
        write_whole(path, data)
    except OSError as error:
        raise SinkError(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from error


def _shares(found: Analogy) -> dict[str, float]:
    """Seconds by kind of work, levels added up."""
    shares: dict[str, float] = {}
    for part, seconds in found.seconds.items():
        kind = part.split()[0]
        shares[kind] = shares.get(kind, 0.0) + seconds
    return shares
