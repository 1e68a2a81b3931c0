"""The stylizer: what it keeps, what it drops, and that a switch of style encodes nothing."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from textures import make_frame, make_texture

from livestyle.artifacts import Model, load_model
from livestyle.controls import Controls
from livestyle.live.stylizer import Stylizer
from livestyle.media import Frame


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model()


@pytest.fixture
def plain(model: Model) -> Controls:
    return Controls(((model.styles[0], 1.0),))


def difference(one: Frame, other: Frame) -> float:
    return float(np.abs(one.pixels.astype(float) - other.pixels.astype(float)).mean())


@pytest.mark.parametrize("size", [(640, 360), (641, 359), (16, 16), (1, 1), (70, 33)])
def test_any_size_comes_back_at_its_size(model: Model, plain: Controls, size: tuple[int, int]) -> None:
    stylizer = Stylizer(model)
    frame = make_frame(make_texture(*size, seed=1), index=7)
    painted = stylizer.paint(frame, plain)
    assert painted.pixels.shape == frame.pixels.shape
    assert painted.pixels.dtype == np.uint8
    assert (painted.index, painted.pts, painted.captured) == (frame.index, frame.pts, frame.captured)


def test_close_leaves_no_thread_and_painting_opens_it_again(model: Model, plain: Controls) -> None:
    stylizer = Stylizer(model)
    before = set(threading.enumerate())
    for _ in range(2):
        frames = [stylizer.paint(make_frame(make_texture(96, 64, seed=1), index=n), plain) for n in range(2)]
        assert set(threading.enumerate()) != before  # one moves the last picture
        stylizer.close()
        assert set(threading.enumerate()) == before
        assert frames[1].pixels.std() > 5.0


def test_4k(model: Model, plain: Controls) -> None:
    frame = make_frame(make_texture(3840, 2160, seed=1))
    assert Stylizer(model).paint(frame, plain).pixels.shape == (2160, 3840, 3)


def test_styles_look_different(model: Model) -> None:
    frame = make_frame(make_texture(160, 120, seed=2))
    stylizer = Stylizer(model)
    painted = [stylizer.paint(frame, Controls(((style, 1.0),))) for style in model.styles]
    for i, one in enumerate(painted):
        assert difference(one, frame) > 5.0
        for other in painted[i + 1 :]:
            assert difference(one, other) > 5.0


def test_a_switch_or_a_mix_on_a_frozen_frame_encodes_nothing(model: Model, plain: Controls) -> None:
    stylizer = Stylizer(model)
    frame = make_frame(make_texture(160, 120, seed=2))
    first = stylizer.paint(frame, plain)
    for style in model.styles[1:]:
        assert difference(stylizer.paint(frame, replace(plain, mix=((style, 1.0),))), first) > 1.0
    stylizer.paint(frame, replace(plain, mix=((model.styles[0], 0.5), (model.styles[1], 0.5))))
    stylizer.paint(frame, replace(plain, strength=0.3))
    assert stylizer.encodes == 1
    assert difference(stylizer.paint(frame, plain), first) == 0.0


def test_a_switch_on_a_running_stream_encodes_each_frame_once(model: Model, plain: Controls) -> None:
    stylizer = Stylizer(model)
    for index in range(8):
        mix = ((model.styles[index % len(model.styles)], 1.0),)
        stylizer.paint(make_frame(make_texture(160, 120, seed=2), index), replace(plain, mix=mix))
    assert stylizer.encodes == 8


def test_a_mix_lies_between_its_styles(model: Model, plain: Controls) -> None:
    stylizer = Stylizer(model, precision="f32")
    frame = make_frame(make_texture(160, 120, seed=2))
    first, second = model.styles[:2]
    one = stylizer.paint(frame, replace(plain, mix=((first, 1.0),)))
    other = stylizer.paint(frame, replace(plain, mix=((second, 1.0),)))
    mixed = stylizer.paint(frame, replace(plain, mix=((first, 0.5), (second, 0.5))))
    assert difference(mixed, one) < difference(one, other)
    assert difference(mixed, other) < difference(one, other)
    nearly = stylizer.paint(frame, replace(plain, mix=((first, 0.999), (second, 0.001))))
    assert difference(nearly, one) < 1.0


def test_coherence_steadies_a_noisy_still_scene(model: Model, plain: Controls) -> None:
    still = make_texture(320, 184, seed=3).astype(np.float32)
    random = np.random.default_rng(0)
    noisy = [np.clip(still + random.normal(0, 6, still.shape), 0, 255).astype(np.uint8) for _ in range(12)]

    def measure_flicker(controls: Controls) -> float:
        stylizer = Stylizer(model)
        painted = [stylizer.paint(make_frame(p, i), controls).pixels.astype(np.float32) for i, p in enumerate(noisy)]
        return float(np.std(painted[4:], axis=0).mean())

    assert measure_flicker(plain) < 0.45 * measure_flicker(replace(plain, coherence=False))


def test_the_first_frame_after_a_cut_is_as_if_painted_alone(model: Model, plain: Controls) -> None:
    before = np.full((184, 320, 3), (200, 30, 30), np.uint8) // 2 + make_texture(320, 184, seed=3) // 2
    after = make_frame(make_texture(320, 184, seed=9), 5)
    stylizer = Stylizer(model)
    for index in range(4):
        stylizer.paint(make_frame(before, index), plain)
    gap = np.abs(stylizer.paint(after, plain).pixels.astype(int) - Stylizer(model).paint(after, plain).pixels)
    assert gap.max() <= 2


def test_reset_and_another_size_drop_the_past(model: Model, plain: Controls) -> None:
    small, big = make_frame(make_texture(160, 120, seed=1)), make_frame(make_texture(240, 120, seed=1), 1)
    alone = Stylizer(model).paint(big, plain)
    stylizer = Stylizer(model)
    stylizer.paint(small, plain)
    assert difference(stylizer.paint(big, plain), alone) == 0.0
    stylizer.reset()
    assert difference(stylizer.paint(big, plain), alone) == 0.0
    assert "mask" not in stylizer.stages


def test_stages_tell_what_ran(model: Model, plain: Controls) -> None:
    stylizer = Stylizer(model)
    stylizer.paint(make_frame(make_texture(160, 120, seed=1), 0), plain)
    assert set(stylizer.stages) == {"encode", "bank+decode", "settle"}
    stylizer.paint(make_frame(make_texture(160, 120, seed=1), 1), plain)
    assert set(stylizer.stages) == {"encode", "motion", "mask", "bank+decode", "settle"}
    stylizer.close()
    stylizer.close()


def test_the_reference_backend_paints_the_same_picture(model: Model, plain: Controls) -> None:
    frames = [make_frame(np.roll(make_texture(160, 120, seed=4), 3 * i, axis=1), i) for i in range(3)]
    fast, slow = Stylizer(model, precision="f32"), Stylizer(model, backend="reference")
    for frame in frames:
        gap = np.abs(fast.paint(frame, plain).pixels.astype(int) - slow.paint(frame, plain).pixels.astype(int))
        assert gap.max() <= 2


def test_motion_between_two_searches_goes_on_as_it_was(model: Model, plain: Controls) -> None:
    texture = make_texture(400, 160, seed=4)
    shown = {}
    for every in (1, 2):
        stylizer = Stylizer(model)
        stylizer.motion_every = every
        views = [make_frame(np.ascontiguousarray(texture[:, 4 * index : 4 * index + 320]), index) for index in range(8)]
        shown[every] = [stylizer.paint(view, plain) for view in views]
    alone = Stylizer(model)
    unsteady = [alone.paint(view, replace(plain, coherence=False)) for view in views]
    assert difference(shown[1][7], shown[2][7]) < 0.75 * difference(shown[1][7], unsteady[7])


def test_another_size_that_compiles_to_the_same_starts_afresh(model: Model, plain: Controls) -> None:
    stylizer = Stylizer(model)
    for n in range(3):
        stylizer.paint(make_frame(make_texture(160, 96, seed=3), n), plain)
    narrow = make_frame(make_texture(156, 92, seed=3), 3)
    painted = stylizer.paint(narrow, plain).pixels
    assert painted.shape == (92, 156, 3)
    assert np.array_equal(painted, Stylizer(model).paint(narrow, plain).pixels)
    assert stylizer.paint(make_frame(make_texture(156, 92, seed=3), 4), plain).pixels.shape == (92, 156, 3)
