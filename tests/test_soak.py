"""``evaluate soak``: page, recording and RTMP at once, for seconds instead of an hour."""

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
def test_a_short_soak_watches_all_three_outputs(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "soak"
    assert run("evaluate", "soak", "--minutes", "0.15", "--size", "160x96", "--out", str(out)) == 0
    assert "| memory after minute 5 | < 2 MB more | shorter than that |" in capsys.readouterr().out
    report = json.loads((out / "soak.json").read_text())
    assert report["problems"] == []
    assert report["reconnects"] == 0
    assert report["growth_mb"] is None
    looks = report["looks"]
    assert looks[-1]["viewed"] > looks[0]["viewed"]
    assert looks[-1]["arrived"] > looks[0]["arrived"]
    assert all(look["memory"] > 20 and look["handles"] > 10 and look["threads"] > 5 for look in looks)
    assert report["recorded_pictures"] > 100
    assert report["recorded_s"] == pytest.approx(report["stream_s"], abs=1.0)  # the last pictures may go under
    assert report["stream_s"] == pytest.approx(report["wall_s"], abs=3.0)  # a loaded machine
    picture = cv2.imread(str(out / "soak.png"))
    assert picture is not None
    assert picture.std() > 5.0


@pytest.mark.parametrize(
    ("arguments", "said"), [(("--minutes", "0"), "at least 0.1"), (("--size", "big"), "640x360")], ids=["short", "size"]
)
def test_a_soak_that_makes_no_sense_is_told(
    arguments: tuple[str, str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert run("evaluate", "soak", "--out", str(tmp_path), *arguments) == 2
    assert said in capsys.readouterr().err
