"""What is written about the commands comes from their table."""

import re
from pathlib import Path

from typer.testing import CliRunner

from livestyle.cli import app
from livestyle.control.combos import default_combos
from livestyle.control.keys import LABELS
from livestyle.controls import COMMANDS

README = Path(__file__).parent.parent / "README.md"


def print_list() -> str:
    result = CliRunner().invoke(app, ["ctl", "--list"])
    assert result.exit_code == 0
    return result.output


def test_the_list_has_every_command_key_and_hotkey():
    rows = {}
    for line in print_list().splitlines()[2:]:
        usage, keys, hotkeys, address, summary = (
            cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]
        )
        rows[usage.strip("`").partition(" ")[0]] = usage, keys, hotkeys, address, summary
    assert list(rows) == list(COMMANDS)
    combos = default_combos()
    for name, command in COMMANDS.items():
        usage, keys, hotkeys, address, summary = rows[name]
        assert usage == f"`{name} {command.argument}".strip() + "`"
        assert summary == command.summary
        assert address == f"`/livestyle/{name}`"
        if name == "style":
            assert (keys, hotkeys) == ("1 … 9", "Ctrl+Alt+1 … 9")
            continue
        assert keys == " ".join(LABELS.get(key, key) for key in command.keys)
        assert hotkeys == (str(combos[name]) if name in combos else "")


def test_the_readme_has_that_very_list():
    assert print_list() in README.read_text(encoding="utf-8"), "put the output of 'livestyle ctl --list' there"
