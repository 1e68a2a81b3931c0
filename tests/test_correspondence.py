"""How far off fields lie: pairs whose truth is known, the methods that are compared, what is made of two fields."""

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from livestyle.analogy.agreement import enlarge_offsets, smooth_both
from livestyle.artifacts import load_model
from livestyle.errors import ConfigError
from livestyle.evaluate.correspondence import (
    WARPS,
    bend,
    evaluate_correspondence,
    match_colours,
    match_dis,
    match_sift,
    measure_errors,
    recolour,
    sketch,
)
from livestyle.media import Pixels
from livestyle.pictures import read_picture, write_picture
from livestyle.sources.scene import SceneSource


@pytest.fixture(scope="module")
def scene() -> Pixels:
    with SceneSource(160, 96, 30, live=False, seed=0) as source:
        return np.array(source.scene_frame(100))


@pytest.mark.parametrize("warp", WARPS)
def test_the_truth_leads_back_to_the_photo(scene: Pixels, warp: str):
    bent, truth, inside = bend(scene, WARPS[warp], seed=2)
    rows, columns = np.mgrid[0:96, 0:160].astype(np.float32)
    fetched = cv2.remap(scene, columns + truth[..., 0], rows + truth[..., 1], cv2.INTER_LINEAR)
    assert inside.mean() > 0.5
    assert np.abs(fetched.astype(int) - bent)[inside].max() <= 1
    assert 2 < np.linalg.norm(truth, axis=2).max() < 0.4 * 160
    assert not np.array_equal(bent, bend(scene, WARPS[warp], seed=3)[0])


def test_looks_change_colours_and_keep_places(scene: Pixels):
    assert np.abs(recolour(scene).astype(int) - scene).mean() > 10
    drawn = sketch(scene)
    assert np.all(drawn[..., 0] == drawn[..., 2])
    assert drawn.mean() > 200


@pytest.mark.parametrize("match", [match_colours, match_dis, match_sift])
def test_every_method_finds_a_shift(scene: Pixels, match):
    a, b = (np.ascontiguousarray(scene[:, left : left + 140]) for left in (8, 3))
    found = match(a, b)
    assert np.median(np.linalg.norm(found - np.float32([5, 0]), axis=2)[:, :130]) < 0.5


def test_a_method_that_finds_nothing_says_so():
    blank = np.full((40, 50, 3), 90, np.uint8)
    assert not match_sift(blank, blank).any()


def test_two_fields_agree_on_what_is_right_in_both():
    rows, columns = np.mgrid[0:60, 0:80].astype(np.float32)
    forth = np.dstack([4 + 0.05 * columns, -3 + 0.05 * rows]).astype(np.float32)
    back = np.dstack([-(4 + 0.05 * columns) / 1.05, -(-3 + 0.05 * rows) / 1.05]).astype(np.float32)
    random = np.random.default_rng(0)
    fields = []
    for exact in (forth, back):
        field = np.rint(exact)
        wrong = random.random((60, 80)) < 0.4
        field[wrong] = random.integers(-40, 40, (np.count_nonzero(wrong), 2))
        field[10:30, 20:40] = random.integers(-40, 40, (20, 20, 2))
        fields.append(field.astype(np.float32))
    smooth = smooth_both(*fields)
    for found, exact in zip(smooth, (forth, back), strict=True):
        errors = np.linalg.norm(found - exact, axis=2)
        assert np.median(errors) < 0.5
        assert np.median(errors[10:30, 20:40]) < 1


def test_smooth_fields_stay_finite_where_nothing_agrees():
    away = np.full((20, 20, 2), 500, np.float32)
    assert all(np.isfinite(field).all() for field in smooth_both(away, away))


def test_offsets_grow_with_the_map():
    rows, columns = np.mgrid[0:9, 0:11].astype(np.float32)
    coarse = np.dstack([columns, -rows]) * 0.5
    fine = enlarge_offsets(coarse, (19, 22), 2)
    assert fine[8, 10] == pytest.approx((4.75, -3.75))
    assert fine.shape == (19, 22, 2)


def test_errors_are_those_of_known_pixels():
    found, truth = np.zeros((2, 2, 2), np.float32), np.zeros((2, 2, 2), np.float32)
    truth[0, 0], truth[0, 1], truth[1, 0] = (3, 4), (0, 1), (60, 80)
    measured = measure_errors(found, truth, np.array([[True, True], [False, True]]))
    assert (measured.median, measured.mean, measured.close) == (1.0, 2.0, pytest.approx(2 / 3))


@pytest.mark.slow
@pytest.mark.timeout(1200)  # 20 s of one core; the default would not do on a crowded machine
def test_the_evaluation_writes_table_and_picture(tmp_path: Path, scene: Pixels):
    (tmp_path / "photos").mkdir()
    write_picture(tmp_path / "photos/scene.png", scene)
    report = evaluate_correspondence(tmp_path / "photos", model=load_model(), side=96, out=tmp_path / "out")
    assert len(report.rows) == 2 * 3 * 4
    assert report.ratio("near", "recoloured")[1] < 1.5
    rows = {(row.warp, row.look, row.method): row for row in report.rows}
    assert (
        rows["near", "painted", "deep analogy"].smooth.median
        < rows["near", "painted", "PatchMatch on colours"].smooth.median
    )
    table = (tmp_path / "out/correspondence.md").read_text()
    assert table.count("| near |") == table.count("| far |") == 12
    assert read_picture(tmp_path / "out/correspondence.png").shape[1] > 11 * 96


def test_a_wrong_size_is_refused(tmp_path: Path, scene: Pixels):
    write_picture(tmp_path / "scene.png", scene)
    with pytest.raises(ConfigError, match="--size 10: give 64 to 512"):
        evaluate_correspondence(tmp_path, model=load_model(), side=10, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
