"""Picture and sound that a server has moved against each other, told by the order of their packets.

An RTMP message says how much later it is than the one before. When nginx-rtmp has more to send than its queue holds
(seen after it was stopped for 4.3 s), it leaves pictures out with what their messages would have said, so that all
later ones are early by up to its `sync`, 300 ms unless set, until the player joins again. Publishers send in order of
time and nobody on the way changes the order: in it, picture and sound stay together whatever the stamps say.
"""

import statistics
from collections import deque
from fractions import Fraction

from livestyle.sources.timeline import Timeline, Track

WINDOW = 16  # pictures
STEADY = Fraction(6, 100)  # s; where the order varies by more within a window, it tells nothing
MOST = Fraction(3, 100)  # s that is left alone: 30 pictures and 47 packets of sound a second meet within 21 ms


class Interleave:
    """Watches two tracks of one live stream and makes up for the time that one of them has lost."""

    def __init__(self, timeline: Timeline, pictures: Track, sound: Track) -> None:
        self._timeline = timeline
        self._pictures = pictures
        self._sound = sound
        self._heard: Fraction | None = None
        self._leads: deque[Fraction] = deque(maxlen=WINDOW)  # of the pictures before the sound that came last
        self._usual: Fraction | None = None
        self._clock = timeline.clock

    def hear(self, pts: int) -> None:
        """A packet of sound has come, at ``pts`` as `Track.mend` gave it."""
        self._heard = pts * self._sound.time_base

    def see(self, pts: int) -> None:
        """A picture has come likewise. The track that has lost time since the stream began leaps forward."""
        if self._clock != self._timeline.clock:  # another publisher
            self._clock, self._usual = self._timeline.clock, None
            self._leads.clear()
        if self._heard is None:
            return
        self._leads.append(pts * self._pictures.time_base - self._heard)
        if len(self._leads) < WINDOW or max(self._leads) - min(self._leads) > STEADY:
            return
        lead = statistics.median(self._leads)
        if self._usual is None:
            self._usual = lead
        elif abs(lead - self._usual) > MOST:
            late = self._pictures if lead < self._usual else self._sound
            late.leap(abs(lead - self._usual))
            self._leads.clear()
