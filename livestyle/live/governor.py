"""The governor: paints smaller, and looks for motion less often, before frames are dropped; and goes back up.

A pure function of the times it is told. It knows a ladder of rungs, each cheaper than the one above, and where on it
the stream stands.
"""

import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from livestyle.live.fit import Size

SCALES = (1.0, 0.8, 0.6)  # of the asked size: 640×360, 512×288, 384×216
MULTIPLE = 8  # pixels, of a smaller size's sides
SHORTEST = 96  # pixels: a picture is not painted with a shorter side than this to gain speed

WINDOW = 1.0  # s of frames that a step down is decided on
LEAST = 8  # frames, of the same: a hitch of one or two is none of our business
FULL = 0.94  # share of a frame's time at which the next jitter would cost a frame
ROOM = 0.88  # share that the rung above is expected to take before it is tried
HELD = 0.97  # of the asked rate: what is meant by holding it
BUSY = 0.6  # share of a frame's time below which painting is not what frames are lost to, but a network or a camera
PATIENCE = 4.0  # s of such headroom before a step up; doubled each time a step up did not last, up to
PATIENCE_MOST = 64.0
PROBATION = 10.0  # s that a step up has to last


@dataclass(frozen=True, slots=True)
class Rung:
    """A way to paint: at ``size``, with the motion searched in one of ``motion_every`` frames."""

    size: Size
    motion_every: int = 1

    @property
    def cost(self) -> float:
        """What painting costs, next to other rungs."""
        return float(self.size[0] * self.size[1])


@dataclass(frozen=True, slots=True)
class _Sample:
    started: float
    busy: float
    skipped: int


def build_ladder(size: Size) -> tuple[Rung, ...]:
    """The rungs below painting at ``size``, that one first: 0.8 and 0.6 of it, then fewer searches for motion."""
    sizes = [size]
    for scale in SCALES[1:]:
        width, height = (max(MULTIPLE, round(side * scale / MULTIPLE) * MULTIPLE) for side in size)
        if min(width, height) >= SHORTEST and width * height < 0.9 * sizes[-1][0] * sizes[-1][1]:
            sizes.append((width, height))
    return (*(Rung(each) for each in sizes), Rung(sizes[-1], motion_every=2))


class Governor:
    """Chooses the rung; `level` is its number, 0 the best.

    Tell it of every painted frame by `observe`, and by `allow` how far down it may go: what lies deeper is not compiled
    yet. It steps down, at once as far as is needed, when the median frame takes the whole of its time, or most of it
    while frames were skipped at two moments of a second and the asked rate was not held. It goes up by one rung after
    `PATIENCE` seconds in which the rung above would have had room.
    """

    def __init__(self, ladder: Sequence[Rung], fps: float) -> None:
        self.ladder = tuple(ladder)
        self.level = 0
        self._period = 1.0 / fps
        self._deepest = 0
        self._samples: deque[_Sample] = deque()
        self._roomy_since: float | None = None
        self._patience = PATIENCE
        self._raised = -inf  # when the last step up was

    @property
    def rung(self) -> Rung:
        """Where the stream stands."""
        return self.ladder[self.level]

    def allow(self, deepest: int) -> None:
        """Rungs down to this number can be used from now on."""
        self._deepest = deepest

    def forget(self) -> None:
        """The next frame does not follow from the last one: what was measured says nothing about what comes."""
        self._samples.clear()
        self._roomy_since = None

    def observe(self, started: float, ended: float, skipped: int) -> int:
        """A frame was painted from ``started`` to ``ended``, monotonic seconds; returns the level for the next one.

        ``skipped`` frames between it and the one before were never painted.
        """
        self._samples.append(_Sample(started, ended - started, skipped))
        while ended - self._samples[0].started > WINDOW and len(self._samples) > LEAST:
            self._samples.popleft()
        if len(self._samples) < LEAST:
            return self.level
        interval, busy = self._interval(ended), statistics.median(sample.busy for sample in self._samples)
        deeper = self._deeper(busy, interval)
        drops = busy > BUSY * interval and self._drops(ended)
        if deeper > self.level and (drops or busy > FULL * interval):
            self._step_down(deeper, ended)
        elif self.level > 0:
            self._watch_headroom(not drops and busy * self._relative(self.level - 1) <= ROOM * interval, ended)
        return self.level

    def _interval(self, now: float) -> float:
        """Seconds that a frame may take: what the source leaves, and no less than the asked rate does."""
        span = now - self._samples[0].started
        frames = len(self._samples) + sum(sample.skipped for sample in self._samples) - self._samples[0].skipped
        return max(self._period, span / frames)

    def _drops(self, now: float) -> bool:
        rate = len(self._samples) / (now - self._samples[0].started)
        return sum(sample.skipped > 0 for sample in self._samples) >= 2 and rate < HELD / self._period

    def _deeper(self, busy: float, interval: float) -> int:
        """The first rung below that should do, or the last there is."""
        level = min(self.level + 1, self._deepest)
        while level < self._deepest and busy * self._relative(level) > ROOM * interval:
            level += 1
        return max(level, self.level)

    def _relative(self, level: int) -> float:
        return self.ladder[level].cost / self.rung.cost

    def _step_down(self, level: int, now: float) -> None:
        lasted = now - self._raised
        self._patience = min(2 * self._patience, PATIENCE_MOST) if lasted < PROBATION else PATIENCE
        self.level = level
        self.forget()

    def _watch_headroom(self, roomy: bool, now: float) -> None:
        if not roomy:
            self._roomy_since = None
            return
        self._roomy_since = now if self._roomy_since is None else self._roomy_since
        if now - self._roomy_since >= self._patience:
            self.level -= 1
            self._raised = now
            self.forget()
