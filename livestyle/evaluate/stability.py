"""How much a painted video flickers: the warping error against known or estimated motion.

A pair is frame t and frame t + step. Everything lives in frame t: the flow says where each of its pixels lies in frame
t + step, that frame's picture is fetched along it, and the mask says where this means anything. (Using a flow of one
frame to warp, or a mask to weight, the other is the usual mistake; then errors of published size come from nothing.)

E_warp and the occlusion rules are those of Lai et al. (ECCV 2018), e_stab is that of Chen et al. (ICCV 2017). All
errors are in RGB values of 0..1. Neither says anything without the floor (the unpainted video), the ceiling (each
frame painted by itself) and a measure of what was kept, since blur lowers them too: see `sharpness`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import nan, sqrt

import cv2
import numpy as np
from numpy.typing import NDArray

from livestyle.media import Pixels
from livestyle.sources.scene import SceneSource

Flow = NDArray[np.float32]  # (h, w, 2), (dx, dy) in pixels, from frame t to frame t + step
Mask = NDArray[np.bool_]  # (h, w), of frame t

SHORT, LONG = 1, 5  # frames between the two of a pair
CONSISTENT = (0.01, 0.5)  # |f̃ + b|² > 0.01 (|f̃|² + |b|²) + 0.5: hidden (Sundaram et al. 2010)
BOUNDARY = (0.01, 0.002)  # |∇u|² + |∇v|² > 0.01 |b|² + 0.002: motion boundary


@dataclass(frozen=True)
class Pair:
    """Motion from frame t to t + step: ``flow`` (h, w, 2) and the ``visible`` pixels of t that count, (h, w)."""

    flow: Flow
    visible: Mask


@dataclass(frozen=True)
class Errors:
    """Warping errors of one video over all its pairs."""

    e_warp: float  # mean over pairs of the mean squared error per visible pixel and channel
    e_stab: float  # root of the mean over pairs of (1/HW) Σ over visible pixels and all channels
    of_pairs: tuple[float, ...] = ()  # what ``e_warp`` is the mean of


@dataclass(frozen=True)
class Comparison:
    """One step's E_warp of the input, of frames painted one by one, and of the video in question."""

    floor: float
    ceiling: float
    ours: float

    @property
    def excess_removed(self) -> float:
        return excess_removed(self.floor, self.ceiling, self.ours)


def warp_error(outputs: Sequence[Pixels], flows: Iterable[Flow], visibles: Iterable[Mask], step: int) -> float:
    """E_warp of a video: uint8 (h, w, 3) frames, and for each t with a frame t + step the flow and mask of t.

    Raises ValueError when there are fewer flows or masks than pairs, or none.
    """
    pairs = (Pair(flow, visible) for flow, visible in zip(flows, visibles, strict=True))
    return errors([outputs], pairs, step)[0].e_warp


def errors(videos: Sequence[Sequence[Pixels]], pairs: Iterable[Pair], step: int) -> list[Errors]:
    """Errors of several videos of one motion, each pair asked for once: the n-th is that of frames n and n + step.

    Raises ValueError when the videos differ in length or the pairs are not as many as they give.
    """
    count = len(videos[0]) - step
    if count < 1 or any(len(video) - step != count for video in videos):
        raise ValueError(f"videos of one length and more than {step} frames are needed")
    means: list[list[float]] = [[] for _ in videos]
    sums: list[list[float]] = [[] for _ in videos]
    for t, pair in zip(range(count), pairs, strict=True):
        for video, mean, total in zip(videos, means, sums, strict=True):
            squared = squared_error(video[t], video[t + step], pair.flow)
            counted = pair.visible if pair.visible.any() else np.ones_like(pair.visible)
            mean.append(float(squared[counted].mean()))
            total.append(float((squared * pair.visible[..., None]).sum()) / pair.visible.size)
    return [Errors(float(np.mean(m)), sqrt(float(np.mean(s))), tuple(m)) for m, s in zip(means, sums, strict=True)]


def squared_error(here: Pixels, there: Pixels, flow: Flow) -> NDArray[np.float32]:
    """Squared difference, (h, w, 3) of values 0..1, between a frame and the other one fetched along its flow."""
    fetched = sampled(np.asarray(there, np.float32), flow)
    return np.asarray(((fetched - np.asarray(here, np.float32)) / 255) ** 2, np.float32)


