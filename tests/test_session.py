"""A session and the size it paints at; and the real scene in a session."""

from dataclasses import replace

import numpy as np
import pytest
from stage import STYLES, Dauber, Shelf, Stage, Tape

from livestyle.controls import ControlBoard, Controls
from livestyle.live.fit import fit_pixels, fit_size
from livestyle.live.outlet import SinkPlan
from livestyle.live.session import Session
from livestyle.live.stats import Stats
from livestyle.sinks.null import NullSink
from livestyle.sources.scene import SceneSource

pytestmark = pytest.mark.usefixtures("no_threads_left")


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
