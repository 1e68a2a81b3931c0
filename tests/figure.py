"""A person drawn from ellipses in front of a plain wall, which the network takes for one; and where exactly it is."""

import cv2
import numpy as np
from numpy.typing import NDArray

from livestyle.media import Pixels

FINE = 4  # drawn so much larger, then averaged
SKIN, SHADE, HAIR, SHIRT = (224, 172, 140), (190, 146, 119), (60, 40, 25), (40, 70, 150)
OUTLINE = (  # centre from the middle of the foot, half axes, for a picture 360 pixels high; colour
    ((0, 370), (125, 130), SHIRT),
    ((0, 222), (22, 40), SHADE),
    ((0, 125), (66, 80), HAIR),
    ((0, 150), (52, 68), SKIN),
)
FACE = (
    ((-20, 140), (9, 5), (250, 250, 250)),
    ((20, 140), (9, 5), (250, 250, 250)),
    ((-20, 140), (4, 4), (40, 30, 30)),
    ((20, 140), (4, 4), (40, 30, 30)),
    ((-20, 128), (11, 3), HAIR),
    ((20, 128), (11, 3), HAIR),
    ((0, 160), (6, 9), SHADE),
    ((0, 186), (16, 5), (170, 70, 70)),
)


def draw_figure(width: int, height: int, x: float) -> tuple[Pixels, NDArray[np.float32]]:
    """A person in the middle of ``x`` pixels from the left: RGB (height, width, 3), how far each pixel is of it."""
    size = width * FINE, height * FINE
    pixels = draw_wall(*size)
    mask = np.zeros(pixels.shape[:2], np.float32)
    scale = size[1] / 360
    for (dx, y), half, colour in (*OUTLINE, *FACE):
        centre = round(x * FINE + dx * scale), round(y * scale)
        axes = round(half[0] * scale), round(half[1] * scale)
        cv2.ellipse(pixels, centre, axes, 0, 0, 360, colour, -1)
        cv2.ellipse(mask, centre, axes, 0, 0, 360, 1.0, -1)
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return small.astype(np.uint8), cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)


def draw_wall(width: int, height: int) -> Pixels:
    """The wall alone: grey, with a tinge of blue and the light from below."""
    column = np.linspace(150, 190, height)[:, None, None] + np.array([0, 0, 20])
    return np.ascontiguousarray(np.broadcast_to(column, (height, width, 3)).astype(np.uint8))
