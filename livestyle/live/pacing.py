"""Time, as pure functions of (state, time stamps, now): when a sink shows what, and on which clock.

Nothing here reads a clock or waits. Every function returns the next state beside its answer; the threads of
`livestyle.live.outlet` and `livestyle.live.session` do the waiting.
"""

import enum
import math
from dataclasses import dataclass, replace
from fractions import Fraction

CLOCK = Fraction(1, 90_000)  # s, the session's time base for live video: every usual frame rate is exact in it
SOUND_HOLD = 2.0  # s, the longest that sound waits for the picture of its time
LAG_WINDOW = 2.0  # s, how long a source must be later than ever before its clock is set anew
LAG_LIMIT = 0.3  # s, how much later
SILENCE_WINDOW = (
    0.5  # s, the same window after nothing came for `LAG_LIMIT`: a burst of what was missed is over by then
)
BURST, FALLING = 0.1, 0.02  # s: while things come sooner and sooner, by so much in so long, the burst goes on
LATE = 0.04  # s; a picture of the burst that is later than this has been overtaken by repeats
ROUNDING = 1e-6  # s, by which nothing is sooner than anything else
JUMP = 5.0  # s, a time stamp this far from its expected place starts a new timeline


class Action(enum.Enum):
    """What a sink does now."""

    NEW = "write the waiting frame"
    REPEAT = "write the last frame again"
    WAIT = "do nothing yet"


@dataclass(frozen=True, slots=True)
class Decision:
    """``stamp``: presentation seconds to write the frame with. ``until``: monotonic seconds, None to wait for ever."""

    action: Action
    stamp: float = 0.0
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """The output clock of one live sink. ``period`` is 1 / fps in seconds.

    ``due`` (monotonic) is when the next frame should go out, ``stamp`` the presentation time of the last one, ``lead``
    how far that was ahead of the frame's own time: repeats push it up, and leaving repeats out brings it down.
    """

    period: float
    due: float = 0.0
    stamp: float | None = None
    lead: float = 0.0


def decide(pace: Pace, waiting: float | None, now: float) -> tuple[Decision, Pace]:
    """Choose what a live sink does at ``now``; ``waiting`` is the presentation time of a frame not yet written, if any.

    Frames go out at most at the output rate (half a period of jitter allowed), stamps strictly increase, and when none
    came for one and a half periods the last one is repeated. A frame keeps its time unless repeats have overtaken it.
    """
    if pace.stamp is None:
        if waiting is None:
            return Decision(Action.WAIT), pace
        return Decision(Action.NEW, waiting), replace(pace, stamp=waiting, due=now + pace.period)
    if waiting is not None:
        earliest = pace.due - pace.period / 2
        if now < earliest:
            return Decision(Action.WAIT, until=earliest), pace
        stamp = _next_stamp(pace, pace.stamp, waiting)
        due = pace.due + pace.period if now - pace.due < pace.period else now + pace.period
        return Decision(Action.NEW, stamp), replace(pace, stamp=stamp, due=due, lead=stamp - waiting)
    latest = pace.due + pace.period / 2
    if now < latest:
        return Decision(Action.WAIT, until=latest), pace
    due = pace.due + pace.period if now - pace.due < 2 * pace.period else now + pace.period / 2
    if pace.lead > 1.5 * pace.period:  # one repeat less: the picture falls back towards its sound
        until = due + pace.period / 2
        return Decision(Action.WAIT, until=until), replace(pace, due=due, lead=pace.lead - pace.period)
    stamp = pace.stamp + pace.period
    return Decision(Action.REPEAT, stamp), replace(pace, stamp=stamp, due=due)


def _next_stamp(pace: Pace, last: float, own: float) -> float:
    """The frame's own time; where repeats have used it up, half a step on, so that it falls back to its sound soon."""
    return max(own, last + pace.period / 2)


def sound_due(sound: float, arrived: float, picture: float | None, now: float) -> bool:
    """Whether sound of presentation time ``sound`` may go out: its picture is out, or it has waited `SOUND_HOLD`."""
    return now - arrived >= SOUND_HOLD or (picture is not None and sound <= picture)


