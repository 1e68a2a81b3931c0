"""Motion estimation against scenes whose motion is known, its confidence, and the detection of cuts."""

from collections.abc import Callable
from itertools import pairwise

import cv2
import numpy as np
import pytest

from livestyle.live.flow import STRIDE, FlowEstimator, Motion
from livestyle.media import Pixels
from livestyle.sources.scene import SceneSource

Seen = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def scenes() -> list[SceneSource]:
    return [SceneSource(640, 360, live=False, seed=seed) for seed in range(4)]


@pytest.fixture(scope="module")
def wide() -> Pixels:
    return SceneSource(1280, 720, live=False).scene_frame(0)


@pytest.fixture
def estimator() -> FlowEstimator:
    return FlowEstimator()


def true_motion(scene: SceneSource, previous: int, current: int) -> Seen:
    """Exact backward flow in feature pixels, and the share of each feature pixel that was visible before."""
    flow, visible = scene.scene_flow(current, previous)
    size = (flow.shape[1] // STRIDE, flow.shape[0] // STRIDE)
    small = cv2.resize(flow, size, interpolation=cv2.INTER_AREA) / STRIDE
    return small, cv2.resize(visible.astype(np.float32), size, interpolation=cv2.INTER_AREA)


def cut_between(estimator: FlowEstimator, previous: Pixels, current: Pixels) -> bool:
    before, now = estimator.view(previous), estimator.view(current)
    return estimator.is_cut(before, now, estimator.motion(before, now))


def window(picture: Pixels, x: int, y: int) -> Pixels:
    return np.ascontiguousarray(picture[y : y + 360, x : x + 640])


@pytest.mark.parametrize("noise", [0.0, 6.0])
@pytest.mark.parametrize(("previous", "current"), [(10, 11), (300, 301), (500, 505), (40, 45)])
def test_motion_of_the_scene_is_found(estimator: FlowEstimator, noise: float, previous: int, current: int) -> None:
    scene = SceneSource(640, 360, live=False, noise=noise)
    motion = estimator.estimate(scene.scene_frame(previous), scene.scene_frame(current))
    truth, visible = true_motion(scene, previous, current)
    assert motion.flow.shape == (90, 160, 2)
    assert motion.flow.dtype == motion.confidence.dtype == np.float32
    error = np.linalg.norm(motion.flow - truth, axis=2)[visible > 0.99]
    still = np.linalg.norm(truth, axis=2)[visible > 0.99]
    assert np.median(error) < 0.15
    assert error.mean() < 0.5 * still.mean()


def test_flow_says_where_things_were_in_feature_pixels(estimator: FlowEstimator, wide: Pixels) -> None:
    before, now = window(wide, 200, 100), window(wide, 212, 96)  # what was at x is now 12 to the left and 4 down
    motion = estimator.estimate(before, now)
    inner = motion.flow[10:-10, 10:-10].reshape(-1, 2)
    assert np.median(inner, axis=0) == pytest.approx((12 / STRIDE, -4 / STRIDE), abs=0.05)
    assert motion.confidence[10:-10, 10:-10].mean() > 0.9


def test_confidence_is_high_where_seen_before_and_low_where_hidden_or_outside(
    estimator: FlowEstimator, scenes: list[SceneSource], wide: Pixels
) -> None:
    shown, hidden = [], []
    for scene in scenes:
        motion = estimator.estimate(scene.scene_frame(500), scene.scene_frame(508))
        _, visible = true_motion(scene, 500, 508)
        inner = np.s_[8:-8, 8:-8]  # hidden by something, not out of the picture
        shown.append(motion.confidence[inner][visible[inner] > 0.99])
        hidden.append(motion.confidence[inner][visible[inner] < 0.2])
    assert np.concatenate(shown).mean() > 0.9
    assert np.concatenate(hidden).mean() < 0.5
    panned = estimator.estimate(window(wide, 200, 100), window(wide, 240, 100))
    assert panned.confidence[:, -9:].mean() < 0.25  # 40 pixels of new picture on the right
    assert panned.confidence.min() >= 0
    assert panned.confidence.max() <= 1


def test_something_that_appears_has_no_confidence(estimator: FlowEstimator, scenes: list[SceneSource]) -> None:
    before = scenes[0].scene_frame(100)
    now = before.copy()
    now[120:200, 240:360] = scenes[3].scene_frame(400)[200:280, 240:360]
    confidence = estimator.estimate(before, now).confidence
    assert confidence[32:48, 62:88].mean() < 0.25
    assert confidence[:20].mean() > 0.9


@pytest.mark.parametrize("sigma", [3.0, 10.0, 25.0])
def test_noise_and_light_do_not_take_the_confidence(
    estimator: FlowEstimator, scenes: list[SceneSource], sigma: float
) -> None:
    picture = scenes[0].scene_frame(100)
    grain = np.random.default_rng(1).standard_normal((2, *picture.shape)) * sigma
    first, second = (
        np.clip(picture * light + g, 0, 255).astype(np.uint8) for light, g in zip((1, 0.97), grain, strict=True)
    )
    assert estimator.estimate(first, second).confidence.mean() > 0.85


def test_a_still_picture_does_not_move(estimator: FlowEstimator, scenes: list[SceneSource]) -> None:
    picture = scenes[1].scene_frame(5)
    motion = estimator.estimate(picture, picture)
    assert np.abs(motion.flow).max() < 1e-3
    assert motion.confidence.min() > 0.99


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 2), (2, 3), (3, 0), (2, 0), (1, 3)])
def test_a_splice_of_two_scenes_is_a_cut_at_its_first_frame(
    estimator: FlowEstimator, scenes: list[SceneSource], first: int, second: int
) -> None:
    spliced = [scenes[first].scene_frame(i) for i in (200, 201, 202)] + [
        scenes[second].scene_frame(i) for i in (700, 701)
    ]
    assert [cut_between(estimator, *pair) for pair in pairwise(spliced)] == [
        False,
        False,
        True,
        False,
    ]


