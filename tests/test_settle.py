"""Settling: what is kept, what is not, and that nothing builds up."""

from dataclasses import replace

import numpy as np
import pytest
from textures import make_frame, make_texture

from livestyle.artifacts import Model, load_model
from livestyle.controls import Controls, Region
from livestyle.live.settle import Settled, Settler, distance, edges, look_distance
from livestyle.live.stylizer import Stylizer
from livestyle.media import Pixels

SIZE = (160, 96)  # of the pictures; maps are a quarter of it
STILL = np.zeros((24, 40, 2), np.float32)
PLAIN = Controls((("a", 1.0),))


def full(value: float) -> np.ndarray:
    return np.full((24, 40), value, np.float32)


def picture(seed: int) -> Pixels:
    return make_texture(*SIZE, seed=seed)


def test_where_the_mask_is_zero_the_picture_stays_as_it_was_painted() -> None:
    past = Settled(picture(1), picture(1), gain=1.0)
    settled = Settler().settle(picture(2), past, STILL, full(0.0))
    assert np.array_equal(settled.kept, picture(2))
    assert np.array_equal(settled.shown, picture(2))


def test_the_mask_mixes_the_past_in() -> None:
    settled = Settler().settle(picture(2), Settled(picture(1), picture(1)), STILL, full(0.75))
    expected = 0.75 * picture(1).astype(float) + 0.25 * picture(2)
    assert np.abs(settled.kept - expected).max() <= 1.0


def test_the_past_is_moved_by_the_flow() -> None:
    flow = STILL.copy()
    flow[..., 0] = 2.0  # features, 8 pixels: what is at x now was at x + 8
    past = picture(1)
    settled = Settler().settle(picture(2), Settled(past, past), flow, full(1.0))
    assert np.abs(settled.kept[:, :-8].astype(int) - past[:, 8:]).max() <= 1


def test_softening_is_given_back_and_does_not_build_up() -> None:
    random = np.random.default_rng(0)
    strokes = [random.integers(0, 256, (96, 160, 3), dtype=np.uint8) for _ in range(30)]
    settler, settled = Settler(), Settled(strokes[0], strokes[0])
    softest = 1.0
    for painted in strokes[1:]:
        settled = settler.settle(painted, settled, STILL, full(0.8))
        softest = min(softest, edges(settled.kept) / edges(painted))
    assert edges(settled.shown) > 1.5 * edges(settled.kept)
    assert edges(settled.kept) / edges(painted) < 1.3 * softest


def test_a_still_picture_stays_itself() -> None:
    painted = picture(4)
    settler, settled = Settler(), Settled(painted, painted)
    for _ in range(300):
        settled = settler.settle(painted, settled, STILL, full(0.8))
    assert np.abs(settled.shown.astype(int) - painted).max() <= 1


def test_noise_is_averaged_without_a_drift() -> None:
    random = np.random.default_rng(1)
    base = picture(5).astype(float) * 0.8 + 20
    noisy = [np.clip(np.rint(base + random.normal(0, 5, base.shape)), 0, 255).astype(np.uint8) for _ in range(40)]
    settler, settled, shown, means = Settler(), Settled(noisy[0], noisy[0]), [], []
    for n in range(1200):
        settled = settler.settle(noisy[n % 40], settled, STILL, full(0.8))
        means.append(settled.shown.mean())
        shown.append(settled.kept) if n >= 1160 else None
    assert abs(means[-1] - means[30]) < 0.3
    assert np.std(np.stack(shown).astype(float), axis=0).mean() < 5.0 / 2.5


@pytest.mark.parametrize(
    ("changes", "apart"),
    [
        ({}, 0.0),
        ({"snapshots": 3}, 0.0),
        ({"mix": (("b", 1.0),)}, 1.0),
        ({"mix": (("a", 0.9), ("b", 0.1))}, 0.1),
        ({"strength": 0.9}, 0.1),
        ({"strength": 0.2}, 0.8),
        ({"regions": (Region("left", (("b", 1.0),)),)}, 1.0),
        ({"regions": (Region("left", (("b", 1.0),), 0.1),)}, 0.1),
    ],
)
def test_a_jump_is_far_and_a_step_of_a_morph_is_near(changes: dict[str, object], apart: float) -> None:
    other = replace(PLAIN, **changes)  # type: ignore[arg-type]
    assert look_distance(PLAIN, other) == pytest.approx(apart)
    assert look_distance(other, PLAIN) == pytest.approx(apart)


def test_regions_are_compared_by_mask_mix_and_share() -> None:
    left = Region("left", (("b", 1.0),))
    one = replace(PLAIN, regions=(left,))
    assert look_distance(one, one) == 0.0
    assert look_distance(one, replace(PLAIN, regions=(replace(left, share=0.9),))) == pytest.approx(0.1)
    assert look_distance(one, replace(PLAIN, regions=(replace(left, mask="right"),))) == 1.0
    assert look_distance(one, replace(PLAIN, regions=(replace(left, mix=(("a", 1.0),)),))) == 1.0
    assert distance((("a", 0.5), ("b", 0.5)), (("b", 0.5), ("c", 0.5))) == pytest.approx(0.5)


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model()


def test_a_switch_of_style_shows_at_once(model: Model) -> None:
    frames = [make_frame(picture(7), n) for n in range(4)]
    first, second = (Controls(((style, 1.0),)) for style in model.styles[:2])
    stylizer = Stylizer(model)
    for frame in frames[:3]:
        stylizer.paint(frame, first)
    switched = stylizer.paint(frames[3], second).pixels
    alone = Stylizer(model).paint(frames[3], second).pixels
    assert np.array_equal(switched, alone)


def test_a_frozen_frame_painted_again_is_the_same(model: Model) -> None:
    random = np.random.default_rng(2)
    controls = Controls(((model.styles[0], 1.0),))
    stylizer = Stylizer(model)
    for n in range(4):
        noisy = np.clip(picture(7) + random.normal(0, 5, (96, 160, 3)), 0, 255).astype(np.uint8)
        frame = make_frame(noisy, n)
        shown = stylizer.paint(frame, controls).pixels
    assert np.array_equal(stylizer.paint(frame, controls).pixels, shown)
    other = stylizer.paint(frame, Controls(((model.styles[1], 1.0),))).pixels
    assert not np.array_equal(other, shown)
    assert np.array_equal(stylizer.paint(frame, controls).pixels, shown)


def test_coherence_may_be_turned_on_in_the_middle(model: Model) -> None:
    controls = Controls(((model.styles[0], 1.0),))
    stylizer = Stylizer(model)
    for n in range(3):
        stylizer.paint(make_frame(picture(7), n), replace(controls, coherence=False))
        assert "mask" not in stylizer.stages
    steady = stylizer.paint(make_frame(picture(7), 3), controls).pixels
    assert "mask" in stylizer.stages
    assert np.abs(steady.astype(int) - Stylizer(model).paint(make_frame(picture(7)), controls).pixels).max() <= 2
