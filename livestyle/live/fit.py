"""Picture sizes of a session: what size to paint at, and fitting any frame into it."""

from fractions import Fraction

import cv2
import numpy as np

from livestyle.media import Pixels

Size = tuple[int, int]  # width, height

DEFAULT_SIZE: Size = (640, 360)
SMALLEST = 16  # pixels a side: below it the network's features are a handful of points


def fit_size(source: Size, wanted: Size | None = None) -> Size:
    """The size a session paints at: even numbers, since I420 and H.264 halve the colour planes.

    ``wanted`` is taken as it is (rounded down to even). Without it, the source's size is shrunk into 640×360 with its
    aspect kept, and never enlarged (but to 16 pixels a side).
    """
    if wanted is not None:
        return _even(wanted[0]), _even(wanted[1])
    width, height = source
    shrink = min(Fraction(1), Fraction(DEFAULT_SIZE[0], width), Fraction(DEFAULT_SIZE[1], height))
    return _even(round(width * shrink)), _even(round(height * shrink))


def fit_painting(output: Size, wanted: Size | None = None) -> Size:
    """The size to paint at for a session whose sinks get ``output``: that, shrunk into ``wanted``, else into 640×360.

    Only an output size of its own makes it differ from ``output``: `fit_size` gave the rest.
    """
    box = DEFAULT_SIZE if wanted is None else wanted
    shrink = min(Fraction(1), Fraction(box[0], output[0]), Fraction(box[1], output[1]))
    return _even(round(output[0] * shrink)), _even(round(output[1] * shrink))


def _even(length: int) -> int:
    return max(SMALLEST, length - length % 2)


def fit_pixels(pixels: Pixels, size: Size) -> Pixels:
    """``pixels`` (H, W, 3) scaled into ``size``; black bars where the aspect differs by more than 2 %.

    The same array comes back where nothing is to be done. Area averaging downwards, linear upwards.
    """
    height, width = pixels.shape[:2]
    if (width, height) == size:
        return pixels
    scale = min(size[0] / width, size[1] / height)
    inner = (min(size[0], max(1, round(width * scale))), min(size[1], max(1, round(height * scale))))
    if size[0] - inner[0] <= 0.02 * size[0] + 1 and size[1] - inner[1] <= 0.02 * size[1] + 1:
        inner = size  # a pixel or two of bars would only look like a fault
    method = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_LINEAR
    scaled = np.asarray(cv2.resize(pixels, inner, interpolation=method), np.uint8)
    if inner == size:
        return scaled
    boxed = np.zeros((size[1], size[0], 3), np.uint8)
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    boxed[top : top + inner[1], left : left + inner[0]] = scaled
    return boxed