def compare(
    inputs: Sequence[Pixels],
    per_frame: Sequence[Pixels],
    ours: Sequence[Pixels],
    pairs: Iterable[Pair],
    step: int,
) -> Comparison:
    """The numbers that are always reported together, for one step."""
    return Comparison(*(error.e_warp for error in errors([inputs, per_frame, ours], pairs, step)))


def excess_removed(floor: float, ceiling: float, ours: float) -> float:
    """Share of the flicker above the input's own that is gone: 1 as steady as the input, 0 as painted frame by frame.

    NaN where painting frame by frame adds no flicker.
    """
    if ceiling <= floor:
        return nan
    return 1 - (ours - floor) / (ceiling - floor)


def scene_pairs(scene: SceneSource, indices: Sequence[int], step: int) -> Iterator[Pair]:
    """Exact pairs of the rendered scene for the frames ``indices`` of a video, such as ``range(48)``."""
    for first, second in zip(indices, indices[step:], strict=False):
        flow, visible = scene.scene_flow(first, second)
        # Anti-aliased edges mix two motions, and an exact flow steps exactly there: leave out a pixel to either side
        mixed = cv2.dilate(on_boundary(flow).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        yield Pair(flow, visible & ~mixed)


def filmed_pairs(frames: Sequence[Pixels], step: int) -> Iterator[Pair]:
    """Pairs of a filmed video, from its unpainted frames: DIS medium both ways, straight between the two frames."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    lumas = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    for here, there in zip(lumas, lumas[step:], strict=False):
        # None, which OpenCV's stubs do not know of: an array would be taken for a first guess
        flow = np.asarray(search.calc(here, there, None), np.float32)  # type: ignore[call-overload]
        back = np.asarray(search.calc(there, here, None), np.float32)  # type: ignore[call-overload]
        yield Pair(flow, returns(flow, back) & ~on_boundary(flow))


def hidden_pixels(pair: Pair) -> Mask:
    """Where what is seen in the first frame of a pair is hidden in the other, and not merely out of the picture."""
    height, width = pair.visible.shape
    x, y = pair.flow[..., 0] + np.arange(width), pair.flow[..., 1] + np.arange(height)[:, None]
    inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
    return np.asarray(~pair.visible & inside & ~on_boundary(pair.flow))


def returns(flow: Flow, back: Flow) -> Mask:
    """Where going along ``flow`` and then ``back`` (the other frame's flow) ends where it began, and in the picture."""
    height, width = flow.shape[:2]
    returned = sampled(back, flow)
    relative, absolute = CONSISTENT
    same = squared_length(returned + flow) <= relative * (squared_length(returned) + squared_length(flow)) + absolute
    x, y = flow[..., 0] + np.arange(width), flow[..., 1] + np.arange(height)[:, None]
    return np.asarray(same & (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1))


def on_boundary(flow: Flow) -> Mask:
    """Where the flow changes more from a pixel to the next than one moving thing would make it."""
    change = np.zeros(flow.shape[:2], np.float32)
    change[:, :-1] += squared_length(np.diff(flow, axis=1))
    change[:-1] += squared_length(np.diff(flow, axis=0))
    relative, absolute = BOUNDARY
    return np.asarray(change > relative * squared_length(flow) + absolute)


def sharpness(picture: Pixels) -> float:
    """Mean length of the luma's gradient, grey levels (0..255) a pixel: what blur takes away."""
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    across, down = (cv2.Sobel(luma, cv2.CV_32F, *order, scale=1 / 8) for order in ((1, 0), (0, 1)))
    return float(np.hypot(across, down).mean())


def sampled(image: NDArray[np.float32], flow: Flow) -> NDArray[np.float32]:
    """``image`` at x + flow, bilinear."""
    x = flow[..., 0] + np.arange(flow.shape[1], dtype=np.float32)
    y = flow[..., 1] + np.arange(flow.shape[0], dtype=np.float32)[:, None]
    return np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)


def squared_length(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w) of (h, w, 2)."""
    return np.asarray((vectors**2).sum(axis=-1), np.float32)
