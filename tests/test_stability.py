"""The stability metric on videos whose error is known beforehand."""

from itertools import pairwise
from math import isnan, sqrt

import cv2
import numpy as np
import pytest

from livestyle.evaluate.stability import (
    Pair,
    compare,
    errors,
    excess_removed,
    filmed_pairs,
    on_boundary,
    returns,
    scene_pairs,
    sharpness,
    warp_error,
)
from livestyle.media import Pixels
from livestyle.sources.scene import SceneSource

SIZE = (90, 160)


def drifting(count: int, dx: int, dy: int) -> list[Pixels]:
    """A textured plane that moves by (dx, dy) a frame."""
    rng = np.random.default_rng(3)
    plane = cv2.GaussianBlur(rng.integers(0, 256, (300, 400, 3), dtype=np.uint8), (0, 0), 1.5)
    plane = cv2.normalize(plane, None, 0, 255, cv2.NORM_MINMAX)
    height, width = SIZE
    return [
        np.ascontiguousarray(plane[100 - dy * t : 100 - dy * t + height, 100 - dx * t : 100 - dx * t + width])
        for t in range(count)
    ]


def plain_pair(dx: float, dy: float) -> Pair:
    """The motion of a plane, visible where it stays in the picture."""
    height, width = SIZE
    x, y = np.meshgrid(np.arange(width) + dx, np.arange(height) + dy)
    visible = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
    return Pair(np.full((*SIZE, 2), (dx, dy), np.float32), visible)


def grey(value: float, sigma: float, seed: int) -> Pixels:
    noise = np.random.default_rng(seed).normal(value, sigma, (*SIZE, 3))
    return np.clip(np.rint(noise), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (3, 0), (-2, 4)])
@pytest.mark.parametrize("step", [1, 5])
def test_pictures_that_only_move_have_no_error(dx: int, dy: int, step: int) -> None:
    video = drifting(8, dx, dy)
    pair = plain_pair(dx * step, dy * step)
    count = len(video) - step
    assert warp_error(video, [pair.flow] * count, [pair.visible] * count, step) < 1e-9


def test_the_wrong_direction_is_a_large_error() -> None:
    video = drifting(4, 3, 2)
    right, wrong = plain_pair(3, 2), plain_pair(-3, -2)
    assert warp_error(video, [wrong.flow] * 3, [wrong.visible] * 3, 1) > 0.01
    assert warp_error(video, [right.flow] * 3, [right.visible] * 3, 1) < 1e-9


@pytest.mark.parametrize("sigma", [2.0, 10.0])
def test_noise_gives_twice_its_variance(sigma: float) -> None:
    video = [grey(128, sigma, seed) for seed in range(10)]
    pair = plain_pair(2, 1)
    expected = 2 * (sigma**2 + 1 / 12) / 255**2  # 1/12: rounding
    error = errors([video], [pair] * 9, 1)[0]
    assert error.e_warp == pytest.approx(expected, rel=0.02)
    assert error.e_stab == pytest.approx(sqrt(3 * expected * pair.visible.mean()), rel=0.02)


def test_a_step_of_one_grey_level_is_that_and_not_255() -> None:
    video = [np.full((*SIZE, 3), value, np.uint8) for value in (100, 99, 100)]
    pair = plain_pair(0, 0)
    assert warp_error(video, [pair.flow] * 2, [pair.visible] * 2, 1) == pytest.approx(1 / 255**2, rel=1e-4)


def test_only_visible_pixels_count() -> None:
    video = [np.zeros((*SIZE, 3), np.uint8), np.zeros((*SIZE, 3), np.uint8)]
    video[1][:, :80] = 255
    left = np.zeros(SIZE, bool)
    left[:, :40] = True
    flow = plain_pair(0, 0).flow
    assert warp_error(video, [flow], [left], 1) == pytest.approx(1)
    assert warp_error(video, [flow], [~left], 1) == pytest.approx(40 / 120)
    assert warp_error(video, [flow], [np.zeros(SIZE, bool)], 1) == pytest.approx(0.5)  # none visible: all count
    assert errors([video], [Pair(flow, left)], 1)[0].e_stab == pytest.approx(sqrt(3 * 40 / 160))


def test_the_number_of_pairs_must_fit() -> None:
    pair = plain_pair(0, 0)
    video = drifting(4, 0, 0)
    with pytest.raises(ValueError, match=r"shorter|longer"):
        warp_error(video, [pair.flow] * 2, [pair.visible] * 2, 1)
    with pytest.raises(ValueError, match="frames are needed"):
        errors([video, video[:3]], [pair] * 3, 1)
    with pytest.raises(ValueError, match="frames are needed"):
        errors([video], [], 4)


