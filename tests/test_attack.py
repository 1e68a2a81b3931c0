"""``evaluate attack``: a real stream whose page is really attacked."""

import json
from pathlib import Path

import pytest

from livestyle.cli import main


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    return int(exit_.value.code or 0)


@pytest.mark.slow
@pytest.mark.timeout(600)  # ten stretches, each with a process of its own
def test_everything_is_refused_and_the_stream_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run("evaluate", "attack", "--seconds", "1", "--size", "160x96", "--out", str(tmp_path)) == 0
    stretches = json.loads((tmp_path / "attack.json").read_text())
    assert len(stretches) == 10
    assert [stretch["name"] for stretch in stretches if stretch["passed"]] == []
    attacks = stretches[1:-1]
    assert all(stretch["tries"] > 0 for stretch in attacks)
    assert sum(stretch["fps"] for stretch in attacks) > 0
    assert stretches[-1]["fps"] > 0
    assert stretches[-1]["viewed_fps"] > 0
    assert "1,000 connections" in capsys.readouterr().out


def test_no_time_at_all_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run("evaluate", "attack", "--seconds", "0", "--out", str(tmp_path)) == 2
    assert "at least 1" in capsys.readouterr().err
