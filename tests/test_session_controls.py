"""Controls of a running session: switches, freezing, bypass, snapshots."""

from pathlib import Path

import cv2
import pytest
from stage import Dauber, Shelf, Silent, Stage, Tape

pytestmark = pytest.mark.usefixtures("no_threads_left")


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


def test_a_frozen_picture_is_painted_again_while_a_style_becomes_another():
    shelf, painter = Shelf(), Dauber()
    stage = Stage(lambda: Tape(10_000, live=True), shelf, painter=painter).start()
    shelf.wait(lambda: len(shelf.frames) > 3)
    stage.board.run("freeze on")
    stage.board.run("morph 1.5")
    stage.board.run("style two")
    shelf.wait(lambda: painter.calls[-1][1].mix == (("two", 1.0),))
    calls = [(index, dict(look.mix)) for index, look in painter.calls if "two" in dict(look.mix)]
    assert len({index for index, _ in calls[1:]}) == 1
    weights = [weight["two"] for _, weight in calls]
    assert len(weights) > 2
    assert weights == sorted(weights)
    seen, painted = len(shelf.frames), len(painter.calls)
    shelf.wait(lambda: len(shelf.frames) > seen + 10)
    assert len(painter.calls) == painted  # arrived: nothing more to paint
    stage.stop()
    assert stage.stats.report()["switches"] == 1


def test_a_processed_file_changes_its_style_by_its_own_clock():
    class Scheduled(Dauber):
        def paint(self, frame, controls):
            if frame.index == 10:
                stage.board.run("style two")
            return super().paint(frame, controls)

    shares = []
    for delay in (0.0, 0.01):
        painter = Scheduled(delay=delay)
        stage = Stage(Tape(40, fps=50), Shelf(), painter=painter)
        stage.board.run("morph 0.2")
        stage.play()
        shares.append([(index, dict(look.mix).get("two", 0.0)) for index, look in painter.calls])
    assert shares[0] == shares[1]  # however long painting takes
    assert [round(share, 6) for _, share in shares[0][9:23]] == [0, 0, *(n / 10 for n in range(1, 11)), 1, 1]


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
