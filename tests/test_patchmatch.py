"""PatchMatch: right where the truth is known, never worse than where it began, the same for a seed."""

import cv2
import numpy as np
import pytest

from livestyle.analogy.patchmatch import (
    Features,
    Field,
    enlarge_field,
    field_costs,
    improve_field,
    start_field,
    vote,
)


def make_features(height: int, width: int, channels: int = 24, seed: int = 0) -> Features:
    """A smooth random map of unit vectors, as features are."""
    noise = np.random.default_rng(seed).standard_normal((height, width, channels)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.2)
    return np.ascontiguousarray(smooth / np.linalg.norm(smooth, axis=2, keepdims=True))


def match(ours: Features, theirs: Features, *, first: Field | None = None, **changes: int) -> Field:
    settings = {"patch": 3, "radius": max(theirs.shape), "passes": 10, **changes}
    return improve_field(
        ours, theirs, start_field(ours.shape[:2], theirs.shape[:2]) if first is None else first, **settings
    )


def errors(field: Field, down: int, right: int) -> np.ndarray:
    rows, columns = np.mgrid[0 : field.shape[0], 0 : field.shape[1]]
    return np.hypot(field[..., 0] - rows - down, field[..., 1] - columns - right)


@pytest.mark.parametrize("start", ["clamped", "random"])
@pytest.mark.parametrize("patch", [3, 5])
def test_a_shifted_map_is_found(start: str, patch: int):
    world = make_features(90, 100)
    ours, theirs = np.ascontiguousarray(world[12:72, 5:75]), np.ascontiguousarray(world[4:84, 11:95])
    first = start_field(ours.shape[:2], theirs.shape[:2], start, seed=3)  # type: ignore[arg-type]
    field = match(ours, theirs, first=first, patch=patch)
    inside = errors(field, 8, -6)[:, 6:]  # the first six columns lie outside the other map
    assert np.mean(inside == 0) > 0.99


def test_as_good_as_trying_everything():
    ours, theirs = make_features(14, 17, seed=1), make_features(16, 13, seed=2)
    found = field_costs(ours, theirs, match(ours, theirs, passes=30), 3)
    best = np.full(found.shape, np.inf, np.float32)
    for v in range(16):
        for u in range(13):
            everywhere = np.broadcast_to(np.array([v, u], np.int32), (14, 17, 2)).copy()
            best = np.minimum(best, field_costs(ours, theirs, everywhere, 3))
    assert np.mean(found <= best + 1e-5) > 0.8
    assert found.mean() < 0.97 * best.mean()  # both are negative


@pytest.mark.parametrize("patch", [3, 5])
@pytest.mark.parametrize("passes", [1, 4])
def test_no_match_gets_worse(patch: int, passes: int):
    ours, theirs = make_features(30, 44, seed=1), make_features(37, 21, seed=2)
    for start in ("clamped", "random"):
        first = start_field((30, 44), (37, 21), start)  # type: ignore[arg-type]
        before = field_costs(ours, theirs, first, patch)
        after = field_costs(ours, theirs, match(ours, theirs, first=first, patch=patch, passes=passes), patch)
        assert np.all(after <= before + 1e-5)
        assert after.mean() < before.mean()


def test_a_seed_gives_one_field_whatever_the_threads():
    ours, theirs = make_features(40, 30, seed=1), make_features(33, 50, seed=2)
    once = match(ours, theirs, seed=5)
    assert np.array_equal(once, match(ours, theirs, seed=5))
    assert np.array_equal(once, match(ours, theirs, seed=5, threads=3))
    assert not np.array_equal(once, match(ours, theirs, seed=6))


def test_the_given_field_is_left_alone():
    ours, theirs = make_features(20, 20, seed=1), make_features(20, 20, seed=2)
    first = start_field((20, 20), (20, 20))
    kept = first.copy()
    match(ours, theirs, first=first)
    assert np.array_equal(first, kept)


@pytest.mark.parametrize("sizes", [((1, 1), (1, 1)), ((1, 1), (9, 4)), ((2, 40), (40, 2)), ((31, 7), (3, 3))])
def test_any_sizes_match_within_bounds(sizes: tuple[tuple[int, int], tuple[int, int]]):
    ours, theirs = make_features(*sizes[0], seed=1), make_features(*sizes[1], seed=2)
    for start in ("clamped", "random"):
        first = start_field(*sizes, start)  # type: ignore[arg-type]
        for field in (first, match(ours, theirs, first=first, patch=5)):
            assert field.min() >= 0
            assert np.all(field < np.array(sizes[1]))
        assert np.all(np.isfinite(vote(theirs, field, 5)))


def test_blank_maps_stay_where_they_are():
    blank = np.zeros((12, 15, 8), np.float32)
    first = start_field((12, 15), (12, 15))
    assert np.array_equal(match(blank, blank, first=first), first)
    assert np.array_equal(field_costs(blank, blank, first, 3), np.zeros((12, 15), np.float32))


def test_a_field_grows_with_its_offsets():
    small = start_field((10, 12), (10, 12))
    small[..., 1] = np.minimum(small[..., 1] + 2, 11)
    large = enlarge_field(small, (20, 25), (21, 24))
    assert large.shape == (20, 25, 2)
    assert np.all(errors(large, 0, 4)[:, :18] <= 1.0)
    assert np.all((large >= 0) & (large < (21, 24)))


def test_identity_grows_to_identity():
    assert np.array_equal(
        enlarge_field(start_field((7, 9), (7, 9)), (15, 19), (15, 19)), start_field((15, 19), (15, 19))
    )


def test_a_vote_over_a_shift_is_the_shifted_map():
    world = make_features(40, 40)
    ours, theirs = world[10:30, 10:30], np.ascontiguousarray(world[5:38, 7:36])
    field = start_field((20, 20), (33, 29)) + np.array([5, 3], np.int32)
    assert np.allclose(vote(theirs, field, 5), ours, atol=1e-6)


def test_progress_adds_up():
    heard: list[float] = []
    ours = make_features(9, 9)
    improve_field(ours, ours, start_field((9, 9), (9, 9)), patch=3, radius=2, passes=7, advance=heard.append)
    assert sum(heard) == pytest.approx(1.0)
