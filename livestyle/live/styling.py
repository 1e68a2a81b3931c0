"""The style thread: takes frames, reads the controls once for each, paints, and hands on to every outlet."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from typing import Protocol

from livestyle.controls import ControlBoard, Controls
from livestyle.live.capture import Inlet, Read
from livestyle.live.handoff import Closed, Lane, Slot
from livestyle.live.morph import Morph
from livestyle.live.outlet import Outlet
from livestyle.live.stats import Stats
from livestyle.media import AudioPacket, Frame

log = logging.getLogger(__name__)

GLANCE = 0.03  # s, how soon a change of the controls shows while no frame comes
REST = 1.0  # s between painted frames while nobody looks at any sink
RETRY = 1.0  # s, from a failure of the painter to its second chance
FORGIVEN = 60.0  # s of good painting after which a failure has a second chance again


class Painter(Protocol):
    """Paints frames in the styles it knows. Used by one thread."""

    @property
    def styles(self) -> Sequence[str]:
        """Names, in the order that numbers and arrows walk through."""

    @property
    def stages(self) -> Mapping[str, float]:
        """Milliseconds of the last `paint`, per stage."""

    def paint(self, frame: Frame, controls: Controls) -> Frame:
        """The painted picture with the same index, pts and captured; the same frame object again encodes nothing."""

    def reset(self) -> None:
        """Forget the frames before: the source changed, or a stretch of it was not seen."""

    def close(self) -> None:
        """Release the backend. May be called twice."""


class Brush:
    """A painter that never fails: what cannot be painted passes as it is.

    After a failure frames pass unpainted for `RETRY` seconds, then painting gets one more try; a second failure within
    `FORGIVEN` seconds is the last.
    """

    def __init__(self, painter: Painter, stats: Stats, on_message: Callable[[str], None]) -> None:
        self._painter = painter
        self._stats = stats
        self._on_message = on_message
        self._rest_until = -inf
        self._failed_at = -inf

    def paint(self, frame: Frame, controls: Controls) -> Frame:
        """The painted frame, or ``frame`` itself."""
        begun = time.monotonic()
        if (controls.bypass and not controls.look) or begun < self._rest_until:
            return frame
        try:
            painted = self._painter.paint(frame, controls)
        except Exception as error:  # the style thread's top frame: video goes on whatever a backend raises
            self._fail(error)
            return frame
        self._stats.add_stages({**self._painter.stages, "paint": (time.monotonic() - begun) * 1000.0})
        return painted

    def cut(self) -> None:
        """The next frame does not follow from the last one."""
        try:
            self._painter.reset()
        except Exception as error:  # as above
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        now = time.monotonic()
        log.debug("the painter failed", exc_info=error)
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        if now - self._failed_at < FORGIVEN:
            self._rest_until = inf
            self._on_message(f"painting failed again, the stream goes on unpainted: {reason}")
            return
        self._failed_at, self._rest_until = now, now + RETRY
        self._on_message(f"painting failed, frames pass unpainted: {reason}")
        try:
            self._painter.reset()  # what was half done must not leak into the second try
        except Exception as second:  # as above
            log.debug("reset after a failure: %s", second)


class Styling:
    """Runs a `Brush` over an inlet. ``limit`` ends a processed file after so many frames.

    ``watch`` is given each new source frame right before its painting goes to the outlets; it must not block.

    While nobody looks at any sink, live video rests: one frame in `REST` seconds is painted, and the next one as soon
    as somebody looks or chooses something. With a ``limit``, which is for measuring, it never rests.
    """

    def __init__(
        self,
        painter: Painter,
        inlet: Inlet,
        outlets: Iterable[Outlet],
        board: ControlBoard,
        stats: Stats,
        ending: threading.Event,
        snapshot: Slot[Frame],
        *,
        limit: int | None,
        watch: Callable[[Frame], None] | None = None,
        on_message: Callable[[str], None],
    ) -> None:
        self._painter = painter
        self._brush = Brush(painter, stats, on_message)
        self._inlet = inlet
        self._outlets = list(outlets)
        self._board = board
        self._stats = stats
        self._ending = ending
        self._watch = watch
        self._snapshot = snapshot
        self._left = limit if isinstance(inlet, Lane) else None  # live sinks count for themselves
        self._may_rest = limit is None and isinstance(inlet, Slot)
        self._rested = False  # frames have passed unpainted since the last one
        self._held: Read | None = None  # the last source frame
        self._held_since = -inf
        self._shown: Controls | None = None  # what was asked for then
        self._morph = Morph()
        self._snapshots = board.controls.snapshots

    def run(self) -> None:
        """Until the inlet is closed and empty; then closes the outlets and the painter."""
        try:
            while self._left is None or self._left > 0:
                self._step()
        except Closed:
            log.debug("all frames are painted")
        finally:
            self._inlet.close(discard=True)
            self._snapshot.close()
            for outlet in self._outlets:
                outlet.close()
            self._painter.close()

    def _step(self) -> None:
        """One frame, one packet of sound, or one glance at the controls."""
        entry = self._take()
        if entry is not None and isinstance(entry.item, AudioPacket):
            for outlet in self._outlets:
                outlet.put_sound(entry.item)
            return
        controls = self._board.controls
        if entry is not None and controls.paused and self._held is not None:
            self._stats.add_dropped()
            entry = None
        if entry is not None and self._rests() and not self._wants_repaint(controls):
            self._stats.add_dropped()
            self._rested = True
        elif entry is not None:
            self._deliver(entry, controls, fresh=True)
        elif self._held is not None and self._wants_repaint(controls):
            self._deliver(self._held, controls, fresh=False)

    def _take(self) -> Read | None:
        frozen = self._board.controls.paused and self._held is not None
        if not frozen or isinstance(self._inlet, Slot):
            return self._inlet.get(GLANCE)
        if self._ending.wait(GLANCE):  # a processed file waits where it is, nothing of it is lost
            raise Closed
        return None

    def _rests(self) -> bool:
        """Nobody would see the next picture, and the last one is not old yet."""
        if not self._may_rest or any(outlet.is_watched() for outlet in self._outlets):
            return False
        return time.monotonic() - self._held_since < REST

    def _wants_repaint(self, controls: Controls) -> bool:
        return self._morph.running or controls.snapshots > self._snapshots or _look(controls) != _look(self._shown)

    def _deliver(self, entry: Read, controls: Controls, fresh: bool) -> None:
        assert isinstance(entry.item, Frame)
        if fresh and self._follows_gap(entry, controls):
            self._brush.cut()
        if self._shown is not None and self._shown.mix != controls.mix:
            self._stats.add_switch()
        if fresh:
            self._held_since, self._rested = time.monotonic(), False
        look = self._morph.follow(controls, self._read_clock(entry.item, controls.paused))
        painted = self._brush.paint(entry.item, look)
        self._held, self._shown = entry, controls
        if fresh and self._watch is not None:
            self._watch(entry.item)
        for outlet in self._outlets:
            outlet.put(painted, fresh)
        if controls.snapshots > self._snapshots:
            self._snapshots = controls.snapshots
            self._snapshot.put(painted)
        if fresh and self._left is not None:
            self._left -= 1

    def _read_clock(self, frame: Frame, frozen: bool) -> float:
        """Seconds for morphs; a processed file's own unless it is frozen, so that all machines make the same of it."""
        if isinstance(self._inlet, Slot):
            return time.monotonic()
        return frame.seconds + (time.monotonic() - self._held_since if frozen else 0.0)

    def _follows_gap(self, entry: Read, controls: Controls) -> bool:
        """Whether the painter has not seen what came before: another source, or the end of a freeze, bypass or rest."""
        if self._held is None or self._shown is None:
            return False
        unseen = self._rested or self._shown.paused or (self._shown.bypass and not controls.bypass)
        return unseen or entry.epoch != self._held.epoch


def _look(controls: Controls | None) -> object:
    """What of the controls changes the picture."""
    if controls is None:
        return None
    styles = (controls.mix, controls.regions, controls.masks, controls.strength)
    return styles, controls.keep_colors, controls.look, controls.coherence, controls.bypass
