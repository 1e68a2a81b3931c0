"""Presets: saved, listed, taken up and deleted by commands; damaged files, and styles that are gone."""

import json
import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest

from livestyle.control.state import read_state
from livestyle.controls import ControlBoard, Controls, Region
from livestyle.errors import ConfigError
from livestyle.presets import LARGEST, MOST, Presets

STYLES = ("starry_night", "great_wave", "scream", "udnie")
FULL = Controls(
    mix=(("scream", 0.25), ("udnie", 0.75)),
    regions=(Region("left", (("great_wave", 1.0),)), Region("0.1,0.2,0.3,0.4", (("udnie", 1.0),), 0.5)),
    strength=0.7,
    morph=2.0,
    keep_colors=True,
    look="dusk",
    coherence=False,
)


@pytest.fixture
def presets(tmp_path: Path) -> Presets:
    return Presets(tmp_path / "presets")


def make_board(presets: Presets, controls: Controls = FULL, styles: tuple[str, ...] = STYLES) -> ControlBoard:
    return ControlBoard(controls, styles, looks=lambda: ("dusk",), presets=presets)


def test_a_preset_brings_back_what_was_saved_and_nothing_else(presets: Presets):
    board = make_board(presets)
    assert board.run("save-preset late_show") is FULL
    for text in ("style udnie", "region off", "strength 1", "morph 0", "keep-colors off", "look off", "coherence on"):
        board.run(text)
    board.run("freeze on")
    board.run("snapshot")
    assert board.run("preset late_show") == replace(FULL, paused=True, snapshots=1)


def test_presets_are_there_for_the_next_run_and_in_the_state(presets: Presets):
    board = make_board(presets)
    for name in ("calm", "2nd", "Loud"):
        board.run(f"save-preset {name}")
    board.run("save-preset calm")  # again: replaced
    later = make_board(Presets(presets.folder), Controls((("udnie", 1.0),)))
    assert read_state(later, dict)["presets"] == ["2nd", "Loud", "calm"]
    later.run("delete-preset Loud")
    assert later.list_presets() == ["2nd", "calm"]
    assert later.run("preset calm") == FULL


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("preset clam", "did you mean 'calm'"),
        ("delete-preset clam", "did you mean 'calm'"),
        ("preset", "needs an argument"),
        ("save-preset ../calm", "cannot be a preset's name"),
        ("save-preset /tmp/calm", "cannot be a preset's name"),
        ("save-preset a b", "cannot be a preset's name"),
        ("save-preset -rf", "cannot be a preset's name"),
        ("save-preset .calm", "cannot be a preset's name"),
        ("save-preset " + "x" * 41, "cannot be a preset's name"),
        ("preset ../presets/calm", "unknown preset"),
        ("delete-preset ../presets/calm", "unknown preset"),
    ],
)
def test_a_wrong_name_is_one_line_and_touches_no_file(presets: Presets, text: str, says: str):
    board = make_board(presets)
    board.run("save-preset calm")
    before = sorted(presets.folder.parent.rglob("*"))
    with pytest.raises(ConfigError, match=says) as caught:
        board.run(text)
    assert "\n" not in str(caught.value)
    assert board.controls == FULL
    assert sorted(presets.folder.parent.rglob("*")) == before


def test_styles_masks_and_looks_that_are_gone_are_named(presets: Presets):
    make_board(presets).run("save-preset calm")
    before = Controls((("starry_night", 1.0),))
    for board, says in [
        (make_board(presets, before, STYLES[:3]), "preset 'calm': unknown style 'udnie': did you mean"),
        (ControlBoard(before, STYLES, presets=presets), "preset 'calm': unknown look 'dusk'"),
    ]:
        with pytest.raises(ConfigError, match=says):
            board.run("preset calm")
        assert board.controls is before
    path = presets.folder / "calm.json"
    path.write_text('{"regions": [{"mask": "lft", "mix": {"udnie": 1}}]}')
    with pytest.raises(ConfigError, match=r"preset 'calm': unknown mask .* did you mean 'left'"):
        make_board(presets).run("preset calm")


def test_a_preset_by_hand_may_hold_a_part(presets: Presets):
    presets.folder.mkdir()
    (presets.folder / "soft.json").write_text('{"strength": 0.25, "mix": {"udnie": 3, "scream": 1}}')
    controls = make_board(presets).run("preset soft")
    assert controls == replace(FULL, strength=0.25, mix=(("udnie", 0.75), ("scream", 0.25)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"strength": 2}',
        '{"strength": "1"}',
        '{"morph": 61}',
        '{"morph": 1e999}',
        '{"mix": {}}',
        '{"mix": {"udnie": 0}}',
        '{"mix": {"udnie": NaN}}',
        '{"mix": {"udnie": 1e-320, "scream": 1000000}}',
        '{"a\\nb": 1}',
        '{"stopping": true}',
        '{"stop\\n\\u001b[2Jping": true}',
        '{"regions": [{"mask": "left"}]}',
        '{"regions": [{"mask": "left", "mix": {"udnie": 1}, "share": 2}]}',
        '{"look": ' + "[" * 100_000,
        "[" * 10_000,
        " " * (LARGEST + 1),
        "\x00\xff",
    ],
)
def test_a_damaged_file_is_left_out_and_told_once(presets: Presets, text: str, caplog: pytest.LogCaptureFixture):
    board = make_board(presets)
    board.run("save-preset calm")
    (presets.folder / "bad.json").write_bytes(text.encode("latin-1"))
    with caplog.at_level(logging.WARNING, "livestyle"):
        assert board.list_presets() == ["calm"]
        assert board.list_presets() == ["calm"]
    (line,) = caplog.messages
    assert "bad.json" in line
    assert "\n" not in line
    with pytest.raises(ConfigError, match="is no preset"):
        board.run("preset bad")
    assert board.controls is FULL


def test_a_file_that_is_mended_is_listed(presets: Presets):
    board = make_board(presets)
    presets.folder.mkdir()
    path = presets.folder / "mine.json"
    path.write_text("{")
    assert board.list_presets() == []
    path.write_text('{"strength": 1}')
    assert board.list_presets() == ["mine"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX")
def test_what_is_no_preset_file_is_not_opened(presets: Presets):
    presets.folder.mkdir()
    os.mkfifo(presets.folder / "pipe.json")  # opening it would wait for ever
    (presets.folder / "folder.json").mkdir()
    (presets.folder / ".calm.json.12.part").write_text("{}")
    (presets.folder / "two words.json").write_text("{}")
    (presets.folder / "notes.txt").write_text("{}")
    assert presets.names() == []


def test_there_is_an_end_to_presets(presets: Presets):
    board = make_board(presets)
    presets.folder.mkdir()
    for number in range(MOST):
        (presets.folder / f"p{number}.json").write_text("{}")
    board.run("save-preset p7")
    assert json.loads((presets.folder / "p7.json").read_text())["strength"] == 0.7
    with pytest.raises(ConfigError, match="delete one"):
        board.run("save-preset one_more")


def test_a_folder_that_cannot_be_had_is_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    board = make_board(Presets(tmp_path / "file" / "presets"))
    assert board.list_presets() == []
    with pytest.raises(ConfigError, match="cannot be written"):
        board.run("save-preset calm")
    with pytest.raises(ConfigError, match="no place for presets"):
        ControlBoard(FULL, STYLES).run("save-preset calm")
