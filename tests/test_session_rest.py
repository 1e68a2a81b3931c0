"""Painting rests while nobody looks at any sink."""

import threading
from math import inf

import pytest
from stage import BOUND, Dauber, Shelf, Stage, Tape

from livestyle.live import styling
from livestyle.live.outlet import UNWATCHED

pytestmark = pytest.mark.usefixtures("no_threads_left")


class Screen(Shelf):
    """A sink that knows whether somebody looks."""

    def __init__(self, watched: bool) -> None:
        super().__init__()
        self.watched = watched


def wait_for(what) -> None:
    pause = threading.Event()
    for _ in range(round(BOUND / 0.01)):
        if what():
            return
        pause.wait(0.01)
    raise AssertionError("it does not come about")


def start(*shelves: Shelf) -> tuple[Stage, Dauber]:
    painter = Dauber()
    return Stage(lambda: Tape(100_000, live=True, fps=200), *shelves, painter=painter).start(), painter


def test_nothing_is_painted_until_somebody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(styling, "REST", inf)
    screens = Screen(watched=True), Screen(watched=True)
    stage, painter = start(*screens)
    wait_for(lambda: len(painter.calls) > 10)
    for screen in screens:
        screen.watched = False
    wait_for(lambda: set(stage.stats.report()["sinks"].values()) == {UNWATCHED})
    dropped, painted, cuts = stage.stats.report()["dropped"], len(painter.calls), painter.resets
    wait_for(lambda: stage.stats.report()["dropped"] > dropped + 50)
    assert len(painter.calls) <= painted + 1  # one that had been begun
    shown = len(screens[0].frames)
    screens[0].wait(lambda: len(screens[0].frames) > shown + 10)  # the last one goes on
    assert painter.resets == cuts
    screens[1].watched = True
    wait_for(lambda: len(painter.calls) > painted + 10)
    assert painter.resets == cuts + 1  # what it had seen last was long ago
    assert stage.stats.report()["sinks"] == {"sink0": UNWATCHED, "sink1": "ok"}
    stage.stop()


def test_a_resting_picture_is_renewed_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(styling, "REST", 0.1)
    stage, painter = start(Screen(watched=False))
    wait_for(lambda: len(painter.calls) >= 4)
    report = stage.stats.report()
    assert report["dropped"] > report["frames_in"] / 2
    assert painter.resets >= 3
    stage.stop()


def test_a_style_that_is_chosen_shows_while_it_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(styling, "REST", inf)
    stage, painter = start(Screen(watched=False))
    wait_for(lambda: stage.stats.report()["dropped"] > 5)
    stage.board.run("style two")
    wait_for(lambda: painter.calls[-1][1].mix == (("two", 1.0),))
    stage.stop()


def test_a_sink_that_cannot_tell_is_taken_to_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(styling, "REST", inf)
    stage, painter = start(Screen(watched=False), Shelf())
    wait_for(lambda: len(painter.calls) > 30)
    stage.stop()


def test_a_measured_run_never_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(styling, "REST", inf)
    report = Stage(lambda: Tape(100_000, live=True, fps=200), Screen(watched=False), frames=25).play()
    assert report["frames_out"] == 25
