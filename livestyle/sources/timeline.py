"""Time stamps that start at zero and never run backwards, for all streams of one container.

A relay that takes a new publisher may go on from the old clock or start again at zero (node-media-server: pictures 11 s
ahead after a second publish), players join in the middle, and some files have gaps in their stamps or none at all. Pure
arithmetic on (stamp, now): no clock is read here.
"""

from fractions import Fraction

BACKWARD_SECONDS = 0.2  # less than this backwards is jitter (pictures come decoded, in order), more is a new clock
FORWARD_SECONDS = 5.0  # live only: this far ahead of the wall clock is a new clock, not a pause
LONGEST_SECONDS = 86_400.0  # further than this from what came before, or from the first picture, is no gap but damage
TOGETHER_SECONDS = (
    5.0  # streams of one container that break their clocks broke them together if they then agree this well
)


class Timeline:
    """What the tracks of one container share: the shift from their clock to ours, and the count of their clocks."""

    def __init__(self, live: bool) -> None:
        self.live = live
        self.shift: Fraction | None = None  # seconds; None until the first picture is known
        self.clock = 0

    def start(self, first: Fraction) -> None:
        """The moment ``first`` (seconds on the container's clock) becomes zero."""
        self.shift = -first


class Track:
    """The time stamps of one stream, in its own ``time_base`` (seconds a tick)."""

    def __init__(self, timeline: Timeline, time_base: Fraction, step: int) -> None:
        self.time_base = time_base
        self._timeline = timeline
        self._step = max(step, 1)
        self._shift: int | None = None
        self._clock = 0  # that the shift is of
        self._leapt = 0  # on this clock
        self._last: int | None = None
        self._last_now = 0.0

    def mend(self, stamp: int | None, duration: int | None, now: float) -> int:
        """Our time stamp for the next item: strictly above the one before.

        ``stamp`` and ``duration`` are the container's, in ticks, None or 0 where it does not know; ``now`` is a
        monotonic clock in seconds. `Timeline.start` has been called.
        """
        if self._shift is None or self._clock == self._timeline.clock:
            self._clock, self._shift = self._timeline.clock, self._ticks(self._timeline.shift or Fraction(0))
        following = 0 if self._last is None else self._last + self._step
        pts = following if stamp is None else stamp + self._shift + self._leapt
        if stamp is not None and self._broken(pts, now):
            pts = self._rejoin(stamp, following)
        if self._last is not None:
            pts = max(pts, self._last + 1)
        self._step = duration or self._step
        self._last, self._last_now = pts, now
        return pts

    def leap(self, seconds: Fraction) -> None:
        """From here on everything is later by ``seconds``, until the clock changes."""
        self._leapt += self._ticks(seconds)

    def _broken(self, pts: int, now: float) -> bool:
        gap = float((pts - (self._last or 0)) * self.time_base)
        if abs(gap) > LONGEST_SECONDS:
            return True
        if self._last is None:
            return False
        return gap < -BACKWARD_SECONDS or (self._timeline.live and gap - (now - self._last_now) > FORWARD_SECONDS)

    def _rejoin(self, stamp: int, following: int) -> int:
        """Go on where we were, on the new clock that another track has found if it serves, so that they stay in step.

        Where that would take us back, because we were ahead of the other when the clock changed, both go on later.
        """
        self._leapt = 0
        timeline = self._timeline
        shift = timeline.shift or Fraction(0)
        behind = (following - stamp) * self.time_base - shift
        if self._clock == timeline.clock or abs(behind) > TOGETHER_SECONDS:
            timeline.clock += 1
            timeline.shift = shift + behind
        elif behind > 0:
            timeline.shift = shift + behind
        self._clock, self._shift = timeline.clock, self._ticks(timeline.shift or Fraction(0))
        return stamp + self._shift

    def _ticks(self, seconds: Fraction) -> int:
        return round(seconds / self.time_base)
