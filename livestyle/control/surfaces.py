"""What may steer a run beside the page and the terminal, when asked for: global hotkeys, OSC, MIDI."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from livestyle.config import LiveConfig
from livestyle.control.combos import Combo, plan_hotkeys
from livestyle.control.hotkeys import Hotkeys, import_keyboard
from livestyle.control.midi import AUTO, Control, MidiInput, Target, list_controllers, plan_midi
from livestyle.control.osc import OscServer, import_osc, parse_address
from livestyle.controls import ControlBoard
from livestyle.errors import ConfigError


@dataclass(frozen=True, slots=True)
class SurfacePlan:
    """The wanted ones, checked; None for one that is not wanted. ``osc`` is host and port, ``midi`` a port's name."""

    hotkeys: Mapping[Combo, str] | None
    osc: tuple[str, int] | None
    midi: str | None
    midi_map: Mapping[Control, Target]


def plan_surfaces(config: LiveConfig) -> SurfacePlan:
    """What the configuration asks for. Raises `ConfigError` for what is wrong in it."""
    return SurfacePlan(
        hotkeys=None if config.hotkeys is None else plan_hotkeys(config.hotkeys),
        osc=None if config.osc is None else parse_address(str(config.osc)),
        midi=config.midi or (AUTO if config.midi_map else None),
        midi_map=plan_midi(config.midi_map),
    )


@contextlib.contextmanager
def open_surfaces(plan: SurfacePlan, board: ControlBoard, say: Callable[[str], None]) -> Iterator[None]:
    """Open what is planned, and close it at the end. One that this computer cannot have is told and left out."""
    with contextlib.ExitStack() as stack:
        if plan.hotkeys is not None:
            with _doing_without("hotkeys", say):
                stack.enter_context(Hotkeys(board, plan.hotkeys, say))
                say("hotkeys are on in every program; 'livestyle ctl --list' shows the usual ones")
        if plan.osc is not None:
            with _doing_without("OSC", say):
                server = stack.enter_context(OscServer(board, *plan.osc, say))
                say(f"OSC: {server.address} takes /livestyle/COMMAND")
        if plan.midi is not None:
            with _doing_without("MIDI", say):
                stack.enter_context(MidiInput(board, plan.midi, plan.midi_map, say))
        yield


@contextlib.contextmanager
def _doing_without(name: str, say: Callable[[str], None]) -> Iterator[None]:
    """The stream goes on: it matters more than a way to steer it."""
    try:
        yield
    except ConfigError as error:
        say(f"without {name}: {error}")


def describe_surfaces() -> list[tuple[str, bool, str]]:
    """(name, whether it can be used here, why or why not) of each."""
    return [
        _describe("hotkeys", import_keyboard, "--hotkeys: Ctrl+Alt with a key, in any program"),
        _describe("osc", import_osc, "--osc PORT"),
        _describe("midi", list_controllers, "--midi auto, or a controller's name"),
    ]


def _describe(name: str, look: Callable[[], object], how: str) -> tuple[str, bool, str]:
    try:
        found = look()
    except ConfigError as error:
        return name, False, str(error)
    return name, True, f"{how} ({', '.join(found)})" if isinstance(found, list) and found else how
