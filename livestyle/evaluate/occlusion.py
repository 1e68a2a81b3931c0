"""The place of a clip in which most comes into view at once: where a ghost of what hid it would be seen."""

from collections.abc import Sequence

import cv2
import numpy as np

from livestyle.evaluate.footage import Footage
from livestyle.media import Pixels

TILE = 128  # pixels, sides of the place
AFTER = 3  # frames shown from the one that uncovers it on


def cut_occlusion(
    clip: Footage, strip: Sequence[tuple[str, Sequence[Pixels]]], frames: Sequence[int] = (0,)
) -> list[list[tuple[str, Pixels]]]:
    """The place in every named video of ``strip``, (`TILE`, `TILE`, 3); a row for each of ``frames``.

    These count from the frame that uncovers it, -1 to `AFTER` - 1. What a smaller clip lacks of the place is white.
    """
    uncovers, top, left = find_occlusion(clip)
    return [[(name, _cut(video[uncovers + frame], top, left)) for name, video in strip] for frame in frames]


def find_occlusion(clip: Footage) -> tuple[int, int, int]:
    """The frame that uncovers it, and its top and left; `AFTER` more frames follow where the clip has as many."""
    height, width = clip.frames[0].shape[:2]
    inner = np.zeros((height, width), np.float32)  # what comes in over the border is no occlusion
    inner[height // 8 : -height // 8, width // 8 : -width // 8] = 1.0
    uncovered = [hidden * inner for hidden in clip.hidden]
    last = max(len(uncovered) // 3 + 1, len(uncovered) - AFTER)
    busiest = max(range(len(uncovered) // 3, last), key=lambda n: float(uncovered[n].sum()))
    crowd = cv2.blur(uncovered[busiest], (TILE, TILE), borderType=cv2.BORDER_CONSTANT)
    y, x = np.unravel_index(int(np.argmax(crowd)), crowd.shape)
    top, left = (int(np.clip(a - TILE // 2, 0, max(0, s - TILE))) for a, s in ((y, height), (x, width)))
    return busiest + 1, top, left


def _cut(picture: Pixels, top: int, left: int) -> Pixels:
    tile = np.full((TILE, TILE, 3), 255, np.uint8)
    part = picture[top : top + TILE, left : left + TILE]
    tile[: part.shape[0], : part.shape[1]] = part
    return tile
