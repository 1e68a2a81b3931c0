"""A painter that paints at one size and delivers another, and lets a governor choose the first while the stream runs.

A `Stylizer` is compiled for one size. Those of the governor's smaller sizes are compiled and run once on a thread of
their own, a second after the start, so that a step down costs nothing but the step itself.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np

from livestyle.controls import Controls
from livestyle.errors import LivestyleError
from livestyle.live.fit import Size
from livestyle.live.governor import Governor, Rung, build_ladder
from livestyle.live.stylizer import Stylizer
from livestyle.live.upsample import Upsampler
from livestyle.media import Frame, Pixels

log = logging.getLogger(__name__)

SETTLED = 1.0  # s from the first frame until the smaller sizes are compiled: a short run is not held up by them
BREATH = 0.2  # s between two graphs that are compiled beside the running stream
# Shares of the last picture in the first ones of another size. Strokes change with the size; on a hand-held clip the
# first picture then differs from the last by a third of what any two neighbours do, without by 1.7 times as much, and
# no later one by more than usual.
FADE = (0.75, 0.5, 0.25)


class ScaledPainter:
    """Paints frames of ``output`` size at ``size`` (both (width, height)) and enlarges, guided by the frame itself.

    With ``fps`` a `Governor` holds that rate by painting smaller still. ``open_stylizer`` is called once for each size;
    ``on_rung`` is told the level and the size at the start and at each change, ``clock`` gives monotonic seconds. Used
    by one thread.
    """

    def __init__(
        self,
        open_stylizer: Callable[[], Stylizer],
        size: Size,
        output: Size,
        *,
        fps: float | None = None,
        on_rung: Callable[[int, Size], None] = lambda level, size: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        ladder = (Rung(size),) if fps is None else build_ladder(size)
        self._governor = Governor(ladder, fps or 1.0)
        self._open_stylizer = open_stylizer
        self._output = output
        self._on_rung = on_rung
        self._clock = clock
        self._upsampler = Upsampler(*output)
        self._stylizers: dict[Size, Stylizer] = {size: open_stylizer()}
        self._stages: dict[str, float] = {}
        self._source: Frame | None = None  # the last frame,
        self._small: Frame | None = None  # the same at the size it was painted at,
        self._shown: Pixels | None = None  # and what came of it
        self._fading: list[float] = []
        self._begun: float | None = None  # when the first frame came
        self._closing = threading.Event()
        self._compiler: threading.Thread | None = None
        on_rung(0, size)

    @property
    def styles(self) -> Sequence[str]:
        """Names of the styles that can be asked for."""
        return self._stylizers[self._governor.ladder[0].size].styles

    @property
    def stages(self) -> Mapping[str, float]:
        """Milliseconds of each stage that the last `paint` ran."""
        return self._stages

    @property
    def ready(self) -> bool:
        """Whether every size that the governor may choose is compiled."""
        return all(rung.size in self._stylizers for rung in self._governor.ladder)

    def prepare(self) -> None:
        """Compile for the first size. Raises `BackendError` or `ModelError`."""
        size = self._governor.ladder[0].size
        self._stylizers[size].prepare(*size)

    def paint(self, frame: Frame, controls: Controls) -> Frame:
        """Paint a frame of the output's size; the same frame object again encodes nothing."""
        started = self._clock()
        fresh = frame is not self._source
        skipped = frame.index - self._source.index - 1 if fresh and self._source is not None else 0
        rung, level = self._governor.rung, self._governor.level
        stylizer = self._stylizers[rung.size]
        stylizer.motion_every = rung.motion_every
        small = self._shrink(frame, rung.size)
        painted = stylizer.paint(small, controls)
        self._stages = dict(stylizer.stages)
        pixels = self._blend_over(self._enlarge(painted.pixels, small, frame), fresh)
        self._source, self._small, self._shown = frame, small, pixels
        if fresh:
            self._govern(level, started, skipped)
        return replace(painted, pixels=pixels)

    def _shrink(self, frame: Frame, size: Size) -> Frame:
        if size == self._output:
            return frame
        if frame is self._source and self._small is not None and self._small.pixels.shape[1::-1] == size:
            return self._small
        return replace(frame, pixels=np.asarray(cv2.resize(frame.pixels, size, interpolation=cv2.INTER_AREA), np.uint8))

    def _enlarge(self, painted: Pixels, small: Frame, frame: Frame) -> Pixels:
        if small is frame:
            return painted
        started = time.perf_counter()
        pixels = self._upsampler.enlarge(painted, small.pixels, frame.pixels)
        self._stages["enlarge"] = (time.perf_counter() - started) * 1e3
        return pixels

    def _blend_over(self, pixels: Pixels, fresh: bool) -> Pixels:
        """``pixels``, or in the first frames of another size a mixture with the picture before."""
        if not self._fading or not fresh or self._shown is None:
            return pixels
        share = self._fading.pop(0)
        return np.asarray(cv2.addWeighted(self._shown, share, pixels, 1.0 - share, 0.0), np.uint8)

    def _govern(self, level: int, started: float, skipped: int) -> None:
        before = self._governor.rung
        if self._governor.observe(started, self._clock(), skipped) != level:
            rung = self._governor.rung
            log.info("painting at %dx%d, motion every %d", *rung.size, rung.motion_every)
            self._on_rung(self._governor.level, rung.size)
            if rung.size != before.size:
                self._stylizers[rung.size].reset()  # what it last saw was long ago
                self._fading = list(FADE)
        self._begun = started if self._begun is None else self._begun
        if self._compiler is None and started - self._begun >= SETTLED and len(self._governor.ladder) > 1:
            self._compiler = threading.Thread(target=self._compile_smaller, name="smaller sizes", daemon=True)
            self._compiler.start()

    def _compile_smaller(self) -> None:
        for level, rung in enumerate(self._governor.ladder):
            if rung.size not in self._stylizers:
                stylizer = self._open_stylizer()
                try:
                    whole = self._compile(stylizer, rung.size)
                except LivestyleError as error:
                    log.warning("cannot paint at %dx%d to hold the rate: %s", *rung.size, error)
                    whole = False
                if not whole:
                    stylizer.close()
                    return
                self._stylizers[rung.size] = stylizer
            self._governor.allow(level)

    def _compile(self, stylizer: Stylizer, size: Size) -> bool:
        """Compile all graphs and run each once, since the first run allocates; False when closing came between."""
        for _ in stylizer.compile(*size):
            if self._closing.wait(BREATH):
                return False
        blank = np.zeros((size[1], size[0], 3), np.uint8)
        for index in range(2):
            stylizer.paint(Frame(blank, index, index, Fraction(1), 0.0), Controls(((self.styles[0], 1.0),)))
        stylizer.reset()
        return True

    def reset(self) -> None:
        """Forget the past: after a seek, a stall or another source."""
        self._stylizers[self._governor.rung.size].reset()
        self._governor.forget()
        self._source, self._small, self._shown, self._fading = None, None, None, []

    def close(self) -> None:
        """Release the backends. May be called twice."""
        self._closing.set()
        if self._compiler is not None:
            self._compiler.join()
        for stylizer in self._stylizers.values():
            stylizer.close()
