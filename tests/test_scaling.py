"""Painting at one size and delivering another, and moving between sizes while the stream runs."""

import itertools
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest
from textures import make_texture

from livestyle.artifacts import Model, load_model
from livestyle.controls import Controls
from livestyle.errors import BackendError
from livestyle.live.fit import fit_painting
from livestyle.live.scaling import FADE, ScaledPainter
from livestyle.live.stylizer import Stylizer
from livestyle.media import Frame


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model()


@pytest.fixture
def plain(model: Model) -> Controls:
    return Controls(((model.styles[0], 1.0),))


class Clock:
    """Seconds that pass only when a frame is painted."""

    def __init__(self) -> None:
        self.now = 0.0
        self.cost = 0.01

    def __call__(self) -> float:
        return self.now


def view(index: int, size: tuple[int, int] = (320, 192)) -> Frame:
    return Frame(make_texture(*size, seed=index % 2), index, index, Fraction(1, 30), time.monotonic())


@pytest.mark.parametrize(
    ("output", "wanted", "expected"),
    [
        ((640, 360), None, (640, 360)),
        ((1280, 720), None, (640, 360)),
        ((1920, 1080), (1280, 720), (1280, 720)),
        ((1280, 720), (640, 480), (640, 360)),
        ((1080, 1920), None, (202, 360)),
        ((320, 180), (640, 360), (320, 180)),
    ],
)
def test_the_painting_size_fits_into_what_was_asked_for(output, wanted, expected):
    assert fit_painting(output, wanted) == expected


def test_at_the_outputs_own_size_it_is_the_stylizer(model: Model, plain: Controls):
    alone, scaled = Stylizer(model), ScaledPainter(lambda: Stylizer(model), (160, 96), (160, 96))
    for index in range(3):
        frame = view(index, (160, 96))
        painted = scaled.paint(frame, plain)
        assert np.array_equal(painted.pixels, alone.paint(frame, plain).pixels)
        assert (painted.index, painted.pts, painted.captured) == (frame.index, frame.pts, frame.captured)
    assert "enlarge" not in scaled.stages
    assert scaled.styles == model.styles
    scaled.close()
    scaled.close()


def test_a_larger_output_is_the_painting_enlarged(model: Model, plain: Controls):
    scaled = ScaledPainter(lambda: Stylizer(model), (160, 96), (320, 192))
    frame = view(0)
    painted = scaled.paint(frame, plain)
    assert painted.pixels.shape == (192, 320, 3)
    assert {"encode", "bank+decode", "enlarge"} <= set(scaled.stages)
    small = replace(frame, pixels=cv2.resize(frame.pixels, (160, 96), interpolation=cv2.INTER_AREA))
    alone = Stylizer(model).paint(small, plain)
    back = cv2.resize(painted.pixels, (160, 96), interpolation=cv2.INTER_AREA)
    assert np.corrcoef(back.ravel(), alone.pixels.ravel())[0, 1] > 0.6
    scaled.close()


def test_the_same_frame_again_encodes_nothing_at_any_size(model: Model, plain: Controls):
    made: list[Stylizer] = []

    def open_stylizer() -> Stylizer:
        made.append(Stylizer(model))
        return made[-1]

    scaled = ScaledPainter(open_stylizer, (160, 96), (320, 192))
    frame = view(0)
    first = scaled.paint(frame, plain)
    for style in model.styles[1:]:
        scaled.paint(frame, replace(plain, mix=((style, 1.0),)))
    assert np.array_equal(scaled.paint(frame, plain).pixels, first.pixels)
    assert made[0].encodes == 1
    scaled.close()


def is_compiling() -> bool:
    return any(thread.name == "smaller sizes" for thread in threading.enumerate())


def test_under_load_it_paints_smaller_without_a_jump_and_says_so(model: Model, plain: Controls):
    clock, rungs = Clock(), []

    class Timed(Stylizer):
        def paint(self, frame: Frame, controls: Controls) -> Frame:
            if threading.current_thread() is threading.main_thread():
                clock.now += clock.cost
            return super().paint(frame, controls)

    scaled = ScaledPainter(
        lambda: Timed(model),
        (160, 160),
        (160, 160),
        fps=10.0,
        on_rung=lambda level, size: rungs.append((level, size)),
        clock=clock,
    )
    still = make_texture(160, 160, seed=0)

    def paint(index: int) -> Frame:
        clock.now = max(clock.now, index / 10)
        return scaled.paint(Frame(still, index, index, Fraction(1, 10), clock.now), plain)

    index = 0
    while not scaled.ready:
        last = paint(index)
        index += 1
    assert rungs == [(0, (160, 160))]
    clock.cost = 0.15  # a frame takes more than its tenth of a second
    limit = index + 60
    while len(rungs) == 1:
        last = paint(index)
        index += 1
        assert index < limit
    clock.cost = 0.01
    level, size = rungs[1]
    assert level >= 1
    assert size != (160, 160)
    shown = [last, *(paint(index + number) for number in range(len(FADE) + 1))]
    steps = [float(np.abs(b.pixels.astype(float) - a.pixels).mean()) for a, b in itertools.pairwise(shown)]
    whole = float(np.abs(shown[-1].pixels.astype(float) - shown[0].pixels).mean())
    assert max(steps) < 0.6 * whole
    assert all(each.pixels.shape == (160, 160, 3) for each in shown)
    index += len(FADE) + 1
    while len(rungs) < 2 + level:  # and back up, one by one
        paint(index)
        index += 1
        assert index < limit + 3000
    assert rungs[-1] == (0, (160, 160))
    scaled.close()


def test_closing_while_smaller_sizes_are_compiled_leaves_no_thread(model: Model, plain: Controls):
    scaled = ScaledPainter(lambda: Stylizer(model), (160, 160), (160, 160), fps=30.0)
    index = 0
    while not (is_compiling() or scaled.ready):
        scaled.paint(view(index, (160, 160)), plain)
        index += 1
    scaled.close()
    assert not is_compiling()


def test_without_its_smaller_sizes_it_paints_on(model: Model, plain: Controls, caplog: pytest.LogCaptureFixture):
    class Large(Stylizer):
        def compile(self, width: int, height: int) -> Iterator[str]:
            if (width, height) != (160, 160):
                raise BackendError("no memory")
            return super().compile(width, height)

    scaled = ScaledPainter(lambda: Large(model), (160, 160), (160, 160), fps=30.0)
    index = 0
    while "no memory" not in caplog.text:
        scaled.paint(view(index, (160, 160)), plain)
        index += 1
    assert not scaled.ready
    for index in range(50, 50 + 12):
        assert scaled.paint(view(10 * index, (160, 160)), plain).pixels.shape == (160, 160, 3)
    scaled.close()
