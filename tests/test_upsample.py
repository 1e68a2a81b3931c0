"""Enlarging a painting by its source: text comes back, strokes stay, and nothing is invented."""

import cv2
import numpy as np
import pytest

from livestyle.live.upsample import Upsampler
from livestyle.media import Pixels


def shrink(pixels: Pixels, width: int, height: int) -> Pixels:
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def write_text(width: int, height: int, ink: int, paper: int) -> Pixels:
    page = np.full((height, width, 3), paper, np.uint8)
    for line in range(30, height, 30):
        cv2.putText(
            page, "small print 0123456789", (10, line), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (ink,) * 3, 1, cv2.LINE_AA
        )
    return page


def likeness(one: Pixels, other: Pixels) -> float:
    """Correlation of two pictures' luma."""
    a, b = (cv2.cvtColor(each, cv2.COLOR_RGB2GRAY).astype(float).ravel() for each in (one, other))
    return float(np.corrcoef(a, b)[0, 1])


def daub(small: Pixels) -> Pixels:
    """What a network does to small print: its letters run together."""
    return np.asarray(cv2.GaussianBlur(small, (9, 9), 3.0), np.uint8)


@pytest.mark.parametrize(("ink", "paper"), [(235, 40), (20, 230)])
@pytest.mark.parametrize("size", [(640, 360), (480, 270), (641, 361)])
def test_text_comes_back(ink: int, paper: int, size: tuple[int, int]):
    page = write_text(*size, ink, paper)
    small = shrink(page, 320, 180)
    painted = daub(small)
    plain = np.asarray(cv2.resize(painted, size), np.uint8)
    guided = Upsampler(*size).enlarge(painted, small, page)
    assert guided.shape == page.shape
    assert guided.dtype == np.uint8
    assert likeness(guided, page) > 0.9
    assert likeness(guided, page) > likeness(plain, page) + 0.15


def test_a_painting_that_turns_light_into_dark_keeps_doing_so_in_its_text():
    page = write_text(640, 360, 235, 40)
    small = shrink(page, 320, 180)
    guided = Upsampler(640, 360).enlarge(255 - small, small, page)
    assert likeness(guided, page) < -0.9


def test_strokes_stay_where_the_source_has_no_detail():
    rows, columns = np.mgrid[0:360, 0:640]
    sky = np.repeat((40 + columns * 0.2 + rows * 0.1).astype(np.uint8)[..., None], 3, axis=2)
    strokes = np.random.default_rng(3).integers(0, 255, (180, 320, 3), np.uint8)
    guided = Upsampler(640, 360).enlarge(strokes, shrink(sky, 320, 180), sky)
    assert np.array_equal(guided, cv2.resize(strokes, (640, 360)))


def test_text_on_one_side_leaves_the_strokes_of_the_other_alone():
    page = np.full((360, 640, 3), 60, np.uint8)
    page[:, :320] = write_text(320, 360, 235, 60)
    strokes = np.random.default_rng(3).integers(0, 255, (180, 320, 3), np.uint8)
    guided = Upsampler(640, 360).enlarge(strokes, shrink(page, 320, 180), page)
    plain = np.asarray(cv2.resize(strokes, (640, 360)), np.uint8)
    assert np.array_equal(guided[:, 360:], plain[:, 360:])
    assert not np.array_equal(guided[:, :320], plain[:, :320])


def test_colours_are_the_paintings():
    page = write_text(640, 360, 235, 40)
    small = shrink(page, 320, 180)
    red = np.zeros_like(small)
    red[..., 0] = 120
    guided = Upsampler(640, 360).enlarge(red, small, page)
    assert guided[..., 0].mean() > guided[..., 1].mean() + 60


@pytest.mark.parametrize("size", [(16, 16), (33, 17)])
def test_tiny_pictures(size: tuple[int, int]):
    page = np.random.default_rng(1).integers(0, 255, (size[1], size[0], 3), np.uint8)
    small = shrink(page, 16, 16)
    assert Upsampler(*size).enlarge(small, small, page).shape == page.shape
