"""A session that processes a file: nothing of it is lost."""

import time
from dataclasses import replace

import pytest
from stage import Dauber, Shelf, Stage, Tape

from livestyle.errors import SourceError
from livestyle.media import AudioPacket, Frame

pytestmark = pytest.mark.usefixtures("no_threads_left")


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
