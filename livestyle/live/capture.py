"""The capture thread: reads the source, puts it on the session's clock and size, and finds a lost source again."""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fractions import Fraction

from livestyle.errors import SourceError
from livestyle.live.fit import Size, fit_pixels
from livestyle.live.handoff import Closed, Lane, Slot
from livestyle.live.outlet import Outlet, reopen
from livestyle.live.pacing import CLOCK, Timeline, is_overtaken, place, play_wait, restart
from livestyle.live.stats import Stats
from livestyle.media import AudioInfo, AudioPacket, Frame, Source

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Read:
    """One item on its way to the style thread; ``epoch`` counts the openings of the source."""

    epoch: int
    item: Frame | AudioPacket


Inlet = Slot[Read] | Lane[Read]


class Capture:
    """Feeds ``inlet`` from an open ``source`` (`run`), and live sound straight to the outlets.

    ``ending``, when set, ends it. ``play`` reads a file at its natural speed. The inlet's kind settles the rest: on a
    `Lane` time stamps stay the file's and sound goes in order with the frames; on a `Slot` both are placed on the
    session's clock. ``failure`` is what ended a source that is not opened again.
    """

    def __init__(
        self,
        source: Source,
        open_again: Callable[[threading.Event], Source],
        inlet: Inlet,
        outlets: Iterable[Outlet],
        stats: Stats,
        ending: threading.Event,
        *,
        size: Size,
        play: bool,
        on_message: Callable[[str], None],
    ) -> None:
        self.failure: SourceError | None = None
        self._source = source
        self._open_again = open_again
        self._inlet = inlet
        self._outlets = list(outlets)
        self._stats = stats
        self._ending = ending
        self._size = size
        self._play = play
        self._on_message = on_message
        self._sound = source.info.audio  # what the sinks were opened for
        self._line = Timeline(start=time.monotonic())
        self._epoch = 0
        self._next_index = 0
        stats.set_source("ok")

    def interrupt(self) -> None:
        """Free a blocked read. Any thread."""
        self._source.interrupt()

    def run(self) -> None:
        """Read until the end, a stop, or a failure that opening again cannot cure."""
        try:
            while not self._ending.is_set() and not self._read_to_end():
                self._epoch += 1
                self._line = restart(self._line)
        finally:
            self._inlet.close()
            self._source.close()

    def _read_to_end(self) -> bool:
        """Read one opened source. False when it was lost and another is open in its place."""
        live = self._source.info.live
        try:
            self._read_all(self._source)
            return True
        except SourceError as error:
            if self._ending.is_set():
                return True
            if not live:
                self.failure = error
                self._stats.set_source(f"failed: {error}")
                return True
            return not self._find_again(error)

    def _find_again(self, error: SourceError) -> bool:
        self._on_message(f"source lost: {error}; trying again")
        self._stats.set_source(f"lost: {error}")
        self._source.close()
        source = reopen("source", lambda: self._open_again(self._ending), self._ending, self._say_failed)
        if source is None:
            return False
        self._source = source
        self._stats.add_reconnect()
        self._stats.set_source("ok")
        self._on_message("source: back")
        return True

    def _say_failed(self, reason: str) -> None:
        self._stats.set_source(f"reconnecting: {reason}")

    def _read_all(self, source: Source) -> None:
        """Raises `SourceError` when the source fails."""
        sound_fits = _same_sound(source.info.audio, self._sound)
        begun: tuple[float, float] | None = None  # (monotonic, presentation) of a played file's first item
        base: int | None = None  # our frame numbers minus the source's, which start anew with every opening
        while not self._ending.is_set():
            item = source.read()
            if item is None:
                return
            if self._play:
                begun = begun or (time.monotonic(), item.seconds)
                if self._ending.wait(play_wait(*begun, item.seconds, time.monotonic())):
                    return
            now = time.monotonic()
            offset = self._place(item.seconds, now)
            if isinstance(item, AudioPacket):
                if sound_fits:
                    self._hand_on_sound(item, offset)
                continue
            if is_overtaken(self._line, item.seconds):
                continue
            base = self._next_index - item.index if base is None else base
            frame = replace(item, index=self._count(item.index + base), captured=now if self._play else item.captured)
            if not self._hand_on(self._fit(frame), offset):
                return

    def _place(self, seconds: float, now: float) -> float:
        """What to add to the source's seconds."""
        if isinstance(self._inlet, Lane):
            return 0.0
        offset, self._line = place(self._line, seconds, now)
        return offset

    def _count(self, index: int) -> int:
        index = max(index, self._next_index)
        self._stats.add_in(skipped=index - self._next_index)
        self._next_index = index + 1
        return index

    def _fit(self, frame: Frame) -> Frame:
        begun = time.monotonic()
        pixels = fit_pixels(frame.pixels, self._size)
        if pixels is frame.pixels:
            return frame
        self._stats.add_stages({"fit": (time.monotonic() - begun) * 1000.0})
        return replace(frame, pixels=pixels)

    def _hand_on(self, frame: Frame, offset: float) -> bool:
        if isinstance(self._inlet, Slot):
            pts = round((frame.pts * frame.time_base + Fraction(offset)) / CLOCK)
            frame = replace(frame, pts=pts, time_base=CLOCK)
        try:
            if not self._inlet.put(Read(self._epoch, frame)):
                self._stats.add_dropped()
        except Closed:
            return False
        return True

    def _hand_on_sound(self, packet: AudioPacket, offset: float) -> None:
        if isinstance(self._inlet, Slot):
            packet = replace(packet, pts=packet.pts + round(offset / packet.time_base))
            for outlet in self._outlets:
                outlet.put_sound(packet)
            return
        try:
            self._inlet.put(Read(self._epoch, packet))
        except Closed:
            log.debug("sound after the end")


def _same_sound(now: AudioInfo | None, before: AudioInfo | None) -> bool:
    """Whether packets can go on into what the sinks were opened for; another time base does not matter."""
    if now is None or before is None:
        return now is before
    return replace(now, time_base=before.time_base) == before
