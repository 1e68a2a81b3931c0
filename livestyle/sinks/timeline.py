"""When things are shown: places frames and sound on one output clock that starts at 0 and never runs back.

Sources have clocks of their own, which jump when a stream is opened again, and a paused stream repeats one frame. Both
would break a muxer, so every sink that writes timestamps passes them through a `Timeline`.
"""

import time
from collections import deque
from collections.abc import Callable
from fractions import Fraction

from livestyle.media import AudioPacket, Frame

JUMP_SECONDS = 2.0  # a live source further off the wall clock than this has a new clock
HOLD_SECONDS = 2.0  # the longest that sound waits for the picture of its moment
SOUND_STEP = Fraction(1, 500)  # s; what follows sooner would share a tick of the muxer: spliced streams overlap so


class Timeline:
    """Maps pts of frames and sound to seconds of one output clock, and releases sound in step with the pictures.

    Live: the source's clock is kept, so that sound and picture stay together, until it strays more than `JUMP_SECONDS`
    from the wall clock; then both move together. Not live: the source's clock alone counts, its gaps included. Time 0
    is the first frame. Results are exact fractions; the frames' strictly increase by at least ``tick``.
    """

    def __init__(self, live: bool, tick: Fraction, now: Callable[[], float] = time.monotonic) -> None:
        """``tick`` is the output's smallest step in seconds; ``now`` is the wall clock, for tests."""
        self._live = live
        self._tick = tick
        self._now = now
        self._started = 0.0
        self._shift: Fraction | None = None  # output = source + shift
        self._last = -tick
        self._last_sound = Fraction(-1)
        self._held: deque[tuple[float, AudioPacket]] = deque()

    def place(self, frame: Frame) -> Fraction:
        """Output seconds of a frame."""
        source = frame.pts * frame.time_base
        if self._shift is None:
            self._shift, self._started = -source, self._now()
        at = source + self._shift
        if self._live:
            wall = Fraction(round((self._now() - self._started) * 90_000), 90_000)
            if abs(at - wall) > JUMP_SECONDS:
                self._shift, at = wall - source, wall
                self._held.clear()  # on the old clock
            elif at <= self._last:  # the same frame again: time has passed, but the source's clock still holds
                at = wall
        self._last = max(at, self._last + self._tick)
        return self._last

    def hold(self, packet: AudioPacket) -> None:
        """Take a packet of sound, to be released by `due` when the pictures have come as far."""
        self._held.append((self._now(), packet))

    def due(self) -> list[tuple[Fraction, AudioPacket]]:
        """Sound to be written now: with its output seconds, in order, at or before the newest frame.

        Live sound that has waited `HOLD_SECONDS` is released too. Sound from before the first frame, or older than what
        was released already (a source that was opened again, a spliced one), is dropped.
        """
        ready: list[tuple[Fraction, AudioPacket]] = []
        now = self._now()
        while self._held:
            since, packet = self._held[0]
            overdue = self._live and now - since >= HOLD_SECONDS
            at = None if self._shift is None else packet.pts * packet.time_base + self._shift
            if (at is None or at > self._last) and not overdue:
                break
            self._held.popleft()
            # Sound far ahead is on a new clock whose first picture has not come yet: it has no place here.
            if at is not None and at >= 0 and self._last_sound + SOUND_STEP <= at <= self._last + HOLD_SECONDS:
                self._last_sound = at
                ready.append((at, packet))
        return ready

    def flush(self) -> list[tuple[Fraction, AudioPacket]]:
        """The sound that is still held, at the end of a recording."""
        if self._shift is None:
            return []
        ready: list[tuple[Fraction, AudioPacket]] = []
        for _, packet in self._held:
            at = packet.pts * packet.time_base + self._shift
            if at >= 0 and at >= self._last_sound + SOUND_STEP:
                self._last_sound = at
                ready.append((at, packet))
        self._held.clear()
        return ready
