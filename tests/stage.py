"""A session with small sources, painters and sinks made here."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from livestyle.controls import ControlBoard, Controls
from livestyle.errors import BackendError, SinkError, SinkStalled, SourceError, SourceLost
from livestyle.live.outlet import SinkPlan
from livestyle.live.session import Session
from livestyle.live.stats import Stats
from livestyle.media import AudioInfo, AudioPacket, Frame, StreamInfo

BOUND = 8.0  # s, hang bound
STYLES = ("one", "two")
AUDIO = AudioInfo("aac", 44100, "stereo", None, Fraction(1, 44100))


class Tape:
    """A source of ``count`` numbered frames, with a packet of sound before each when ``sound``."""

    def __init__(self, count=10, *, live=False, fps=100, size=(64, 48), sound=False, fail_at=None, error=None) -> None:
        self.info = StreamInfo(*size, Fraction(fps), live, AUDIO if sound else None)
        self._count, self._fail_at = count, fail_at
        self._error = error or SourceLost("the cable is out")
        self._next, self._packets = 0, 0
        self._stop = threading.Event()
        self.closed = 0

    def read(self) -> Frame | AudioPacket | None:
        if self.closed:
            raise SourceError("closed")
        if self._stop.is_set() or self._next == self._count:
            return None
        if self._next == self._fail_at:
            raise self._error
        if self.info.audio and self._packets <= self._next:
            self._packets += 1
            pts = int(self._next / self.info.fps * 44100)
            return AudioPacket(b"sound", pts, 441, Fraction(1, 44100))
        if self.info.live and self._next and self._stop.wait(float(1 / self.info.fps)):
            return None
        pixels = np.full((self.info.height, self.info.width, 3), self._next % 200, np.uint8)
        frame = Frame(pixels, self._next, self._next, 1 / self.info.fps, time.monotonic())
        self._next += 1
        return frame

    def interrupt(self) -> None:
        self._stop.set()

    def close(self) -> None:
        self.closed += 1
        self._stop.set()


class Silent(Tape):
    """A live source that gives ``count`` frames and then blocks."""

    def read(self):
        if self._next == self._count:
            self._stop.wait()
        return super().read()


class Dauber:
    """A painter that inverts; ``fail_at`` are the numbers of calls to fail."""

    styles: Sequence[str] = STYLES

    def __init__(self, delay=0.0, fail_at=(), error=None) -> None:
        self._delay, self._fail_at = delay, fail_at
        self._error = error or BackendError("the graph broke")
        self.calls: list[tuple[int, Controls]] = []
        self.objects: set[int] = set()
        self.resets, self.closed = 0, 0
        self.stages: dict[str, float] = {}

    def paint(self, frame: Frame, controls: Controls) -> Frame:
        self.calls.append((frame.index, controls))
        self.objects.add(id(frame))
        if len(self.calls) - 1 in self._fail_at:
            raise self._error
        if self._delay:
            time.sleep(self._delay)
        self.stages = {"encode": 1.0}
        return replace(frame, pixels=255 - frame.pixels)

    def reset(self) -> None:
        self.resets += 1

    def close(self) -> None:
        self.closed += 1


class Shelf:
    """Keeps what it gets; each write takes ``delay``, that at ``block_at`` for ever, that at ``fail_at`` fails."""

    def __init__(self, info=None, *, delay=0.0, fail_at=None, block_at=None, error=None, close_error=None) -> None:
        self.info = info
        self._delay, self._fail_at, self._block_at = delay, fail_at, block_at
        self._error = error or SinkError("the disk is full")
        self._close_error = close_error
        self.frames: list[Frame] = []
        self.items: list[Frame | AudioPacket] = []
        self.changed = threading.Condition()
        self._freed = threading.Event()
        self.closed = 0

    def write(self, frame: Frame) -> None:
        if self._fail_at == len(self.frames):
            raise self._error
        if self._block_at == len(self.frames):
            self._freed.wait()
            raise SinkStalled("interrupted")
        if self._delay:
            self._freed.wait(self._delay)
        with self.changed:
            self.frames.append(frame)
            self.items.append(frame)
            self.changed.notify_all()

    def write_audio(self, packet: AudioPacket) -> None:
        with self.changed:
            self.items.append(packet)
            self.changed.notify_all()

    def interrupt(self) -> None:
        self._freed.set()

    def close(self) -> None:
        self.closed += 1
        if self._close_error and self.closed == 1:
            raise self._close_error

    def wait(self, predicate: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(predicate, BOUND), f"{len(self.frames)} frames"

    @property
    def sound(self) -> list[AudioPacket]:
        return [item for item in self.items if isinstance(item, AudioPacket)]


class Stage:
    """A session and everything around it."""

    def __init__(self, source, *shelves: Shelf, painter=None, realtime=(), open_sink=None, **options) -> None:
        self.opened: list[Tape] = []
        self.make_source = source if callable(source) else lambda: source
        self.shelves = shelves
        self.painter = painter or Dauber()
        self.board = ControlBoard(Controls(mix=(("one", 1.0),)), STYLES)
        self.stats = Stats()
        self.messages: list[str] = []
        self.said = threading.Condition()
        self.error: BaseException | None = None
        plans = [
            SinkPlan(f"sink{n}", open_sink or self.opener(shelf), realtime=n in realtime)
            for n, shelf in enumerate(shelves)
        ]
        self.session = Session(
            self.open_source,
            plans,
            lambda info: self.painter,
            self.board,
            self.stats,
            on_message=self.hear,
            **options,
        )
        self.thread = threading.Thread(target=self.run, name="stage", daemon=True)

    def open_source(self, cancel: threading.Event) -> Tape:
        self.opened.append(self.make_source())
        return self.opened[-1]

    @staticmethod
    def opener(shelf: Shelf) -> Callable[[StreamInfo], Shelf]:
        def open_shelf(info: StreamInfo) -> Shelf:
            shelf.info = info
            return shelf

        return open_shelf

    def hear(self, line: str) -> None:
        with self.said:
            self.messages.append(line)
            self.said.notify_all()

    def wait_message(self, part: str) -> None:
        with self.said:
            assert self.said.wait_for(lambda: any(part in line for line in self.messages), BOUND), self.messages

    def run(self) -> None:
        try:
            self.session.run()
        except BaseException as error:
            self.error = error

    def start(self) -> "Stage":
        self.thread.start()
        return self

    def finish(self) -> dict:
        """Wait for the end and return the report; the session's error is raised."""
        self.thread.join(BOUND)
        assert not self.thread.is_alive(), "the session hangs"
        if self.error is not None:
            raise self.error
        return self.stats.report()

    def play(self) -> dict:
        return self.start().finish()

    def stop(self) -> float:
        begun = time.monotonic()
        self.board.run("quit")
        self.finish()
        return time.monotonic() - begun
