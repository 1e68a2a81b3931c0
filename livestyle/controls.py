"""What may change while a stream runs: one frozen value, its holder, and the table of commands.

Terminal keys, the page and ``livestyle ctl`` are front ends of the one `COMMANDS` table. Nothing queues: a command
replaces the value whole under one lock, and the stylizer reads the newest value once per frame.
"""

import difflib
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from livestyle.errors import ConfigError

Mix = tuple[tuple[str, float], ...]  # (style, weight), weights > 0 that sum to 1

BLEND_STEP = 0.1
STRENGTH_STEP = 0.1


@dataclass(frozen=True, slots=True)
class Controls:
    """The state that the user steers. ``mix`` holds the styles in use; one entry of weight 1 is a plain style.

    ``strength`` in [0, 1] mixes the painting with the auto-encoded picture, ``coherence`` turns the motion stage on,
    ``paused`` freezes the source picture (switching styles still repaints it), ``bypass`` passes frames unpainted.
    ``snapshots`` counts the pictures asked for; ``stopping`` ends the session.
    """

    mix: Mix
    strength: float = 1.0
    coherence: bool = True
    paused: bool = False
    bypass: bool = False
    snapshots: int = 0
    stopping: bool = False

    @property
    def style(self) -> str:
        """The style of the largest weight."""
        return max(self.mix, key=lambda entry: entry[1])[0]


def find_name(name: str, known: Iterable[str], what: str) -> str:
    """Return ``name`` if it is known; otherwise raise `ConfigError` that names the nearest known one."""
    names = list(known)
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ConfigError(f"unknown {what} {name!r}: {hint}known: {', '.join(names) or 'none'}")


def parse_mix(text: str, styles: Sequence[str]) -> Mix:
    """Read ``name`` or ``a:0.5,b:0.5`` into weights that sum to 1. Raises `ConfigError`."""
    entries: dict[str, float] = {}
    for part in text.split(","):
        name, _, weight_text = part.strip().partition(":")
        try:
            weight = float(weight_text) if weight_text else 1.0
        except ValueError:
            raise ConfigError(f"weight {weight_text!r} in {text!r} is not a number") from None
        if not 0.0 < weight < float("inf"):
            raise ConfigError(f"weight {weight_text!r} in {text!r} must be above 0")
        name = find_name(name, styles, "style")
        entries[name] = entries.get(name, 0.0) + weight
    total = sum(entries.values())
    return tuple((name, weight / total) for name, weight in entries.items())


def format_mix(mix: Mix) -> str:
    """The text that `parse_mix` reads back, for people: ``udnie`` or ``udnie:0.70,scream:0.30``."""
    if len(mix) == 1:
        return mix[0][0]
    return ",".join(f"{name}:{weight:.2f}" for name, weight in mix)


def _step_style(controls: Controls, styles: Sequence[str], step: int) -> Controls:
    index = (styles.index(controls.style) + step) % len(styles)
    return replace(controls, mix=((styles[index], 1.0),))


def _shift_blend(controls: Controls, styles: Sequence[str], step: float) -> Controls:
    """Move weight between the current pair: towards the second style (step > 0) or back to the first.

    A plain style pairs with its successor in the list, and with its predecessor when moved backwards, so that the
    arrows walk through all styles in both directions.
    """
    if len(styles) < 2:
        return controls
    if len(controls.mix) == 2:
        (first, weight), (second, _) = controls.mix
    else:
        first = controls.style
        if step > 0:
            second, weight = styles[(styles.index(first) + 1) % len(styles)], 1.0
        else:
            first, second, weight = styles[(styles.index(first) - 1) % len(styles)], first, 0.0
    weight = weight - step
    if weight >= 1.0 - 1e-6:
        return replace(controls, mix=((first, 1.0),))
    if weight <= 1e-6:
        return replace(controls, mix=((second, 1.0),))
    return replace(controls, mix=((first, weight), (second, 1.0 - weight)))


def _choose_style(controls: Controls, styles: Sequence[str], argument: str) -> Controls:
    if argument.isdecimal():
        number = int(argument)
        if not 1 <= number <= len(styles):
            raise ConfigError(f"there is no style number {number}: give 1 to {len(styles)}")
        return replace(controls, mix=((styles[number - 1], 1.0),))
    return replace(controls, mix=parse_mix(argument, styles))