@dataclass(frozen=True, slots=True)
class Timeline:
    """Places the clock of a live source, which may restart with every reconnect, on the session's one clock.

    ``start`` is monotonic zero of the session. ``offset`` (None: not yet known) is added to the source's seconds, for
    pictures and sound alike, so that they stay together. ``floor`` is the smallest lag (arrival minus placed time)
    seen on this offset, ``lowest`` that of the current window. Nothing is placed later than it arrives: what a server
    kept comes in a burst when it is joined, and only the item that ends the burst is of now.
    """

    start: float
    offset: float | None = None
    last: float = 0.0
    floor: float = 0.0
    lowest: float = math.inf
    window_end: float = 0.0
    arrived: float = 0.0  # s since ``start``, of the newest item
    burst_end: float = 0.0  # s since ``start``; what comes until then is of a burst after a silence


def place(line: Timeline, seconds: float, now: float) -> tuple[float, Timeline]:
    """Return the offset for an item of source time ``seconds`` that arrived at ``now``.

    The offset changes when the source's clock jumped (a restart), when something comes sooner than anything before (a
    burst), or when all has come `LAG_LIMIT` later than its best for a whole `LAG_WINDOW`: the source stalled and then
    went on where it was, while repeats moved the output on. Placed time never restarts before what was already placed.
    """
    elapsed = now - line.start
    lag = 0.0 if line.offset is None else elapsed - (seconds + line.offset)
    if line.offset is None or abs(lag - line.floor) > JUMP:
        offset = max(elapsed, line.last) - seconds
        last = max(line.last, seconds + offset)
        floor = elapsed - seconds - offset
        return offset, Timeline(line.start, offset, last, floor, math.inf, now + LAG_WINDOW, elapsed)
    early, lag = min(lag, 0.0), max(lag, 0.0)
    offset = line.offset + (early if early < -ROUNDING else 0.0)
    floor, lowest = min(line.floor, lag), min(line.lowest, lag)
    window_end, burst_end = line.window_end, line.burst_end
    if elapsed - line.arrived > LAG_LIMIT:
        lowest, window_end, burst_end = lag, now + SILENCE_WINDOW, elapsed + BURST
    elif elapsed < burst_end and lag < line.lowest - FALLING:
        window_end, burst_end = now + SILENCE_WINDOW, elapsed + BURST
    if now < window_end:
        last = max(line.last, seconds + offset)
        return offset, Timeline(line.start, offset, last, floor, lowest, window_end, elapsed, burst_end)
    if lowest > floor + LAG_LIMIT:
        offset += lowest - floor
    last = max(line.last, seconds + offset)
    return offset, Timeline(line.start, offset, last, floor, math.inf, now + LAG_WINDOW, elapsed)


def is_overtaken(line: Timeline, seconds: float) -> bool:
    """Whether the picture just placed is of a burst after a silence and older than what was shown meanwhile.

    It could be shown only with a later time stamp than its sound (seen: 3.7 s later, after a server stood for 4.2 s).
    """
    return line.arrived < line.burst_end and line.arrived - seconds - (line.offset or 0.0) > line.floor + LATE


def restart(line: Timeline) -> Timeline:
    """The timeline for a source that was opened again: its next item sets the offset."""
    return replace(line, offset=None)


def play_wait(begun: float, first: float, seconds: float, now: float) -> float:
    """Seconds to wait until an item of a file is due that is played at its natural speed; 0 when it is late.

    ``begun`` is the monotonic time at which the item of presentation time ``first`` was let through.
    """
    return max(0.0, begun + (seconds - first) - now)


def backoff(attempt: int, chance: float) -> float:
    """Seconds to wait before reopening for the ``attempt``-th time (from 0): 0.5, 0.55, 0.6 … 2, jittered by ±20 %.

    Never longer, so that whatever comes back, after however long, is found in 5 s. ``chance`` in [0, 1) is the caller's
    random number.
    """
    return float(min(2.0, 0.5 * 1.1 ** min(attempt, 20)) * (0.8 + 0.4 * chance))
