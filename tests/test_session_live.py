"""A live session: newest wins, the show goes on, and it stops at once."""

import threading
import time
from dataclasses import replace

import pytest
from stage import BOUND, Dauber, Shelf, Silent, Stage, Tape

from livestyle.errors import SourceError
from livestyle.media import Frame

pytestmark = pytest.mark.usefixtures("no_threads_left")


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
