"""The painting in the colours of its source: luma of the one, chroma of the other."""

import cv2
import numpy as np

from livestyle.media import Pixels


def keep_colors(painted: Pixels, source: Pixels) -> Pixels:
    """``painted`` with the colours of ``source``, both RGB (H, W, 3) uint8: its luma and the source's BT.601 chroma.

    The "luminance-only" transfer of Gatys et al. (arXiv 1606.05897).
    """
    mixed = cv2.cvtColor(source, cv2.COLOR_RGB2YCrCb)
    cv2.insertChannel(cv2.cvtColor(painted, cv2.COLOR_RGB2GRAY), mixed, 0)  # grey is the Y of YCrCb
    return np.asarray(cv2.cvtColor(mixed, cv2.COLOR_YCrCb2RGB), np.uint8)
