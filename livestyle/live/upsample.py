"""Enlarges a painted picture with the help of the source at full size, so that text and outlines stay crisp.

A guided filter (He, Sun and Tang, ECCV 2010; its coefficients at low resolution as in the fast guided filter, arXiv
1505.00996), but only where the source has detail that its small version lost. Everywhere else the painting is enlarged
linearly: a guided filter over all of it would wash away the strokes, which the source knows nothing of.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from livestyle.media import Pixels

Floats = NDArray[np.float32]

COARSE = 2  # painted pixels to a pixel of the coefficients, of either side
WINDOW = (3, 3)  # pixels of those: 6×6 painted ones, about the height of a lower-case letter that is lost
LOST = (3.0, 12.0)  # mean luma, 0..255, that the small source lost: here the filter sets in, there it has all of it
SLOPE = (0.5, 1.2)  # of the painting's luma over the source's, in amount: below it a text would be grey on grey
FLIPPED = -0.3  # a slope below this is meant: a style that turns light into dark
EVEN = 60.0  # variance, 0..255 squared, below which a window counts as flat
UNIT = 64  # of slopes in fixed point


class Upsampler:
    """Enlarges to one size, (width, height)."""

    def __init__(self, width: int, height: int) -> None:
        self._size = (width, height)

    def enlarge(self, painted: Pixels, small: Pixels, source: Pixels) -> Pixels:
        """``painted`` (h, w, 3) at the size (H, W, 3) of ``source``, of which ``small`` (h, w, 3) was painted."""
        height, width = painted.shape[:2]
        fine = cv2.cvtColor(source, cv2.COLOR_RGB2GRAY)
        luma = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        lost = cv2.absdiff(fine, cv2.resize(luma, self._size, interpolation=cv2.INTER_LINEAR))
        coarse = (-(-width // COARSE), -(-height // COARSE))
        share = _share(_shrink(lost, coarse))
        if not share.any():
            return np.asarray(cv2.resize(painted, self._size, interpolation=cv2.INTER_LINEAR), np.uint8)
        around, slope = _fit(_shrink(luma, coarse), _shrink(cv2.cvtColor(painted, cv2.COLOR_RGB2GRAY), coarse))
        tint = cv2.resize(cv2.blur(cv2.resize(painted, coarse, interpolation=cv2.INTER_AREA), WINDOW), (width, height))
        taken = cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR)
        ground = cv2.resize(cv2.blendLinear(painted, tint, 1.0 - taken, taken), self._size)
        gain = cv2.resize((UNIT * share * slope).astype(np.int16), self._size, interpolation=cv2.INTER_LINEAR)
        rise = cv2.subtract(fine, cv2.resize(around.astype(np.uint8), self._size), dtype=cv2.CV_16S)
        detail = cv2.multiply(rise, gain, scale=1.0 / UNIT)
        return np.asarray(cv2.add(ground, cv2.merge((detail, detail, detail)), dtype=cv2.CV_8U), np.uint8)


def _shrink(picture: NDArray[Any], size: tuple[int, int]) -> Floats:
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)


def _share(lost: Floats) -> Floats:
    """How much of the source's luma shows, 0..1, by what the small source lost there and next to it."""
    return np.asarray(np.clip((cv2.blur(lost, WINDOW) - LOST[0]) / (LOST[1] - LOST[0]), 0.0, 1.0), np.float32)


def _fit(source: Floats, painted: Floats) -> tuple[Floats, Floats]:
    """The source's mean round each pixel, and by how much the painting's luma rises when the source's rises by 1."""
    mean = cv2.blur(source, WINDOW)
    variance = cv2.blur(source * source, WINDOW) - mean * mean
    slope = (cv2.blur(source * painted, WINDOW) - mean * cv2.blur(painted, WINDOW)) / (variance + EVEN)
    amount = np.clip(np.abs(slope), *SLOPE)
    signed = cv2.blur(np.where(slope < FLIPPED, -amount, amount), WINDOW)
    return np.asarray(mean, np.float32), np.asarray(signed, np.float32)