def test_excess_removed() -> None:
    assert excess_removed(0.1, 0.5, 0.5) == pytest.approx(0)
    assert excess_removed(0.1, 0.5, 0.1) == pytest.approx(1)
    assert excess_removed(0.1, 0.5, 0.2) == pytest.approx(0.75)
    assert excess_removed(0.1, 0.5, 0.7) == pytest.approx(-0.5)
    assert isnan(excess_removed(0.2, 0.2, 0.1))


def test_comparison_of_a_steady_a_flickering_and_a_half_steady_video() -> None:
    steady = [grey(128, 0, 0)] * 6
    flickering = [grey(128, 20, seed) for seed in range(6)]
    calmed = [np.rint(128 + (frame.astype(float) - 128) / 2).astype(np.uint8) for frame in flickering]
    seen = compare(steady, flickering, calmed, [plain_pair(0, 0)] * 5, 1)
    assert seen.floor == 0
    assert seen.excess_removed == pytest.approx(0.75, abs=0.01)


@pytest.mark.parametrize("step", [1, 5])
def test_the_scene_itself_is_steady_along_its_exact_motion_only(step: int) -> None:
    scene = SceneSource(320, 180, live=False)
    indices = range(300, 308)
    video = [scene.scene_frame(index) for index in indices]
    pairs = list(scene_pairs(scene, indices, step))
    assert len(pairs) == 8 - step
    assert np.mean([pair.visible.mean() for pair in pairs]) > 0.8
    still = [Pair(np.zeros_like(pair.flow), pair.visible) for pair in pairs]
    backwards = [Pair(-pair.flow, pair.visible) for pair in pairs]
    exact, unmoved, wrong = (errors([video], given, step)[0].e_warp for given in (pairs, still, backwards))
    assert exact < 2e-4
    assert exact < 0.2 * unmoved
    assert exact < 0.1 * wrong


@pytest.mark.parametrize("step", [1, 5])
def test_estimated_motion_agrees_with_the_exact_one(step: int) -> None:
    scene = SceneSource(320, 180, live=False)
    indices = range(300, 302 + step)
    video = [scene.scene_frame(index) for index in indices]
    exact = list(scene_pairs(scene, indices, step))
    estimated = list(filmed_pairs(video, step))
    assert len(estimated) == len(exact) == 2
    for true, found in zip(exact, estimated, strict=True):
        both = true.visible & found.visible
        assert both.mean() > 0.6
        assert np.median(np.linalg.norm(true.flow - found.flow, axis=2)[both]) < 0.15
    near, far = (errors([video], pairs, step)[0].e_warp for pairs in (exact, estimated))
    assert near < 3e-4
    assert far < 3e-4


def test_a_filmed_plane_is_found_steady_and_noise_on_it_is_not() -> None:
    clean = drifting(4, 3, -2)
    noisy = [np.clip(a.astype(float) + b - 128, 0, 255).astype(np.uint8) for a, b in zip(clean, noises(4), strict=True)]
    pairs = list(filmed_pairs(clean, 1))
    inner = np.s_[20:-20, 20:-20]
    assert np.abs(pairs[0].flow[inner] - (3, -2)).max() < 0.5
    steady, restless = (error.e_warp for error in errors([clean, noisy], pairs, 1))
    assert steady < 2e-4
    assert restless > 10 * steady


def noises(count: int) -> list[Pixels]:
    return [grey(128, 12, 50 + seed) for seed in range(count)]


def test_what_does_not_return_is_hidden_and_what_leaves_is_out() -> None:
    there = plain_pair(10, 0).flow
    assert returns(there, -there)[:, :149].all()
    assert not returns(there, -there)[:, 151:].any()
    back = -there
    back[30:60] += (2, 0)
    seen = returns(there, back)
    assert not seen[30:60].any()
    assert seen[:30, :149].all()


def test_a_step_in_the_flow_is_a_boundary_and_a_slope_is_none() -> None:
    flow = np.zeros((*SIZE, 2), np.float32)
    flow[:, 80:] = (2, 0)
    edge = on_boundary(flow)
    assert edge[:, 79].all()
    assert edge.sum() == SIZE[0]
    slope = np.zeros((*SIZE, 2), np.float32)
    slope[..., 0] = np.arange(160) * 0.02
    assert not on_boundary(slope).any()


def test_blur_takes_sharpness_away() -> None:
    picture = drifting(1, 0, 0)[0]
    blurred = [picture, *(cv2.GaussianBlur(picture, (0, 0), sigma) for sigma in (1, 2, 4))]
    values = [sharpness(each) for each in blurred]
    assert all(sharper > softer for sharper, softer in pairwise(values))
    ramp = np.repeat(np.tile(np.arange(0, 240, 2, dtype=np.uint8), (40, 1))[..., None], 3, axis=2)
    assert sharpness(ramp[:, :100]) == pytest.approx(2, rel=0.03)
