"""Pictures and frames for tests of the painter."""

import time
from fractions import Fraction

import cv2
import numpy as np

from livestyle.media import Frame, Pixels


def make_frame(pixels: Pixels, index: int = 0) -> Frame:
    return Frame(pixels, index, index * 33, Fraction(1, 1000), time.monotonic())


def make_texture(width: int, height: int, seed: int) -> Pixels:
    noise = np.random.default_rng(seed).integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), dtype=np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
