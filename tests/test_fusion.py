"""``livestyle evaluate fusion``: what is said of blends, switches, morphs and borders holds for the shipped styles."""

import json
from pathlib import Path

import pytest
from textures import make_texture

from livestyle.artifacts import load_model
from livestyle.cli import main
from livestyle.evaluate.fusion import DISTANCES, FusionReport, evaluate_fusion
from livestyle.pictures import write_picture


@pytest.fixture(scope="module")
def report() -> FusionReport:
    return evaluate_fusion(load_model(), make_texture(208, 112, seed=3))


def test_a_blend_is_the_sum_of_the_kernels(report: FusionReport) -> None:
    assert report.blend_gap <= 1.0


def test_nothing_is_encoded_again(report: FusionReport) -> None:
    assert report.changes == 3 * (len(load_model().styles) - 1)
    assert report.encodes == 0


def test_a_morph_moves_evenly(report: FusionReport) -> None:
    assert report.jump < 2.0
    assert 1 / 30 < report.largest_step < 0.15


def test_a_mask_after_the_banks_bleeds_less_than_one_before_them(report: FusionReport) -> None:
    assert [(row.nearest, row.farthest) for row in report.borders] == list(DISTANCES)
    beyond = [row for row in report.borders if row.nearest > 4]
    assert all(row.after <= row.before for row in beyond[:2])
    assert beyond[0].after < 0.8 * beyond[0].before
    assert [row.after for row in beyond] == sorted((row.after for row in beyond), reverse=True)
    assert beyond[-1].after < 0.01  # beyond the decoder's reach


def test_every_cost_is_timed(report: FusionReport) -> None:
    assert set(report.milliseconds) == {
        "bank+decode", "bank+decode, in a morph", "bank+decode, regions: 1", "bank+decode, regions: 2",
        "bank+decode, regions: 3", "colors",
    }  # fmt: skip
    assert all(time > 0 for time in report.milliseconds.values())


def test_the_command_prints_json(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_picture(tmp_path / "photo.png", make_texture(160, 96, seed=4))
    with pytest.raises(SystemExit) as exit_:
        main(["evaluate", "fusion", "photo.png"])
    assert not exit_.value.code
    assert json.loads(capfd.readouterr().out)["encodes"] == 0
