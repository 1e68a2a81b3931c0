"""A rendered moving scene: what a user without a camera sees first, and a video whose true motion is known.

A landscape of flat layers (sky, clouds, mountains, hills, balloon, lake, shore, boat, gulls, meadow, tree) is painted
once from a seed; in every frame each layer stands where an affine function of time puts it. So the optical flow and
the occlusions between any two frames are exact. The motion never ends and never jumps inside the picture.
"""

import threading
import time
from collections import OrderedDict
from fractions import Fraction
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from livestyle.errors import ConfigError, SourceError
from livestyle.media import Frame, Pixels, StreamInfo
from livestyle.sources.landscape import Landscape

SIDES = (8, 8192)  # pixels, of either side
RATES = (Fraction(1, 10), Fraction(1000))  # frames a second
REMEMBERED = 8  # layer maps kept by scene_flow: one evaluation asks for each frame with its neighbours and its fifth


class SceneSource:
    """The rendered scene as a `Source`; deterministic for a seed, whatever the machine's speed.

    ``live`` paces frames to ``fps`` on the monotonic clock and, when the reader is late, leaves frames out (``index``
    jumps); otherwise every frame comes at once. It never ends unless ``frames`` says after how many (left out or not).
    ``noise`` adds Gaussian sensor noise of that sigma (0..255 units), fresh in each frame. A frame shows the same
    moment at any size and seeds choose place and light. Raises `ConfigError` for a size, rate or noise out of range.
    """

    def __init__(
        self,
        width: int = 640,
        height: int = 360,
        fps: Fraction | float = 30,
        *,
        live: bool = True,
        seed: int = 0,
        frames: int | None = None,
        noise: float = 0.0,
    ) -> None:
        rate = Fraction(fps).limit_denominator(1001)
        if not (SIDES[0] <= width <= SIDES[1] and SIDES[0] <= height <= SIDES[1]):
            raise ConfigError(f"scene size {width}x{height}: each side must be {SIDES[0]} to {SIDES[1]} pixels")
        if not RATES[0] <= rate <= RATES[1]:
            raise ConfigError(f"scene rate {float(fps):g}: must be {float(RATES[0]):g} to {RATES[1]} frames a second")
        if seed < 0 or noise < 0 or (frames is not None and frames < 0):
            raise ConfigError("scene seed, noise and number of frames must not be negative")
        self.info = StreamInfo(width, height, rate, live, frames=frames)
        self._seed = seed
        self._noise = noise
        self._land = Landscape(width, height, seed)
        self._labels: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()
        self._next = 0
        self._start: float | None = None  # when frame 0 was due
        self._stop = threading.Event()
        self._closed = False

    def __enter__(self) -> "SceneSource":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self) -> Frame | None:
        """The next frame, or None at the end and after `interrupt`. Raises `SourceError` after `close`."""
        if self._closed:
            raise SourceError("the scene is closed")
        if self._stop.is_set():
            return None
        index = self._due() if self.info.live else self._next
        if index is None or (self.info.frames is not None and index >= self.info.frames):
            return None
        self._next = index + 1
        pixels = self.scene_frame(index)
        pixels.flags.writeable = False
        return Frame(pixels, index, index, 1 / self.info.fps, time.monotonic())

    def _due(self) -> int | None:
        """Wait for the next frame's moment: its index, or a newer one if that is late already; None if interrupted."""
        now = time.monotonic()
        if self._start is None:
            self._start = now
        newest = int((now - self._start) * self.info.fps)
        if newest >= self._next:
            return newest
        wait = self._start + float(self._next / self.info.fps) - now
        return None if self._stop.wait(wait) else self._next

    def interrupt(self) -> None:
        """End the stream: `read` returns None from now on, a waiting one at once."""
        self._stop.set()

    def close(self) -> None:
        """End the stream; `read` raises `SourceError` from now on."""
        self._closed = True
        self._stop.set()

    def scene_frame(self, index: int) -> Pixels:
        """The picture of frame ``index``, uint8 (height, width, 3) RGB: the same whenever it is asked for."""
        pixels = self._land.draw(self._seconds(index))
        if not self._noise:
            return pixels
        grain = np.random.default_rng((self._seed, index)).standard_normal(pixels.shape, np.float32)
        return np.clip(np.rint(pixels + self._noise * grain), 0, 255).astype(np.uint8)

    def scene_flow(self, index: int, index2: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Exact optical flow and visibility between two frames.

        Returns ``flow`` float32 (height, width, 2), (dx, dy) in pixels: what is at x in frame ``index`` lies at
        x + flow in frame ``index2``; and ``visible`` bool (height, width), False where it is hidden there or out of
        the picture. A pixel belongs to the topmost layer that covers half of it: those along edges mix two motions.
        """
        here, there = self._seen(index), self._seen(index2)
        height, width = here.shape
        flow = np.empty((height, width, 2), np.float32)
        for number in np.unique(here):
            rows, columns = np.nonzero(here == number)
            layer = self._land.layers[number]
            step = layer.motion(self._seconds(index2)) @ np.linalg.inv(layer.motion(self._seconds(index))) - np.eye(3)
            flow[rows, columns] = np.stack((columns, rows, np.ones_like(rows)), 1) @ step[:2].T
        x = flow[..., 0] + np.arange(width, dtype=np.float32)
        y = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
        visible = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
        left, top = (np.floor(a[visible]).astype(np.intp) for a in (x, y))
        right, bottom = np.ceil(x[visible]).astype(np.intp), np.ceil(y[visible]).astype(np.intp)
        mine = here[visible]
        same = (there[top, left] == mine) & (there[top, right] == mine)
        visible[visible] = same & (there[bottom, left] == mine) & (there[bottom, right] == mine)
        return flow, visible

    def _seconds(self, index: int) -> float:
        return float(index / self.info.fps)

    def _seen(self, index: int) -> NDArray[np.uint8]:
        """Layer numbers of a frame, the latest few remembered."""
        if index not in self._labels:
            self._labels[index] = self._land.labels(self._seconds(index))
            if len(self._labels) > REMEMBERED:
                self._labels.popitem(last=False)
        return self._labels[index]
