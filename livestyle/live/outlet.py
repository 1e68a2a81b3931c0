"""One outlet per sink: the thread that paces, holds sound back, writes, and opens a stalled sink again.

A *live* outlet is a `Slot` and an output clock (`pacing.decide`): newest wins, the last frame is repeated rather than
nothing shown. A *lossless* one is a `Lane` in stream order: a file made from a file gets every frame once.
"""

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar, runtime_checkable

from livestyle.errors import LivestyleError, SinkError, SinkStalled, SourceError
from livestyle.live.handoff import Closed, Lane, Slot
from livestyle.live.pacing import CLOCK, Action, Pace, backoff, decide, sound_due
from livestyle.live.stats import Stats
from livestyle.media import AudioPacket, Frame, Sink, StreamInfo

log = logging.getLogger(__name__)

SOUND_PACKETS = 4096  # 90 s of AAC: a sink that takes no sound for so long is stalled, and this bounds its memory
UNWATCHED = "nobody looks"  # status
IDLE = 0.1  # s, between looks at the held sound while no picture has come yet


@dataclass(frozen=True, slots=True)
class SinkPlan:
    """How a sink is opened. ``name`` is shown to people and unique in a session; keys of addresses are removed from it.

    ``realtime``: shown while it happens (page, virtual camera, stream), so newest wins even when a file is read;
    otherwise (file, null) every frame of a file is kept. ``required``: the session does not start without it.
    """

    name: str
    open: Callable[[StreamInfo], Sink]
    realtime: bool
    required: bool = True


@runtime_checkable
class SelfHealing(Protocol):
    """A sink that connects again by itself, and says so here instead of raising `SinkStalled`."""

    @property
    def reconnects(self) -> int:
        """How often it has."""

    @property
    def status(self) -> str:
        """How it does, in a few words."""


@runtime_checkable
class Watchable(Protocol):
    """A sink that knows whether anybody sees what it is given; any other is taken to be seen."""

    @property
    def watched(self) -> bool:
        """Whether somebody looks. The style thread asks before every frame."""


class Closable(Protocol):
    """What `reopen` may have to throw away."""

    def close(self) -> None:
        """Release the device."""


C = TypeVar("C", bound=Closable)


def reopen(
    name: str, open_again: Callable[[], C], stopping: threading.Event, on_failure: Callable[[str], None]
) -> C | None:
    """Open a lost device again, with growing pauses, until it works; None once ``stopping`` is set.

    Each attempt runs on a thread of its own, so that a connect that cannot be interrupted does not hold up stopping:
    it is left behind and closes what it opened. ``on_failure`` gets one line per failed attempt.
    """
    attempt = 0
    while not stopping.wait(backoff(attempt, random.random())):
        attempt += 1
        result: Slot[C | LivestyleError] = Slot()
        opener = threading.Thread(target=_open_into, args=(open_again, result), name=f"reopen {name}", daemon=True)
        opener.start()
        outcome = result.get(0.05)
        while outcome is None and not stopping.is_set():
            outcome = result.get(0.05)
        if outcome is None:
            result.close()
            _discard(result)
            return None
        if not isinstance(outcome, LivestyleError):
            return outcome
        on_failure(str(outcome))
    return None


def _open_into(open_again: Callable[[], C], result: "Slot[C | LivestyleError]") -> None:
    outcome: C | LivestyleError
    try:
        outcome = open_again()
    except LivestyleError as error:
        outcome = error
    except Exception as error:  # a thread's top frame: whatever a driver raised counts as one failed attempt
        outcome = SourceError(f"{type(error).__name__}: {error}")
    try:
        result.put(outcome)
    except Closed:
        if not isinstance(outcome, LivestyleError):
            outcome.close()


def _discard(result: "Slot[C | LivestyleError]") -> None:
    """Close what was opened in the instant between the last look and closing the slot."""
    try:
        late = result.get(0.0)
    except Closed:
        return
    if late is not None and not isinstance(late, LivestyleError):
        late.close()


