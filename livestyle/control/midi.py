"""Commands from a MIDI controller, by mido and python-rtmidi: keys, pads and buttons ask for them, knobs set values.

The map goes from control to command line: ``note 36`` (a key or pad) or ``cc 7`` (a knob, fader or button) on any
channel. A value of the form LOW..HIGH in the command stands for where the control is: ``"cc 7" = "strength 0..1"``,
``"cc 8" = "morph 0..5"``. Without one, a press asks for the command: a note that begins, a controller that comes from
below the middle to above it.
"""

import re
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from livestyle.control.complaints import Complaints
from livestyle.controls import ControlBoard, find_name, read_command
from livestyle.errors import ConfigError

FULL = 127  # what a control sends at its end
MIDDLE = 64
LOOK = 2.0  # s between looks at whether the controller is still plugged in, or again
AUTO = "auto"
RTMIDI = "mido.backends.rtmidi"
SEQUENCER = Path("/dev/snd/seq")
NUMBER = r"[+-]?\d+(?:\.\d+)?"
RANGE = re.compile(rf"(?P<low>{NUMBER})\.\.(?P<high>{NUMBER})")

Control = tuple[str, int]  # ("note" or "cc", its number from 0 to 127)


@dataclass(frozen=True, slots=True)
class Target:
    """What a control does: a command line, which a ``span`` (at 0, at 127) completes with a value."""

    line: str
    span: tuple[float, float] | None

    def at(self, value: int) -> str:
        """The command line for a control at ``value``, 0..127."""
        if self.span is None:
            return self.line
        low, high = self.span
        return f"{self.line} {low + (high - low) * value / FULL:.6g}"


def plan_midi(table: Mapping[str, str]) -> dict[Control, Target]:
    """Controls and what they do. Raises `ConfigError` for what is no control or no command."""
    plan: dict[Control, Target] = {}
    for name, text in table.items():
        try:
            control = _read_control(name)
            if control in plan:
                raise ConfigError(f"{name!r} is there twice")
            plan[control] = _read_target(text)
        except ConfigError as error:
            raise ConfigError(f"midi_map: {error}") from None
    return plan


def list_controllers() -> list[str]:
    """Names of the inputs that are there. Raises `ConfigError` where there is no MIDI."""
    try:
        import mido

        if mido.backend.name == RTMIDI and sys.platform == "linux" and not SEQUENCER.exists():
            raise ConfigError(f"there is no {SEQUENCER}: sudo modprobe snd-seq")  # ALSA would write to stderr itself
        return list(mido.get_input_names())
    except ImportError:
        raise ConfigError("mido or python-rtmidi is not installed: pip install 'livestyle[surfaces]'") from None
    except OSError as error:
        raise ConfigError(f"this system has no MIDI ({' '.join(str(error).split())})") from None


class MidiInput:
    """Listens to one controller until `close`; it may be plugged in late, pulled out and plugged in again."""

    def __init__(
        self, board: ControlBoard, port: str, plan: Mapping[Control, Target], on_message: Callable[[str], None]
    ) -> None:
        """``port`` is a part of its name, `AUTO` for the first that is no loop of the system's own.

        ``on_message`` gets when it comes and goes, and what is wrong. Raises `ConfigError` where there is no MIDI.
        """
        names = list_controllers()
        import mido

        self._mido: Any = mido
        self._board = board
        self._wanted = port
        self._plan = plan
        self._on_message = on_message
        self._complaints = Complaints("MIDI", on_message)
        self._values: dict[Control, int] = {}
        self._stop = threading.Event()
        if self._pick(names) is None:
            what = "" if port == AUTO else f" named like {port!r} among: {', '.join(names) or 'none'}"
            on_message(f"MIDI: no controller yet{what}; it is taken up when it is plugged in")
        self._thread = threading.Thread(target=self._run, name="midi", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more. May be called twice."""
        self._stop.set()
        self._thread.join(2.0)

    def __enter__(self) -> "MidiInput":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _pick(self, names: list[str]) -> str | None:
        if self._wanted == AUTO:
            return next((name for name in names if not name.lower().startswith("midi through")), None)
        return next((name for name in names if self._wanted.lower() in name.lower()), None)

    def _run(self) -> None:
        """Open the port when it is there, close it when it is gone."""
        port: Any = None
        while not self._stop.is_set():
            try:
                names = list(self._mido.get_input_names())
                if port is not None and port.name not in names:
                    self._on_message(f"MIDI: {port.name} is gone; it is taken up again when it comes back")
                    port.close()
                    port = None
                if port is None and (name := self._pick(names)) is not None:
                    port = self._mido.open_input(name, callback=self._hear)
                    self._on_message(f"MIDI: {name}")
            except OSError as error:
                self._complaints.tell(str(error))
            self._stop.wait(LOOK)
        if port is not None:
            port.close()

    # On the MIDI library's thread.

    def _hear(self, message: Any) -> None:
        if message.type == "control_change":
            control, value = ("cc", message.control), message.value
        elif message.type in ("note_on", "note_off"):
            control, value = ("note", message.note), message.velocity if message.type == "note_on" else 0
        else:
            return  # clocks, pitch bend, program changes
        before, self._values[control] = self._values.get(control, 0), value
        target = self._plan.get(control)
        if target is None:
            if value:
                name = f'"{control[0]} {control[1]}"'
                self._complaints.tell(f"{name} does nothing: [midi_map] of the --config file may give it a command")
            return
        pressed = value > 0 if control[0] == "note" else before < MIDDLE <= value
        if not pressed and (target.span is None or control[0] == "note"):
            return
        try:
            self._board.run(target.at(value))
        except ConfigError as error:
            self._complaints.tell(str(error))


def _read_control(name: str) -> Control:
    kind, _, number = name.strip().lower().partition(" ")
    find_name(kind, ("note", "cc"), f"control in {name!r}:")
    if not number.strip().isdecimal() or len(number) > 9 or int(number) > FULL:
        raise ConfigError(f"{name!r} names no control: write it as note 36 or cc 7, from 0 to {FULL}")
    return kind, int(number)


def _read_target(text: str) -> Target:
    name, argument = read_command(text)
    span = RANGE.fullmatch(argument)
    if span is None:
        return Target(f"{name} {argument}".strip(), None)
    return Target(name, (float(span["low"]), float(span["high"])))
