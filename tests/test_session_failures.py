"""A session whose painter or sinks fail: what goes on, and what is told."""

from dataclasses import replace

import pytest
from stage import STYLES, Dauber, Shelf, Stage, Tape

from livestyle.controls import ControlBoard, Controls
from livestyle.errors import ConfigError, SinkError, SinkStalled
from livestyle.live.outlet import SinkPlan
from livestyle.live.session import Session
from livestyle.live.stats import Stats
from livestyle.media import StreamInfo

pytestmark = pytest.mark.usefixtures("no_threads_left")


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