class Outlet:
    """Feeds one open sink from its own thread (`run`); ``info.live`` makes it a live outlet.

    ``limit`` ends it after so many new frames. ``stopping``, when set, makes failures of an interrupted sink expected.
    """

    def __init__(
        self,
        plan: SinkPlan,
        sink: Sink,
        info: StreamInfo,
        stats: Stats,
        stopping: threading.Event,
        *,
        limit: int | None,
        on_message: Callable[[str], None],
    ) -> None:
        self.plan = plan
        self.lossless = not info.live
        self._sink = sink
        self._info = info
        self._stats = stats
        self._stopping = stopping
        self._limit = limit
        self._on_message = on_message
        self._lane: Lane[Frame | AudioPacket] = Lane()
        self._slot: Slot[tuple[Frame, bool]] = Slot()
        self._sound: deque[tuple[AudioPacket, float]] = deque(maxlen=SOUND_PACKETS)  # with arrival, monotonic
        self._pace = Pace(period=float(1 / info.fps))
        self._written = 0
        self._told = (0, "ok")  # reconnects and status of a sink that heals itself
        self._watched = True
        stats.set_sink(plan.name, "ok")

    def is_watched(self) -> bool:
        """Whether anybody sees what is written; said in the sink's status when that changes. For the style thread."""
        watched = not isinstance(self._sink, Watchable) or self._sink.watched
        if watched != self._watched:
            self._watched = watched
            self._stats.set_sink(self.plan.name, "ok" if watched else UNWATCHED)
        return watched

    def put(self, frame: Frame, fresh: bool) -> None:
        """Hand on a painted frame; ``fresh`` is False when the same source frame was painted again."""
        try:
            if self.lossless:
                if fresh:
                    self._lane.put(frame)
            elif not self._slot.put((frame, fresh)):
                self._stats.add_missed(self.plan.name)
        except Closed:
            log.debug("%s is closed, a frame passes it by", self.plan.name)

    def put_sound(self, packet: AudioPacket) -> None:
        """Hand on a packet of sound; it goes out behind the picture of its time."""
        if not self.lossless:
            self._sound.append((packet, time.monotonic()))
            return
        try:
            self._lane.put(packet)
        except Closed:
            log.debug("%s is closed, sound passes it by", self.plan.name)

    def close(self, discard: bool = False) -> None:
        """Nothing more will come; what is here is still written unless ``discard``."""
        self._lane.close(discard)
        self._slot.close(discard)

    def interrupt(self) -> None:
        """Free a blocked write. Any thread."""
        self._sink.interrupt()

    def discard(self) -> None:
        """Close the sink of an outlet that never ran."""
        self.close(discard=True)
        self._close_failed()

    def run(self) -> None:
        """Write until closed, then finish the sink. Raises `SinkError` when the sink failed for good."""
        try:
            self._run()
        except (LivestyleError, OSError) as error:
            if not self._stopping.is_set():  # a write that was interrupted on purpose is no failure
                self._stats.set_sink(self.plan.name, f"failed: {error}")
                raise SinkError(str(error)) from error
            log.debug("%s while stopping: %s", self.plan.name, error)
        finally:
            self.close(discard=True)

    def _run(self) -> None:
        while True:
            try:
                try:
                    self._write_lane() if self.lossless else self._write_slot()
                except Closed:
                    log.debug("%s has everything", self.plan.name)
                except BaseException:
                    self._close_failed()
                    raise
                self._sink.close()
                return
            except SinkStalled as error:
                if self.lossless or self._stopping.is_set() or not self._open_again(error):
                    raise

    def _close_failed(self) -> None:
        try:
            self._sink.close()
        except (LivestyleError, OSError) as error:  # the first failure is the one to tell
            log.debug("closing %s after its failure: %s", self.plan.name, error)

    def _open_again(self, error: SinkStalled) -> bool:
        self._on_message(f"{self.plan.name}: {error}; trying again")
        self._stats.set_sink(self.plan.name, f"lost: {error}")
        sink = reopen(
            self.plan.name,
            lambda: self.plan.open(self._info),
            self._stopping,
            lambda reason: self._stats.set_sink(self.plan.name, f"reconnecting: {reason}"),
        )
        if sink is None:
            return False
        self._sink = sink
        self._sound.clear()  # as old as the pause: it would be sent in one burst
        self._stats.add_reconnect()
        self._stats.set_sink(self.plan.name, "ok")
        self._on_message(f"{self.plan.name}: back")
        return True

    def _write_lane(self) -> None:
        """Every item once, in order."""
        while not self._done():
            item = self._lane.get()
            if isinstance(item, AudioPacket):
                self._sink.write_audio(item)
            elif item is not None:
                self._write(item, fresh=True)

    def _write_slot(self) -> None:
        """New frames as they are due, the last one again when none comes, sound behind its picture."""
        waiting: tuple[Frame, bool] | None = None
        last: Frame | None = None
        wake = 0.0  # monotonic; when to decide again if nothing new comes
        while not self._done():
            try:
                newer = self._slot.get(max(0.0, wake - time.monotonic()))
            except Closed:
                if not self._stopping.is_set():
                    self._write_rest(waiting)
                raise
            if newer is not None:
                if waiting is not None and waiting[1]:
                    self._stats.add_missed(self.plan.name)
                waiting = newer
            now = time.monotonic()
            decision, self._pace = decide(self._pace, self._own_time(waiting), now)
            if decision.action is Action.NEW and waiting is not None:
                last, fresh = waiting
                waiting, wake = None, now
                self._write(_stamped(last, decision.stamp), fresh)
            elif decision.action is Action.REPEAT and last is not None:
                wake = now
                self._write(_stamped(last, decision.stamp), fresh=False)
            else:
                wake = now + IDLE if decision.until is None else decision.until
            self._release_sound(time.monotonic())

    def _own_time(self, waiting: tuple[Frame, bool] | None) -> float | None:
        """Presentation seconds of the waiting frame; a repainted one has none left of its own and takes the next."""
        if waiting is None:
            return None
        frame, fresh = waiting
        if fresh or self._pace.stamp is None:
            return frame.seconds
        return self._pace.stamp + self._pace.period

    def _write_rest(self, waiting: tuple[Frame, bool] | None) -> None:
        """At a clean end: the frame that was not due yet, and all sound."""
        own = self._own_time(waiting)
        if waiting is not None and own is not None:
            least = own if self._pace.stamp is None else self._pace.stamp + self._pace.period
            self._write(_stamped(waiting[0], max(own, least)), waiting[1])
        while self._sound:
            self._sink.write_audio(self._sound.popleft()[0])

    def _release_sound(self, now: float) -> None:
        while self._sound:
            packet, arrived = self._sound[0]
            if not sound_due(packet.seconds, arrived, self._pace.stamp, now):
                return
            self._sound.popleft()
            self._sink.write_audio(packet)

    def _write(self, frame: Frame, fresh: bool) -> None:
        begun = time.monotonic()
        self._sink.write(frame)
        self._stats.add_stages({f"write {self.plan.name}": (time.monotonic() - begun) * 1000.0})
        if fresh:
            self._written = self._stats.add_written(self.plan.name, frame.captured)
        else:
            self._stats.add_repeated(self.plan.name)
        if isinstance(self._sink, SelfHealing):
            self._tell(self._sink.reconnects, self._sink.status)

    def _tell(self, reconnects: int, status: str) -> None:
        """Pass on what a self-healing sink says, when it says something new."""
        if (reconnects, status) == self._told:
            return
        for _ in range(reconnects - self._told[0]):
            self._stats.add_reconnect()
        self._stats.set_sink(self.plan.name, status)
        log.info("%s: %s", self.plan.name, status)
        self._told = (reconnects, status)

    def _done(self) -> bool:
        return self._limit is not None and self._written >= self._limit


def _stamped(frame: Frame, stamp: float) -> Frame:
    return replace(frame, pts=round(stamp / CLOCK), time_base=CLOCK)