@pytest.mark.parametrize("step", [2, 16, 48, 96, 160])
def test_a_pan_is_no_cut(estimator: FlowEstimator, wide: Pixels, step: int) -> None:
    assert not cut_between(estimator, window(wide, 100, 180), window(wide, 100 + step, 180))


def changed(change: Callable[[np.ndarray], np.ndarray], picture: Pixels) -> Pixels:
    return np.clip(change(picture.astype(np.float32)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p * 1.03,
        lambda p: p * 0.85 + 4,
        lambda p: p + 30 * np.random.default_rng(0).standard_normal(p.shape),
        lambda p: p * (1.0, 0.95, 0.9),
    ],
    ids=["brighter", "darker", "noise", "white balance"],
)
def test_light_and_noise_are_no_cut(
    estimator: FlowEstimator, scenes: list[SceneSource], change: Callable[[np.ndarray], np.ndarray]
) -> None:
    assert not cut_between(estimator, scenes[0].scene_frame(50), changed(change, scenes[0].scene_frame(51)))


def test_going_black_is_a_cut(estimator: FlowEstimator, scenes: list[SceneSource]) -> None:
    picture = scenes[0].scene_frame(50)
    assert cut_between(estimator, picture, np.zeros_like(picture))


@pytest.mark.parametrize(("width", "height"), [(16, 16), (8, 8), (1000, 16), (64, 64), (72, 128), (656, 360)])
def test_any_size_gives_motion_of_a_quarter_of_it(estimator: FlowEstimator, width: int, height: int) -> None:
    scene = SceneSource(width, height, live=False)
    motion: Motion = estimator.estimate(scene.scene_frame(0), scene.scene_frame(1))
    assert motion.flow.shape == (height // STRIDE, width // STRIDE, 2)
    assert motion.confidence.shape == (height // STRIDE, width // STRIDE)
    assert np.isfinite(motion.flow).all()
    assert motion.confidence.min() >= 0
    assert motion.confidence.max() <= 1


def test_one_estimator_serves_changing_sizes(estimator: FlowEstimator, scenes: list[SceneSource]) -> None:
    small = SceneSource(320, 184, live=False)
    first = estimator.estimate(scenes[0].scene_frame(10), scenes[0].scene_frame(11))
    estimator.estimate(small.scene_frame(10), small.scene_frame(11))
    again = estimator.estimate(scenes[0].scene_frame(10), scenes[0].scene_frame(11))
    assert np.allclose(first.flow, again.flow)
    assert np.allclose(first.confidence, again.confidence)


def test_nothing_is_trusted_that_comes_from_the_border(wide: Pixels) -> None:
    before, now = np.ascontiguousarray(wide[:, 40:-40]), np.ascontiguousarray(wide[:, 48:-32])  # comes in on the right
    plain, bordered = (FlowEstimator(border).estimate(before, now).confidence for border in (0, 2))
    assert bordered[:, -4:].max() == 0.0
    assert np.array_equal(bordered[4:-4, 4:-8], plain[4:-4, 4:-8])
    still = FlowEstimator(2).estimate(before, before).confidence
    assert still[2:-2, 2:-2].min() > 0.99
    assert still[:2].max() == 0.0
