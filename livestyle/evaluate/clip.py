"""Frames to paint while something is measured, so that making them costs nothing then."""

import time
from fractions import Fraction

from livestyle.media import Frame
from livestyle.sources.scene import SceneSource

CLIP_BYTES = 128 << 20  # memory for rendered frames
CLIP_FRAMES = 32  # at most; shown forwards and backwards, so that the motion never jumps


class Clip:
    """Frames of the scene, rendered beforehand, forwards and backwards without end."""

    def __init__(self, width: int, height: int) -> None:
        """Raises `ConfigError` for a size that the scene does not paint."""
        with SceneSource(width, height, live=False) as scene:
            count = max(2, min(CLIP_FRAMES, CLIP_BYTES // (width * height * 3)))
            forwards = [scene.scene_frame(index) for index in range(count)]
        self._pictures = forwards + forwards[-2:0:-1]
        self._index = 0

    def next(self) -> Frame:
        """The next frame."""
        pixels = self._pictures[self._index % len(self._pictures)]
        self._index += 1
        return Frame(pixels, self._index, self._index, Fraction(1, 30), time.monotonic())
