"""The `COMMANDS` table for people: what ``livestyle ctl --list`` prints, and what the README holds."""

from livestyle.control.combos import default_combos
from livestyle.control.keys import LABELS
from livestyle.control.osc import PREFIX
from livestyle.controls import COMMANDS

HEAD = ("command", "key", "hotkey", "OSC", "does")


def list_commands_table() -> str:
    """A Markdown table, one command a line."""
    combos = default_combos()
    rows: list[tuple[str, ...]] = [HEAD]
    for name, command in COMMANDS.items():
        keys = [LABELS.get(key, key) for key in command.keys]
        hotkeys = [str(combo) for line, combo in combos.items() if line.partition(" ")[0] == name]
        usage = f"`{name} {_escape(command.argument)}`" if command.argument else f"`{name}`"
        rows.append((usage, _span(keys), _span(hotkeys), f"`{PREFIX}{name}`", _escape(command.summary)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    widths[-1] = len(HEAD[-1])
    rows.insert(1, tuple("-" * width for width in widths))
    return "\n".join(_draw_row(row, widths) for row in rows)


def _draw_row(row: tuple[str, ...], widths: list[int]) -> str:
    return "| " + " | ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) + " |"


def _span(names: list[str]) -> str:
    """``1`` to ``9`` as their ends."""
    if len(names) > 3:
        return f"{names[0]} … {names[-1].rpartition('+')[2]}"
    return " ".join(names)


def _escape(text: str) -> str:
    """A bar would end a cell of the table."""
    return text.replace("|", "\\|")
