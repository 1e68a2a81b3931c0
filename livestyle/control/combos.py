"""Combinations of keys for hotkeys: read from text, made from the `COMMANDS` table, checked against each other.

Nothing here asks the operating system, so that a mistake in a configuration is told wherever it is read.
"""

from collections.abc import Mapping
from typing import NamedTuple

from livestyle.controls import COMMANDS, find_name, read_command
from livestyle.errors import ConfigError

MODIFIERS = ("ctrl", "alt", "shift", "super")
# names that are those of pynput's keys too (pynput.keyboard.Key); `FUNCTIONS` need no modifier
FUNCTIONS = (
    *(f"f{number}" for number in range(1, 21)),
    *("media_play_pause", "media_previous", "media_next", "pause", "scroll_lock"),
)
NAMED = (
    *("space", "left", "right", "up", "down", "home", "end", "page_up", "page_down", "insert", "delete"),
    *("backspace", "enter", "tab", "esc"),
    *FUNCTIONS,
)
# In a terminal with the focus Ctrl+Alt+C still ends its program, as Ctrl+C does, and Ctrl+Alt+S stops its output.
SAFER = {"c": "h", "s": "g"}


class Combo(NamedTuple):
    """A key, named as in `NAMED` or by its one character, and what is held with it."""

    modifiers: frozenset[str]
    key: str

    def __str__(self) -> str:
        held = [name for name in MODIFIERS if name in self.modifiers]
        return "+".join(part.capitalize() for part in (*held, self.key))


def parse_combo(text: str) -> Combo:
    """Read ``ctrl+alt+n``. Raises `ConfigError` for what is none, or would fire while somebody types."""
    *held, key = (part.strip().lower() for part in text.split("+"))
    modifiers = frozenset(find_name(part, MODIFIERS, f"modifier in {text!r}:") for part in held)
    if len(modifiers) < len(held):
        raise ConfigError(f"hotkey {text!r} names a modifier twice")
    if key in MODIFIERS or not key:
        raise ConfigError(f"hotkey {text!r} ends without a key: write it as ctrl+alt+n")
    if len(key) > 1:
        find_name(key, NAMED, f"key in {text!r}:")
    if "shift" in modifiers and len(key) == 1 and not key.isalpha():
        raise ConfigError(f"hotkey {text!r}: with Shift that key is another character; take a letter or a named key")
    if not modifiers - {"shift"} and key not in FUNCTIONS:
        raise ConfigError(f"hotkey {text!r} would fire while you type in any program: begin it with ctrl+alt+")
    return Combo(modifiers, key)


def default_combos() -> dict[str, Combo]:
    """Command lines and their hotkeys: Ctrl and Alt with the terminal's key.

    ``quit`` has none: a slip of the fingers in another program must not end a stream.
    """
    held = frozenset({"ctrl", "alt"})
    combos: dict[str, Combo] = {}
    for name, command in COMMANDS.items():
        if name == "quit":
            continue
        for key in command.keys:
            combos[f"{name} {key}" if name == "style" else name] = Combo(held, SAFER.get(key, key))
    return combos


def plan_hotkeys(changes: Mapping[str, str]) -> dict[Combo, str]:
    """Command lines by their hotkeys: the defaults, changed by ``changes`` from command line to combination.

    An empty combination takes a hotkey away. Raises `ConfigError` for what is no command, no combination, and for two
    commands on one.
    """
    combos = default_combos()
    for text, keys in changes.items():
        try:
            line = " ".join(read_command(text)).strip()
            if not keys.strip():
                combos.pop(line, None)
                continue
            combos[line] = parse_combo(keys)
        except ConfigError as error:
            raise ConfigError(f"hotkeys: {error}") from None
    plan: dict[Combo, str] = {}
    for line, combo in combos.items():
        if combo in plan:
            raise ConfigError(
                f"hotkeys: {plan[combo]!r} and {line!r} are both on {combo}: "
                f'give one of them another, or take it away ({_quote(plan[combo])} = "")'
            )
        plan[combo] = line
    return plan


def _quote(line: str) -> str:
    """A command line as a key of a TOML file."""
    return f'"{line}"' if " " in line else line
