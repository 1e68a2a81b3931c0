"""``evaluate load``: a stream beside a program that takes a core."""

import json
from pathlib import Path

import cv2
import pytest

from livestyle.cli import main


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    return int(exit_.value.code or 0)


@pytest.mark.slow
def test_a_run_beside_a_load_leaves_figures_and_a_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "load"
    assert run("evaluate", "load", "--out", str(out), "--seconds", "9", "--size", "160x96") == 0
    report = json.loads((out / "load.json").read_text())
    assert [stretch["name"] for stretch in report["stretches"]] == ["alone", "one core taken", "alone again"]
    assert len(report["timeline"]) == 9
    assert sum(second["fps"] for second in report["timeline"]) > 0
    assert report["governed"]
    picture = cv2.imread(str(out / "load.png"))
    assert picture is not None
    assert picture.std() > 5.0
    assert "alone again" in capsys.readouterr().out


def test_too_short_a_run_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run("evaluate", "load", "--out", str(tmp_path), "--seconds", "5") == 2
    assert "at least 9" in capsys.readouterr().err
