"""A session with small sources, painters and sinks made here: what it keeps, drops, survives and says."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from livestyle.controls import ControlBoard, Controls
from livestyle.errors import BackendError, ConfigError, SinkError, SinkStalled, SourceError, SourceLost
from livestyle.live.fit import fit_pixels, fit_size
from livestyle.live.outlet import SinkPlan
from livestyle.live.session import Session
from livestyle.live.stats import Stats
from livestyle.media import AudioInfo, AudioPacket, Frame, StreamInfo
from livestyle.sinks.null import NullSink
from livestyle.sources.scene import SceneSource

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


@pytest.fixture(autouse=True)
def no_threads_left():
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + BOUND
    for thread in set(threading.enumerate()) - before:
        thread.join(max(0.0, deadline - time.monotonic()))
    left = [thread.name for thread in set(threading.enumerate()) - before]
    assert not left


# Files: nothing is lost.


def test_a_processed_file_arrives_whole_painted_and_in_order():
    shelf, painter = Shelf(), Dauber()
    source = Tape(200)
    report = Stage(source, shelf, painter=painter).play()
    assert [frame.index for frame in shelf.frames] == list(range(200))
    assert [frame.pts for frame in shelf.frames] == list(range(200))
    assert shelf.frames[7].pixels[0, 0, 0] == 255 - 7
    assert (report["frames_in"], report["frames_out"], report["dropped"], report["repeated"]) == (200, 200, 0, 0)
    assert source.closed
    assert painter.closed
    assert shelf.closed
    assert shelf.info == replace(source.info, live=False)


def test_a_processed_file_waits_for_a_slow_sink_and_a_slow_painter():
    shelf = Shelf(delay=0.005)
    report = Stage(Tape(60), shelf, Shelf(), painter=Dauber(delay=0.003)).play()
    assert len(shelf.frames) == 60
    assert report["dropped"] == 0


def test_sound_of_a_file_stays_in_stream_order():
    shelf = Shelf()
    Stage(Tape(20, sound=True), shelf).play()
    kinds = [type(item) for item in shelf.items]
    assert kinds == [AudioPacket, Frame] * 20
    assert [packet.pts for packet in shelf.sound] == [n * 441 for n in range(20)]


def test_a_limit_ends_a_file_exactly():
    shelf = Shelf()
    report = Stage(Tape(500), shelf, frames=50).play()
    assert len(shelf.frames) == 50
    assert report["frames_out"] == 50


def test_a_file_beside_a_page_is_kept_whole_and_the_page_sees_the_end():
    file, page = Shelf(), Shelf()
    Stage(Tape(80), file, page, realtime=(1,)).play()
    assert len(file.frames) == 80
    assert page.frames[-1].index == 79


def test_a_file_shown_live_runs_at_its_own_speed_with_its_sound():
    shelf = Shelf()
    begun = time.monotonic()
    report = Stage(Tape(50, sound=True), shelf, realtime=(0,)).play()
    assert time.monotonic() - begun > 0.4
    assert report["frames_in"] == 50
    assert report["frames_out"] + report["dropped"] == 50
    assert len(shelf.sound) == 50


def test_a_file_that_breaks_off_is_finished_and_then_told():
    shelf = Shelf()
    stage = Stage(Tape(30, fail_at=20, error=SourceError("the file is cut off")), shelf).start()
    with pytest.raises(SourceError, match="cut off"):
        stage.finish()
    assert len(shelf.frames) == 20
    assert shelf.closed


# Live: newest wins, and the show goes on.


def test_a_live_source_is_dropped_rather_than_delayed():
    shelf = Shelf()
    stage = Stage(lambda: Tape(120, live=True, fps=100), shelf, painter=Dauber(delay=0.05))
    report = stage.play()
    assert report["dropped"] > 20
    assert report["frames_in"] == 120
    assert report["latency_ms"]["p95"] < 1000  # a backlog of 120 frames would be six seconds


def test_frames_that_the_device_left_out_count_as_dropped():
    class Gaps(Tape):
        def read(self):
            frame = super().read()
            return frame and replace(frame, index=frame.index * 2)

    report = Stage(Gaps(20), Shelf()).play()
    assert report["frames_in"] == 39
    assert report["dropped"] == 19


def test_a_slow_sink_slows_only_itself():
    fast, slow = Shelf(), Shelf(delay=0.2)
    report = Stage(lambda: Tape(150, live=True, fps=100), fast, slow).play()
    assert len(slow.frames) < 20
    fresh = {frame.index for frame in fast.frames}
    assert len(fresh) > 75
    assert report["frames_out"] == len(fresh)


def test_a_limit_ends_a_live_session_exactly():
    shelf = Shelf()
    report = Stage(lambda: Tape(10_000, live=True), shelf, frames=25).play()
    assert report["frames_out"] == 25


def test_a_silent_source_is_bridged_by_the_last_frame_and_stops_at_once():
    shelf = Shelf()
    stage = Stage(lambda: Silent(5, live=True, fps=50), shelf).start()
    shelf.wait(lambda: len(shelf.frames) >= 30)
    assert {frame.index for frame in shelf.frames[5:]} <= {3, 4}
    stamps = [frame.seconds for frame in shelf.frames]
    assert stamps == sorted(set(stamps))
    assert stage.stop() < 1.0
    assert stage.stats.report()["repeated"] >= 20


def test_a_lost_source_is_opened_again_while_the_last_frame_is_shown():
    tries = iter([None, SourceError("nobody there"), None])

    def open_source():
        outcome = next(tries)
        if outcome is not None:
            raise outcome
        return Tape(100_000, live=True, fps=50, sound=True, fail_at=10 if not stage_opened() else None)

    stage = None

    def stage_opened() -> bool:
        return stage is not None

    shelf = Shelf()
    stage = Stage(open_source, shelf).start()
    stage.wait_message("source lost: the cable is out")
    at_loss = len(shelf.frames)
    stage.wait_message("source: back")
    assert len(shelf.frames) > at_loss
    at_return = len(shelf.frames)
    shelf.wait(lambda: len(shelf.frames) > at_return + 20)
    sound = len(shelf.sound)
    shelf.wait(lambda: len(shelf.sound) > sound)
    assert stage.stop() < 1.0
    report = stage.finish()
    assert report["reconnects"] == 1
    assert stage.painter.resets >= 1
    stamps = [frame.seconds for frame in shelf.frames]
    assert stamps == sorted(set(stamps))
    heard = [packet.seconds for packet in shelf.sound]
    assert heard == sorted(set(heard))
    assert len({frame.index for frame in shelf.frames}) > 15


def test_sound_of_a_live_source_follows_its_picture():
    shelf = Shelf()
    Stage(lambda: Tape(60, live=True, fps=50, sound=True), shelf, painter=Dauber(delay=0.03)).play()
    assert len(shelf.sound) == 60
    picture = None
    early = 0
    for item in shelf.items:
        if isinstance(item, Frame):
            picture = item.seconds
        elif picture is None or item.seconds > picture + 1e-3:
            early += 1
    assert early <= 4  # the rest at the clean end


def test_stopping_while_the_source_cannot_be_opened_again_takes_under_a_second():
    gate = threading.Event()
    calls = []

    def open_source():
        calls.append(1)
        if len(calls) == 1:
            return Tape(100, live=True, fail_at=3)
        opening.set()
        gate.wait(BOUND)  # a connect that nothing can interrupt
        return late

    late, opening = Tape(1), threading.Event()
    stage = Stage(open_source, Shelf()).start()
    assert opening.wait(BOUND)
    assert stage.stop() < 1.0
    gate.set()
    deadline = time.monotonic() + BOUND
    while not late.closed and time.monotonic() < deadline:
        time.sleep(0.01)
    assert late.closed, "what was opened too late is closed"


def test_stopping_while_everything_is_blocked_takes_under_a_second():
    shelf = Shelf(block_at=2)
    stage = Stage(lambda: Silent(5, live=True), shelf, Shelf(delay=0.01)).start()
    stage.shelves[1].wait(lambda: len(stage.shelves[1].frames) > 10)
    assert stage.stop() < 1.0
    assert shelf.closed


def test_stopping_a_file_blocked_by_its_sink_takes_under_a_second():
    shelf = Shelf(block_at=2)
    other = Shelf()
    stage = Stage(Tape(1000), shelf, other).start()
    other.wait(lambda: len(other.frames) >= 3)
    assert stage.stop() < 1.0


def test_starting_and_stopping_leaves_nothing_behind():
    for _ in range(20):
        shelf = Shelf()
        stage = Stage(lambda: Tape(10_000, live=True), shelf).start()
        shelf.wait(lambda shelf=shelf: len(shelf.frames) >= 1)
        stage.stop()
        assert stage.painter.closed
        assert all(source.closed for source in stage.opened)
        assert shelf.closed
    assert not {"capture", "style", "snapshots", "sink sink0"} & {thread.name for thread in threading.enumerate()}


# The painter fails.


def test_a_painter_that_fails_once_is_given_a_second_chance():
    shelf, painter = Shelf(), Dauber(fail_at=(5,))
    stage = Stage(lambda: Tape(10_000, live=True, fps=50), shelf, painter=painter).start()
    stage.wait_message("painting failed, frames pass unpainted: BackendError: the graph broke")
    shelf.wait(lambda: any(frame.pixels[0, 0, 0] == frame.index % 200 for frame in shelf.frames))
    at_failure = len(painter.calls)
    shelf.wait(lambda: len(painter.calls) > at_failure + 5)
    shelf.wait(lambda: shelf.frames[-1].pixels[0, 0, 0] == 255 - shelf.frames[-1].index % 200)
    stage.stop()
    assert sum("painting failed" in line for line in stage.messages) == 1


def test_a_painter_that_fails_twice_is_left_out_and_the_stream_goes_on():
    shelf, painter = Shelf(), Dauber(fail_at=range(3, 1000), error=RuntimeError("driver"))
    stage = Stage(lambda: Tape(10_000, live=True, fps=50), shelf, painter=painter).start()
    stage.wait_message("painting failed again")
    calls = len(painter.calls)
    seen = len(shelf.frames)
    shelf.wait(lambda: len(shelf.frames) > seen + 10)
    stage.stop()
    assert len(painter.calls) == calls == 5
    assert len([line for line in stage.messages if "painting failed" in line]) == 2


def test_a_file_is_finished_with_a_failing_painter():
    shelf = Shelf()
    Stage(Tape(40), shelf, painter=Dauber(fail_at=range(1000))).play()
    assert len(shelf.frames) == 40


# Sinks fail.


def test_a_failing_sink_is_left_out_and_the_others_go_on():
    bad, good = Shelf(fail_at=3), Shelf()
    stage = Stage(Tape(50), bad, good)
    report = stage.play()
    assert len(good.frames) == 50
    assert stage.messages == ["sink0 failed and is left out: the disk is full"]
    assert report["sinks"] == {"sink0": "failed: the disk is full", "sink1": "ok"}
    assert bad.closed


def test_the_last_sink_to_fail_ends_the_session():
    stage = Stage(lambda: Tape(10_000, live=True), Shelf(fail_at=3)).start()
    with pytest.raises(SinkError, match="disk is full"):
        stage.finish()


def test_a_sink_that_fails_at_the_very_end_is_told():
    stage = Stage(Tape(10), Shelf(close_error=SinkError("the disk is full"))).start()
    with pytest.raises(SinkError, match="disk is full"):
        stage.finish()


def test_a_stalled_sink_is_opened_again():
    first, second, good = Shelf(fail_at=5, error=SinkStalled("no room")), Shelf(), Shelf()
    shelves = iter([first, good, second])
    stage = Stage(lambda: Tape(10_000, live=True), first, good, open_sink=lambda info: next(shelves)).start()
    second.wait(lambda: len(second.frames) > 5)
    stage.stop()
    assert first.closed
    assert stage.stats.report()["reconnects"] == 1
    assert stage.messages == ["sink0: no room; trying again", "sink0: back"]


def test_a_sink_that_heals_itself_is_believed():
    class Healing(Shelf):
        reconnects, status = 0, "streaming"

    shelf = Healing()
    stage = Stage(lambda: Tape(10_000, live=True), shelf).start()
    shelf.wait(lambda: len(shelf.frames) > 2)
    shelf.status = "the server is gone"
    shelf.wait(lambda: stage.stats.report()["sinks"] == {"sink0": "the server is gone"})
    shelf.reconnects, shelf.status = 2, "streaming"
    shelf.wait(lambda: stage.stats.report()["reconnects"] == 2)
    stage.stop()


def test_a_requested_sink_that_cannot_be_opened_stops_the_start_and_closes_the_rest():
    source, painter, shelf = Tape(), Dauber(), Shelf()

    def fail(info: StreamInfo):
        raise SinkError("no virtual camera")

    plans = [SinkPlan("good", lambda info: shelf, False), SinkPlan("bad", fail, False)]
    board = ControlBoard(Controls(mix=(("one", 1.0),)), STYLES)
    with pytest.raises(SinkError, match="no virtual camera"):
        Session(lambda cancel: source, plans, lambda info: painter, board, Stats())
    assert source.closed
    assert painter.closed
    assert shelf.closed
    heard: list[str] = []
    plans = [replace(plans[1], required=False), plans[0]]
    Session(lambda cancel: Tape(), plans, lambda info: painter, board, Stats(), on_message=heard.append).close()
    assert heard == ["without bad: no virtual camera"]


def test_a_style_that_cannot_be_painted_stops_the_start():
    source = Tape()

    def fail(info: StreamInfo):
        raise ConfigError("unknown style")

    board = ControlBoard(Controls(mix=(("one", 1.0),)), STYLES)
    with pytest.raises(ConfigError):
        Session(lambda cancel: source, [], fail, board, Stats())
    assert source.closed


# Controls.


def test_a_switch_takes_effect_and_is_counted():
    shelf, painter = Shelf(), Dauber()
    stage = Stage(lambda: Tape(10_000, live=True), shelf, painter=painter).start()
    shelf.wait(lambda: len(shelf.frames) > 3)
    stage.board.run("style two")
    shelf.wait(lambda: painter.calls[-1][1].style == "two")
    stage.stop()
    assert stage.stats.report()["switches"] == 1


def test_a_frozen_picture_is_held_and_painted_again_as_the_same_frame():
    shelf, painter = Shelf(), Dauber()
    stage = Stage(lambda: Tape(10_000, live=True), shelf, painter=painter).start()
    shelf.wait(lambda: len(shelf.frames) > 3)
    stage.board.run("freeze on")
    seen = len(shelf.frames)
    shelf.wait(lambda: len(shelf.frames) > seen + 10)
    index, calls, objects = painter.calls[-1][0], len(painter.calls), len(painter.objects)
    stage.board.run("style two")
    shelf.wait(lambda: len(painter.calls) > calls)
    seen = len(shelf.frames)
    shelf.wait(lambda: len(shelf.frames) > seen + 5)
    assert len(painter.calls) == calls + 1
    assert painter.calls[-1][0] == index
    assert len(painter.objects) == objects
    assert shelf.frames[-1].index == index
    stamps = [frame.seconds for frame in shelf.frames]
    assert stamps == sorted(set(stamps))
    stage.board.run("freeze off")
    shelf.wait(lambda: shelf.frames[-1].index > index)
    stage.stop()
    assert painter.resets == 1


def test_a_frozen_file_loses_nothing():
    shelf = Shelf(delay=0.002)
    stage = Stage(Tape(60), shelf).start()
    shelf.wait(lambda: len(shelf.frames) > 5)
    stage.board.run("freeze on")
    stage.board.run("style two")
    shelf.wait(lambda: stage.stats.report()["switches"] == 1 or bool(shelf.changed.wait(0.02)))
    stage.board.run("freeze off")
    stage.finish()
    assert [frame.index for frame in shelf.frames] == list(range(60))


def test_bypass_shows_the_source():
    shelf = Shelf()
    stage = Stage(lambda: Tape(10_000, live=True), shelf).start()
    shelf.wait(lambda: len(shelf.frames) > 2)
    stage.board.run("bypass on")
    shelf.wait(lambda: shelf.frames[-1].pixels[0, 0, 0] == shelf.frames[-1].index % 200)
    stage.stop()


def test_a_snapshot_is_the_painted_picture(tmp_path: Path):
    shelf = Shelf()
    stage = Stage(lambda: Silent(1, live=True), shelf, snapshots=tmp_path / "new folder").start()
    shelf.wait(lambda: len(shelf.frames) > 2)
    stage.board.run("snapshot")
    stage.wait_message("saved")
    stage.stop()
    (picture,) = (tmp_path / "new folder").iterdir()
    assert str(picture) in stage.messages[-1]
    assert (cv2.imread(str(picture)) == 255).all()


def test_a_snapshot_that_cannot_be_saved_is_told_and_no_more(tmp_path: Path):
    (tmp_path / "file").write_text("")
    shelf = Shelf()
    stage = Stage(lambda: Tape(10_000, live=True), shelf, snapshots=tmp_path / "file").start()
    shelf.wait(lambda: len(shelf.frames) > 2)
    stage.board.run("snapshot")
    stage.wait_message("no snapshot: ")
    stage.stop()


# Sizes.


def test_a_stream_that_changes_size_is_fitted_into_the_first_one():
    class Changing(Tape):
        def read(self):
            frame = super().read()
            if frame is not None and frame.index >= 5:
                return replace(frame, pixels=np.full((100, 60, 3), 9, np.uint8))
            return frame

    shelf = Shelf()
    Stage(Changing(10), shelf).play()
    assert {frame.pixels.shape for frame in shelf.frames} == {(48, 64, 3)}
    assert (shelf.frames[-1].pixels[:, 0] == 255).all()  # a black bar, inverted
    assert (shelf.frames[-1].pixels[:, 32] == 246).all()


@pytest.mark.parametrize(
    ("source", "wanted", "size"),
    [
        ((1920, 1080), None, (640, 360)),
        ((640, 480), None, (480, 360)),
        ((1080, 1920), None, (202, 360)),
        ((320, 240), None, (320, 240)),
        ((641, 359), None, (640, 358)),
        ((16, 16), None, (16, 16)),
        ((3840, 2160), None, (640, 360)),
        ((320, 240), (1280, 720), (1280, 720)),
        ((320, 240), (641, 361), (640, 360)),
        ((5, 5), None, (16, 16)),
    ],
)
def test_the_size_to_paint_at(source, wanted, size):
    assert fit_size(source, wanted) == size


def test_fitting_makes_no_copy_when_nothing_is_to_be_done():
    pixels = np.zeros((48, 64, 3), np.uint8)
    assert fit_pixels(pixels, (64, 48)) is pixels
    assert fit_pixels(pixels, (32, 24)).shape == (24, 32, 3)
    assert fit_pixels(np.full((359, 641, 3), 7, np.uint8), (640, 358)).min() == 7  # no bars for a pixel


# The real scene into the real null sink.


def test_the_scene_runs_into_the_null_sink():
    board = ControlBoard(Controls(mix=(("one", 1.0),)), STYLES)
    stats = Stats()
    plans = [SinkPlan("null", lambda info: NullSink("null", info), False)]
    session = Session(lambda cancel: SceneSource(160, 90, 30), plans, lambda info: Dauber(), board, stats, frames=20)
    session.run()
    assert stats.report()["frames_out"] == 20
