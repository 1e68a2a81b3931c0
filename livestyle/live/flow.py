"""Where everything was one frame ago, how sure that is, and whether the picture was cut: optical flow on the CPU.

Dense inverse search (Kroeger et al., ECCV 2016; OpenCV's ultrafast preset) runs on the luma at a quarter of the frame's
size, which is the features' resolution, so nothing is resized afterwards. The caller keeps the state: a
`View` of each frame, made once, is handed in as ``previous`` with the next one.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from livestyle.media import Pixels

Floats = NDArray[np.float32]

STRIDE = 4  # frame pixels to a feature pixel, of either side
SMALLEST = 16  # feature pixels: DIS needs a patch of 8 on its finest level, which has half the size
# Measured at 640×360, one core; mean error in feature pixels on the moving scene / on pans of whole pictures:
# finest level 1: 0.09 / 0.14, 0.40 ms; with 3 refinements 0.08 / 0.08, 0.75 ms; finest level 0: 0.06 / 0.24, 1.7 ms.
# One refinement, on pans of up to 16 pixels of 40 photos: 0.111, where none has 0.131 and three 0.093. Two more
# cost 0.25 ms a frame and change the share of flicker that is removed by a hundredth.
# DIS gains nothing from a second thread up to 1080p, so `cv2.setNumThreads` is left alone.
FINEST = 1
REFINEMENTS = 1
# Feature pixels, a seventh of a pixel: what DIS makes of sensor noise on a still scene. Taken for motion, it would move
# strokes back and forth by a thirty-second of a pixel: a third of the flicker that was left.
STANDING = 0.035

# Forward/backward check of cuts, Sundaram et al. 2010 as used by Ruder and Lai: |f̃ + b|² against
# 0.01 (|f̃|² + |b|²) + 0.5 px² (which is 0.03 feature px²; more is allowed, as the ultrafast flow strays by 0.2 px where
# nothing is wrong)
RELATIVE = 0.01
ABSOLUTE = 0.1
# Photometric check, 0..255: what a residual may be by itself, per unit of sensor noise, and per unit of local contrast
RESIDUAL = 3.0
PER_NOISE = 3.0
PER_CONTRAST = 0.1

THUMB = (32, 18)  # width, height of the picture that cuts are judged on
CUT_COLOURS = 8.0  # mean distance of the colour distributions, 0..255
CUT_LOST = 0.65  # share of the picture that is not found in the frame before


@dataclass(frozen=True)
class View:
    """What is kept of a frame: luma uint8 (h, w) at feature resolution, and sorted colours of a thumbnail (n, 3)."""

    luma: NDArray[np.uint8]
    colours: Floats


@dataclass(frozen=True)
class Motion:
    """Backward motion at feature resolution (a quarter of the frame's height and width).

    ``flow`` float32 (h, w, 2), (dx, dy) in feature pixels: what is at x now was at x + flow in the frame before.
    ``confidence`` float32 (h, w), 1 where that is certain and 0 where nothing in the frame before belongs here.
    """

    flow: Floats
    confidence: Floats


class FlowEstimator:
    """Motion between views. It holds only scratch memory, but that makes it fit for one thread at a time."""

    def __init__(self, border: int = 0) -> None:
        """``border`` feature pixels round the picture are no part of it: nothing that comes from there is trusted."""
        self._border = border
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._search.setFinestScale(FINEST)
        self._search.setVariationalRefinementIterations(REFINEMENTS)
        self._grid = np.empty((0, 0, 2), np.float32)

    def view(self, pixels: Pixels) -> View:
        """The state to keep of a frame (H, W, 3), whose sides are multiples of 4."""
        height, width = pixels.shape[:2]
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        luma = grey
        for side in (STRIDE // 2, STRIDE):  # twice by two takes a sixth of the time of once by four
            luma = cv2.resize(luma, (width // side, height // side), interpolation=cv2.INTER_AREA)
        # Nearest: the distribution of colours needs no filter, and filtering all three costs as much as the flow
        thumb = cv2.resize(pixels, THUMB, interpolation=cv2.INTER_NEAREST)
        return View(np.asarray(luma, np.uint8), np.sort(thumb.reshape(-1, 3), axis=0).astype(np.float32))

    def motion(self, previous: View, current: View) -> Motion:
        """Motion between two views of one size."""
        if min(current.luma.shape) < SMALLEST:
            flow = np.zeros((*current.luma.shape, 2), np.float32)
            return Motion(flow, self._likeness(previous.luma, current.luma, flow))
        flow = self._searched(current.luma, previous.luma)
        flow[squared(flow) < STANDING**2] = 0.0
        confidence = self._inside(flow) * self._likeness(previous.luma, current.luma, flow)
        return Motion(flow, confidence)

    def go_on(self, motion: Motion, previous: View, current: View) -> Motion:
        """``motion``, which led to ``previous``, taken to have gone on as it was: for the price of the checks."""
        likeness = self._likeness(previous.luma, current.luma, motion.flow)
        return Motion(motion.flow, motion.confidence * likeness)

    def estimate(self, previous: Pixels, current: Pixels) -> Motion:
        """Motion between two frames of one size, (H, W, 3); keep `view`s instead where frames follow each other."""
        return self.motion(self.view(previous), self.view(current))

    def is_cut(self, previous: View, current: View, motion: Motion) -> bool:
        """Whether ``current`` begins a new scene: most of it is not found before *and* its colours are others.

        A fast pan, noise or slow change of light has only one of the two; a flash has both and counts as a cut. A cut
        to a place of the same colours is not told from a whip pan, and need not be: the confidence is low after both.
        """
        if float(np.abs(previous.colours - current.colours).mean()) <= CUT_COLOURS:
            return False
        if min(current.luma.shape) < SMALLEST:
            return float(np.mean(motion.confidence < 0.5)) > CUT_LOST
        # Between two scenes the search finds something like everything somewhere, but it does not find the way back.
        # Elsewhere that check is left out: it costs a millisecond, and the luma alone tells as well what is hidden.
        forward = self._searched(previous.luma, current.luma)
        confidence = motion.confidence * self._agreement(motion.flow, forward)
        height, width = confidence.shape
        inner = confidence[self._border : height - self._border, self._border : width - self._border]
        return float(np.mean(inner < 0.5)) > CUT_LOST

    def _searched(self, here: NDArray[np.uint8], there: NDArray[np.uint8]) -> Floats:
        # None, which OpenCV's stubs do not know of: an array would be taken for a first guess
        return np.asarray(self._search.calc(here, there, None), np.float32)  # type: ignore[call-overload]

    def _sampled(self, image: Floats, flow: Floats) -> Floats:
        """``image`` at x + flow, float32."""
        height, width = flow.shape[:2]
        if self._grid.shape[:2] != (height, width):
            self._grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
        where = self._grid + flow
        x, y = where[..., 0], where[..., 1]
        return np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)

    def _inside(self, flow: Floats) -> Floats:
        """1 where the flow stays in the picture, else 0."""
        height, width = flow.shape[:2]
        if self._grid.shape[:2] != (height, width):
            self._grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
        edge = self._border - (0.25 if self._border else 0.5)  # a still border must not fail for its noise
        inside = cv2.inRange(cv2.add(self._grid, flow), (edge, edge), (width - 1 - edge, height - 1 - edge))
        return np.asarray(inside > 0, np.float32)

    def _agreement(self, backward: Floats, forward: Floats) -> Floats:
        """1 where going back and forth returns, 1/2 at the published threshold, 0 far beyond."""
        there = self._sampled(forward, backward)
        apart = squared(there + backward)
        allowed = RELATIVE * (squared(there) + squared(backward)) + ABSOLUTE
        return np.asarray(1 / (1 + (apart / allowed) ** 2), np.float32)

    def _likeness(self, previous: NDArray[np.uint8], current: NDArray[np.uint8], flow: Floats) -> Floats:
        """1 where the luma fetched from before is that of now, 1/2 at what noise, light and contrast explain."""
        now = current.astype(np.float32)
        apart = self._sampled(previous.astype(np.float32), flow) - now
        apart = np.abs(apart - np.median(apart[::2, ::2]))  # the median: a change of light is not a change of place
        contrast = cv2.morphologyEx(now, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
        allowed = RESIDUAL + PER_NOISE * np.median(apart[::2, ::2]) + PER_CONTRAST * contrast
        off = np.square(apart / allowed)
        return np.asarray(1 / (1 + off * off), np.float32)  # ** 4 takes six times as long


def squared(vectors: Floats) -> Floats:
    """Squared lengths, (h, w) of (h, w, 2)."""
    return np.asarray(vectors[..., 0] ** 2 + vectors[..., 1] ** 2, np.float32)
