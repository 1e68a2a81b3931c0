"""Settles a painted picture: mixes it with the last one, moved to where things are now, as far as the mask says.

O°ₜ = (1 − M)·Oₜ + M·warp(O°ₜ₋₁): the composition of Coherent Online Video Style Transfer, on what flickers, the painted
picture. Ghosts, which a composition so late is known for, are the mask's business. The average of strokes that do not
agree is softer than each of them; what is shown has that much sharpness given back, and what is carried on does not, so
that nothing builds up.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from livestyle.controls import Controls, Mix
from livestyle.live.flow import STRIDE, Floats
from livestyle.media import Pixels

# Of the frame painted by itself, what is shown keeps so much of the difference between neighbours. Giving it all back
# would give back flicker too. On a panning clip, of what the networks flickered before they were trained to be steady
# (thirteen styles): 84 % gone, 63 over five frames, 6 % more style loss and 7 % softer at 0.9; 83, 61, 3 and 5 at 0.93.
SHARPNESS = 0.93
GAIN = 2.3  # largest share of the fine detail that is added
PACE = 3.0  # of the gain's approach, a frame; a gain of 1 gives back a tenth, so a third of what is lacking is made up
STILL = 1.14  # times the mask where nothing moves: strokes agree there, and noise is what is averaged: `hold_still`
DETAIL = (5, 5)  # fine detail is what differs from the mean of so many pixels; a Gaussian like it takes twice as long


@dataclass(frozen=True, slots=True)
class Settled:
    """A settled picture, (H, W, 3) each: ``kept`` goes on to the next frame, ``shown`` is for people; ``gain`` too."""

    kept: Pixels
    shown: Pixels
    gain: float = 0.0


@dataclass(frozen=True, slots=True)
class Moved:
    """A past picture where things are now, (H, W, 3) each, and with its sharpness given back by ``gain``."""

    kept: Pixels
    sharp: Pixels
    gain: float


class Settler:
    """Holds scratch memory only, but that makes it fit for one thread at a time."""

    def __init__(self, margin: int = 0) -> None:
        """Flow and mask begin ``margin`` pixels left of a picture and above it, and end somewhere beyond it."""
        self._margin = margin
        self._grid = np.empty((2, 0, 0), np.float32)

    def settle(self, painted: Pixels, past: Settled, flow: Floats, mask: Floats) -> Settled:
        """The new frame's ``painted`` picture (H, W, 3) settled on the last frame's.

        ``flow`` (h, w, 2) and ``mask`` (h, w) in [0, 1) lie at a quarter of the size, as in `livestyle.live.flow`.
        Where the mask is 0, the picture stays as it was painted.
        """
        return self.mix(painted, self.move(past, flow), mask)

    def move(self, past: Settled, flow: Floats) -> Moved:
        """The part of `settle` that needs no new picture, so that it can be done while that is painted."""
        height, width = past.kept.shape[:2]
        if self._grid.shape[1:] != (height, width):
            self._grid = np.stack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32)
        planes = (self._spread(np.ascontiguousarray(flow[..., axis]), past.kept) for axis in (0, 1))
        x, y = (cv2.scaleAdd(plane, float(STRIDE), grid) for plane, grid in zip(planes, self._grid, strict=True))
        # Linear: cubic takes seven times as long, and what it keeps of sharpness the gain brings back as well (flicker
        # removed from five styles within 2 % of it). Four bytes a pixel, and x and y apart: on three OpenCV takes twice
        # as long, and with x and y in one map version 5.0 makes noise of the picture.
        four = cv2.cvtColor(past.kept, cv2.COLOR_RGB2RGBA)
        moved = cv2.remap(four, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        kept = sharp = cv2.cvtColor(moved, cv2.COLOR_RGBA2RGB)
        if past.gain > 0.0:
            sharp = cv2.addWeighted(kept, 1.0 + past.gain, cv2.blur(kept, DETAIL), -past.gain, 0.0)
        return Moved(np.asarray(kept, np.uint8), np.asarray(sharp, np.uint8), past.gain)

    def mix(self, painted: Pixels, past: Moved, mask: Floats) -> Settled:
        """The other part of `settle`."""
        keep = self._spread(mask, painted)
        renew = 1.0 - keep
        kept = shown = np.asarray(cv2.blendLinear(past.kept, painted, keep, renew), np.uint8)
        if past.gain > 0.0:
            shown = np.asarray(cv2.blendLinear(past.sharp, painted, keep, renew), np.uint8)
        lacking = SHARPNESS * edges(painted) / max(edges(shown), 1e-3) - 1.0
        return Settled(kept, shown, float(np.clip(past.gain + PACE * lacking, 0.0, GAIN)))

    def _spread(self, values: Floats, picture: Pixels) -> Floats:
        """A map at a quarter of the size at that of the picture, (H, W) or (H, W, 2)."""
        size = values.shape[1] * STRIDE, values.shape[0] * STRIDE
        whole = np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_LINEAR), np.float32)
        height, width = picture.shape[:2]
        return whole[self._margin : self._margin + height, self._margin : self._margin + width]


def hold_still(mask: Floats, flow: Floats) -> Floats:
    """The ``mask`` (h, w), and a little more of the past where the ``flow`` (h, w, 2) is none.

    Of a still scene under sensor noise of sigma 5, 0.23 of the deviation over time that frames painted one by one have
    is left. Where things move the mask stays as learned: more of it is softer.
    """
    return np.where(flow.any(axis=2), mask, mask * np.float32(STILL))


def look_distance(one: Controls, other: Controls) -> float:
    """How far pictures painted so are apart in their styles, 0 to 1: 1 is a switch, a step of a morph is little.

    The past counts by so much less. No threshold: a frozen picture keeps the past of the styles that it was frozen in,
    and a morph on it would jump where that ends.
    """
    shares = {region.mask: [region, replace(region, share=0.0)] for region in one.regions}
    for region in other.regions:
        shares.setdefault(region.mask, [replace(region, share=0.0), region])[1] = region
    apart = [distance(one.mix, other.mix), abs(one.strength - other.strength)]
    for here, there in shares.values():
        apart.append(abs(here.share - there.share))
        apart.append(distance(here.mix, there.mix) * min(1.0, here.share + there.share))
    return min(1.0, max(apart))


def distance(one: Mix, other: Mix) -> float:
    """Share of a mix that is of another style in the other one, 0 to 1."""
    here, there = dict(one), dict(other)
    return 0.5 * sum(abs(here.get(name, 0.0) - there.get(name, 0.0)) for name in {*here, *there})


def edges(picture: Pixels) -> float:
    """Mean difference of neighbours along every fourth row, 0..255: a tenth of a millisecond at 640×360."""
    rows = picture[2::4]
    return float(cv2.norm(rows[:, 1:], rows[:, :-1], cv2.NORM_L1)) / max(1, rows[:, 1:].size)
