"""What may change while a stream runs: one frozen value, its holder, and the table of commands.

Keys, hotkeys, the page, ``livestyle ctl``, OSC and MIDI are front ends of the one `COMMANDS` table. Nothing queues: a
command replaces the value whole under one lock, and the stylizer reads the newest value once per frame.
"""

import difflib
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from livestyle.arguments import read_fraction, read_seconds, read_switch
from livestyle.blend import shift_blend, step_style
from livestyle.errors import ConfigError

Mix = tuple[tuple[str, float], ...]  # (style, weight), weights > 0 that sum to 1

BLEND_STEP = 0.1
STRENGTH_STEP = 0.1
WEIGHTS = (1e-6, 1e6)  # of a style in a mix; with wider ones a share could come out as 0
MOST_REGIONS = 32  # each takes memory, and a mix of its own a run of the bank
UNPAINTED = "none"  # in the place of a style, at the start of a run: nothing but a look
SHAPES = ("left", "right", "top", "bottom", "circle")  # masks that need no file; four fractions x,y,w,h are another


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the picture in styles of its own, laid over what is listed before it.

    ``mask`` is one of `SHAPES`, a rectangle ``x,y,w,h`` in fractions of the picture, or the name of a mask that was
    given at the start. ``share`` in [0, 1] is how far it covers what is below.
    """

    mask: str
    mix: Mix
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Controls:
    """The state that the user steers. ``mix`` holds the styles in use; one entry of weight 1 is a plain style.

    ``regions`` lie over it in their order. ``strength`` in [0, 1] mixes the painting with the auto-encoded picture,
    ``morph`` is how many seconds another choice of styles takes to show in full, ``keep_colors`` gives the painting the
    colours of its source. ``look`` names the colour look that is laid over all, "" for none. ``coherence`` turns the
    motion stage on, ``paused`` freezes the source picture (switching styles still repaints it), ``bypass`` passes
    frames unpainted, though in their look.
    ``snapshots`` counts the pictures asked for, ``masks`` the changes of masks that are drawn while the stream runs;
    ``stopping`` ends the session.
    """

    mix: Mix
    regions: tuple[Region, ...] = ()
    strength: float = 1.0
    morph: float = 0.0
    keep_colors: bool = False
    look: str = ""
    coherence: bool = True
    paused: bool = False
    bypass: bool = False
    snapshots: int = 0
    masks: int = 0
    stopping: bool = False

    @property
    def style(self) -> str:
        """The style of the largest weight."""
        return max(self.mix, key=lambda entry: entry[1])[0]

    @property
    def styles(self) -> set[str]:
        """Every style that is in use somewhere."""
        return {style for mix in (self.mix, *(region.mix for region in self.regions)) for style, _ in mix}


class PresetStore(Protocol):
    """Where named sets of controls are kept (`livestyle.presets.Presets`). Every method may raise `ConfigError`."""

    def names(self) -> list[str]:
        """The presets at this moment, sorted."""

    def recall(self, name: str, controls: Controls, board: "ControlBoard") -> Controls:
        """``controls`` with what the preset holds."""

    def save(self, name: str, controls: Controls) -> None:
        """Keep what of ``controls`` belongs into a preset; one of that name is replaced."""

    def delete(self, name: str) -> None:
        """Remove a preset."""


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
        if not WEIGHTS[0] <= weight <= WEIGHTS[1]:
            raise ConfigError(f"weight {weight_text!r} in {text!r} must be above 0, {WEIGHTS[0]:f} to {WEIGHTS[1]:.0f}")
        name = find_name(name, styles, "style")
        entries[name] = entries.get(name, 0.0) + weight
    total = sum(entries.values())
    return tuple((name, weight / total) for name, weight in entries.items())


def format_mix(mix: Mix) -> str:
    """The text that `parse_mix` reads back, for people: ``udnie`` or ``udnie:0.70,scream:0.30``."""
    if len(mix) == 1:
        return mix[0][0]
    return ",".join(f"{name}:{weight:.2f}" for name, weight in mix)


def format_regions(regions: Iterable[Region]) -> str:
    """Regions for people: ``left=udnie circle=scream``, or ``off``."""
    return " ".join(f"{region.mask}={format_mix(region.mix)}" for region in regions) or "off"


def parse_region(text: str, styles: Sequence[str], masks: Sequence[str] = ()) -> Region:
    """Read ``MASK=STYLE``, the style perhaps a mix, where ``masks`` are known beside `SHAPES`. Raises `ConfigError`."""
    mask, equals, style = text.rpartition("=")
    if not equals:
        raise ConfigError(f"region {text!r} is not of the form MASK=STYLE, such as left=NAME")
    return Region(find_mask(mask, masks), parse_mix(style, styles))


def find_mask(name: str, masks: Sequence[str] = ()) -> str:
    """The mask that ``name`` names: one of ``masks``, a shape, or a rectangle. Raises `ConfigError`."""
    if name in masks:
        return name
    plain = "".join(name.split())  # `float` takes every kind of space
    if read_rectangle(plain) is not None:
        return plain
    return find_name(plain, (*SHAPES, *masks), "mask (or rectangle x,y,w,h)")


def read_rectangle(text: str) -> tuple[float, float, float, float] | None:
    """(x, y, width, height) in fractions of the picture; None for another word.

    Raises `ConfigError` for a rectangle that leaves the picture or is empty.
    """
    try:
        x, y, width, height = map(float, text.split(","))
    except ValueError:
        return None
    if not (0.0 <= x <= 1.0 and 0.0 <= y <= 1.0 and 0.0 < width <= 1.001 - x and 0.0 < height <= 1.001 - y):
        raise ConfigError(f"rectangle {text!r} leaves the picture or is empty: x,y,w,h are fractions from 0 to 1")
    return x, y, width, height


def add_region(regions: tuple[Region, ...], region: Region) -> tuple[Region, ...]:
    """``regions`` with one more on top; one of the same mask is replaced where it lies.

    Raises `ConfigError` when there are `MOST_REGIONS` already.
    """
    if any(other.mask == region.mask for other in regions):
        return tuple(region if other.mask == region.mask else other for other in regions)
    if len(regions) >= MOST_REGIONS:
        raise ConfigError(f"there are {MOST_REGIONS} regions already: take one away first")
    return (*regions, region)


def _shift_mix(controls: Controls, board: "ControlBoard", step: float) -> Controls:
    return replace(controls, mix=shift_blend(controls.mix, controls.style, board.styles, step))


def _choose_style(controls: Controls, styles: Sequence[str], argument: str) -> Controls:
    if argument.isdecimal():
        number = int(argument[:9])  # Python refuses to read thousands of digits
        if len(argument) > 9 or not 1 <= number <= len(styles):
            raise ConfigError(f"there is no style number {argument}: give 1 to {len(styles)}")
        return replace(controls, mix=((styles[number - 1], 1.0),))
    return replace(controls, mix=parse_mix(argument, styles))


def _change_region(controls: Controls, board: "ControlBoard", argument: str) -> Controls:
    if argument == "off":
        return replace(controls, regions=())
    mask, equals, style = argument.rpartition("=")
    if equals and style.strip() == "off":
        mask = find_mask(mask, board.masks)
        return replace(controls, regions=tuple(region for region in controls.regions if region.mask != mask))
    region = parse_region(argument, board.styles, board.masks)
    return replace(controls, regions=add_region(controls.regions, region))


def _choose_look(controls: Controls, board: "ControlBoard", argument: str) -> Controls:
    look = "" if argument == "off" else find_name(argument, (*board.looks, "off"), "look")
    return replace(controls, look=look)


def _save_preset(controls: Controls, board: "ControlBoard", name: str) -> Controls:
    board.presets.save(name, controls)
    return controls


def _delete_preset(controls: Controls, board: "ControlBoard", name: str) -> Controls:
    board.presets.delete(name)
    return controls


def _change_strength(controls: Controls, step: float) -> Controls:
    return replace(controls, strength=round(min(1.0, max(0.0, controls.strength + step)), 3))


@dataclass(frozen=True, slots=True)
class Command:
    """One thing that a user can ask for: what it does, the keys that ask for it, and what it makes of the controls.

    ``keys`` are names as the terminal front end reports them; ``argument`` names the argument, "" when there is none.
    """

    summary: str
    apply: Callable[[Controls, "ControlBoard", str], Controls]
    keys: tuple[str, ...] = ()
    argument: str = ""


COMMANDS: dict[str, Command] = {
    "style": Command(
        "paint in a style (name or number) or a mix such as a:0.5,b:0.5",
        lambda c, b, a: _choose_style(c, b.styles, a),
        tuple("123456789"),
        "NAME",
    ),
    "next": Command("next style", lambda c, b, _: replace(c, mix=step_style(c.style, b.styles, 1)), ("n",)),
    "previous": Command("previous style", lambda c, b, _: replace(c, mix=step_style(c.style, b.styles, -1)), ("p",)),
    "blend-more": Command("blend towards the next style", lambda c, b, _: _shift_mix(c, b, BLEND_STEP), ("right",)),
    "blend-less": Command("blend back to the previous", lambda c, b, _: _shift_mix(c, b, -BLEND_STEP), ("left",)),
    "region": Command(
        "another style in a part: left=NAME, person=NAME, x,y,w,h=NAME; left=off or off ends it",
        _change_region,
        (),
        "MASK=STYLE",
    ),
    "morph": Command(
        "seconds that one style takes to become the next, 0 for at once",
        lambda c, _, a: replace(c, morph=read_seconds(a)),
        (),
        "SECONDS",
    ),
    "strength": Command(
        "how much of the painting shows, 0 to 1",
        lambda c, _, a: replace(c, strength=read_fraction(a, "strength")),
        (),
        "0..1",
    ),
    "stronger": Command("more of the painting", lambda c, _, __: _change_strength(c, STRENGTH_STEP), ("up",)),
    "weaker": Command("less of the painting", lambda c, _, __: _change_strength(c, -STRENGTH_STEP), ("down",)),
    "keep-colors": Command(
        "paint in the colours of the source: on, off or toggle",
        lambda c, _, a: replace(c, keep_colors=read_switch(a, c.keep_colors)),
        ("k",),
        "[on|off]",
    ),
    "look": Command("lay a colour look over the picture, or off", _choose_look, (), "NAME|off"),
    "coherence": Command(
        "steady video across frames: on, off or toggle",
        lambda c, _, a: replace(c, coherence=read_switch(a, c.coherence)),
        ("c",),
        "[on|off]",
    ),
    "freeze": Command(
        "hold the picture; styles still change on it",
        lambda c, _, a: replace(c, paused=read_switch(a, c.paused)),
        ("space",),
        "[on|off]",
    ),
    "bypass": Command(
        "show the source unpainted",
        lambda c, _, a: replace(c, bypass=read_switch(a, c.bypass)),
        ("b",),
        "[on|off]",
    ),
    "snapshot": Command(
        "save the painted picture as PNG", lambda c, _, __: replace(c, snapshots=c.snapshots + 1), ("s",)
    ),
    "preset": Command(
        "take up a set of controls that was saved", lambda c, b, a: b.presets.recall(a, c, b), (), "NAME"
    ),
    "save-preset": Command("keep the controls of this moment under a name", _save_preset, (), "NAME"),
    "delete-preset": Command("forget a preset", _delete_preset, (), "NAME"),
    "quit": Command("stop", lambda c, _, __: replace(c, stopping=True), ("q", "ctrl-c")),
}


def read_command(text: str) -> tuple[str, str]:
    """Split a command line into name and argument. Raises `ConfigError` unless the command exists and may take it."""
    name, _, argument = text.strip().partition(" ")
    command = COMMANDS[find_name(name, COMMANDS, "command")]
    argument = argument.strip()
    if argument and not command.argument:
        raise ConfigError(f"command {name!r} takes no argument")
    if not argument and command.argument and not command.argument.startswith("["):
        raise ConfigError(f"command {name!r} needs an argument: {command.argument}")
    return name, argument


class ControlBoard:
    """Holds the one current `Controls` value; any thread reads it and any thread may replace it."""

    def __init__(
        self,
        controls: Controls,
        styles: Sequence[str] | Callable[[], Sequence[str]],
        masks: Sequence[str] = (),
        looks: Callable[[], Sequence[str]] = tuple,
        presets: "PresetStore | None" = None,
    ) -> None:
        """``styles`` is the order that numbers and arrows walk through; every style of ``controls`` is in it.

        It is what gives them where they may come and go while a stream runs.
        ``masks`` are names of masks that regions may use beside `SHAPES` and rectangles, ``looks`` gives the names of
        colour looks, ``presets`` is where presets are kept.
        """
        self._lock = threading.Lock()
        self._controls = controls
        self._list = styles if callable(styles) else lambda: styles
        self._list_looks = looks
        self._presets = presets
        self.masks: Sequence[str] = tuple(masks)

    @property
    def controls(self) -> Controls:
        """The newest value."""
        return self._controls

    @property
    def styles(self) -> Sequence[str]:
        """The styles at this moment; one in use that was removed stays until it is left."""
        known = tuple(self._list())
        return known + tuple(sorted(self._controls.styles - set(known)))

    @property
    def looks(self) -> Sequence[str]:
        """The colour looks at this moment."""
        return self._list_looks()

    @property
    def presets(self) -> PresetStore:
        """Where presets are kept. Raises `ConfigError` where there is no such place."""
        if self._presets is None:
            raise ConfigError("there is no place for presets here")
        return self._presets

    def list_presets(self) -> list[str]:
        """The presets at this moment, none where they have no place."""
        return [] if self._presets is None else self._presets.names()

    def run(self, text: str) -> Controls:
        """Apply a command line such as ``style udnie`` and return the new value. Raises `ConfigError`."""
        name, argument = read_command(text)
        with self._lock:
            self._controls = COMMANDS[name].apply(self._controls, self, argument)
            return self._controls

    def restore(self, controls: Controls) -> None:
        """Go back to an earlier value; the pictures that were asked for stay so, and a stop too."""
        with self._lock:
            now = self._controls
            self._controls = replace(controls, snapshots=now.snapshots, stopping=now.stopping)

    def press(self, key: str) -> Controls | None:
        """Apply the command of a key (a name in `Command.keys`); None if no command has that key."""
        for name, command in COMMANDS.items():
            if key in command.keys:
                if name == "style" and int(key) > len(self.styles):
                    return None
                return self.run(f"{name} {key}" if name == "style" else name)
        return None

    def tell_mask(self) -> None:
        """A mask was drawn anew: regions that use it are painted again, even where the picture is frozen."""
        with self._lock:
            self._controls = replace(self._controls, masks=self._controls.masks + 1)