def _read_fraction(argument: str, what: str) -> float:
    try:
        value = float(argument)
    except ValueError:
        raise ConfigError(f"{what} {argument!r} is not a number") from None
    if not 0.0 <= value <= 1.0:
        raise ConfigError(f"{what} {argument!r} is outside 0 to 1")
    return value


def _read_switch(argument: str, now: bool) -> bool:
    values = {"": not now, "toggle": not now, "on": True, "off": False}
    if argument not in values:
        raise ConfigError(f"{argument!r} is not a switch: give on, off or toggle")
    return values[argument]


def _change_strength(controls: Controls, step: float) -> Controls:
    return replace(controls, strength=round(min(1.0, max(0.0, controls.strength + step)), 3))


@dataclass(frozen=True, slots=True)
class Command:
    """One thing that a user can ask for: what it does, the keys that ask for it, and what it makes of the controls.

    ``keys`` are names as the terminal front end reports them; ``argument`` names the argument, "" when there is none.
    """

    summary: str
    apply: Callable[[Controls, Sequence[str], str], Controls]
    keys: tuple[str, ...] = ()
    argument: str = ""


COMMANDS: dict[str, Command] = {
    "style": Command(
        "paint in a style (name or number) or a mix such as a:0.5,b:0.5",
        _choose_style,
        tuple("123456789"),
        "NAME",
    ),
    "next": Command("next style", lambda c, s, _: _step_style(c, s, 1), ("n",)),
    "previous": Command("previous style", lambda c, s, _: _step_style(c, s, -1), ("p",)),
    "blend-more": Command("blend towards the next style", lambda c, s, _: _shift_blend(c, s, BLEND_STEP), ("right",)),
    "blend-less": Command("blend back to the previous", lambda c, s, _: _shift_blend(c, s, -BLEND_STEP), ("left",)),
    "strength": Command(
        "how much of the painting shows, 0 to 1",
        lambda c, _, a: replace(c, strength=_read_fraction(a, "strength")),
        (),
        "0..1",
    ),
    "stronger": Command("more of the painting", lambda c, _, __: _change_strength(c, STRENGTH_STEP), ("up",)),
    "weaker": Command("less of the painting", lambda c, _, __: _change_strength(c, -STRENGTH_STEP), ("down",)),
    "coherence": Command(
        "steady video across frames: on, off or toggle",
        lambda c, _, a: replace(c, coherence=_read_switch(a, c.coherence)),
        ("c",),
        "[on|off]",
    ),
    "freeze": Command(
        "hold the picture; styles still change on it",
        lambda c, _, a: replace(c, paused=_read_switch(a, c.paused)),
        ("space",),
        "[on|off]",
    ),
    "bypass": Command(
        "show the source unpainted",
        lambda c, _, a: replace(c, bypass=_read_switch(a, c.bypass)),
        ("b",),
        "[on|off]",
    ),
    "snapshot": Command(
        "save the painted picture as PNG", lambda c, _, __: replace(c, snapshots=c.snapshots + 1), ("s",)
    ),
    "quit": Command("stop", lambda c, _, __: replace(c, stopping=True), ("q", "ctrl-c")),
}


class ControlBoard:
    """Holds the one current `Controls` value; any thread reads it and any thread may replace it."""

    def __init__(self, controls: Controls, styles: Sequence[str]) -> None:
        """``styles`` is the order that numbers and arrows walk through; every style of ``controls`` is in it."""
        self._lock = threading.Lock()
        self._controls = controls
        self.styles = tuple(styles)

    @property
    def controls(self) -> Controls:
        """The newest value."""
        return self._controls

    def run(self, text: str) -> Controls:
        """Apply a command line such as ``style udnie`` and return the new value. Raises `ConfigError`."""
        name, _, argument = text.strip().partition(" ")
        command = COMMANDS[find_name(name, COMMANDS, "command")]
        argument = argument.strip()
        if argument and not command.argument:
            raise ConfigError(f"command {name!r} takes no argument")
        if not argument and command.argument and not command.argument.startswith("["):
            raise ConfigError(f"command {name!r} needs an argument: {command.argument}")
        with self._lock:
            self._controls = command.apply(self._controls, self.styles, argument)
            return self._controls

    def press(self, key: str) -> Controls | None:
        """Apply the command of a key (a name in `Command.keys`); None if no command has that key."""
        for name, command in COMMANDS.items():
            if key in command.keys:
                if name == "style" and int(key) > len(self.styles):
                    return None
                return self.run(f"{name} {key}" if name == "style" else name)
        return None
