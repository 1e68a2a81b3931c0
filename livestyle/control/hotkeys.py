"""Global hotkeys: combinations of keys that ask for commands while any other program has the focus, by pynput.

pynput hears every key that is pressed. Of each only the modifiers held now are remembered, nothing is kept or logged.
It needs X11, Windows or macOS; importing it fails without a display.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from livestyle.control.combos import MODIFIERS, NAMED, Combo
from livestyle.control.state import describe_change
from livestyle.controls import ControlBoard
from livestyle.errors import ConfigError

FORGOTTEN = 10.0  # s until a modifier counts as up: while the screen is locked nobody hears that it is released
STOPPING = 2.0  # s that the listener may take to be told
INSTEAD = "bind 'livestyle ctl COMMAND' to a shortcut in your desktop's own keyboard settings instead"


class Hotkeys:
    """Gives the commands of ``plan`` to the board as their keys are pressed, until `close`.

    A key that is held fires once. With more modifiers than the combination names, nothing is fired.
    """

    def __init__(self, board: ControlBoard, plan: Mapping[Combo, str], on_message: Callable[[str], None]) -> None:
        """``on_message`` gets a line for each hotkey that changed something or failed, on the listener's thread.

        Raises `ConfigError` where there can be no hotkeys: pynput is missing, Wayland, no display.
        """
        keyboard = import_keyboard()
        self._board = board
        self._on_message = on_message
        self._modifiers: dict[Any, str] = {}  # pynput's key -> name
        self._held: dict[str, float] = {}  # modifier -> when it was last known to be down
        self._down: set[Any] = set()  # keys that have fired and are not up again
        self._lines: dict[tuple[frozenset[str], Any], str] = {}
        self._closing = False
        self._listener = keyboard.Listener(on_press=self._press, on_release=self._release)
        for name in MODIFIERS:
            self._modifiers[self._key(keyboard, "cmd" if name == "super" else name)] = name
        for combo, line in plan.items():
            self._lines[combo.modifiers, self._key(keyboard, combo.key)] = line
        self._thread = threading.Thread(target=self._run, name="hotkeys", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ask for no more commands. May be called twice.

        Under X11 pynput's thread sleeps on until the next key, which it no longer passes on.
        """
        if self._closing:
            return
        self._closing = True
        # on a thread: with a display that hangs it would not come back
        stopper = threading.Thread(target=self._stop, name="hotkeys-stop", daemon=True)
        stopper.start()
        stopper.join(STOPPING)

    def __enter__(self) -> "Hotkeys":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _key(self, keyboard: Any, name: str) -> Any:
        """pynput's key of a name, as `_press` will see it."""
        named = getattr(keyboard.Key, name, None) if name in NAMED or len(name) > 1 else None
        return self._listener.canonical(keyboard.KeyCode.from_char(name) if named is None else named)

    def _stop(self) -> None:
        with contextlib.suppress(Exception):  # the display has gone already
            self._listener.stop()

    # On the listener's thread.

    def _run(self) -> None:
        try:
            self._listener.run()  # a Thread of pynput's own; here its failure does not go unseen
        except Exception as error:  # whatever the display server's library raises when it goes away
            if not self._closing:
                self._on_message(f"hotkeys are gone, the display does not answer ({type(error).__name__})")
            return
        if not self._closing:
            self._on_message("hotkeys are gone, the display was closed")

    def _press(self, raw: Any) -> None:
        if raw is None or self._closing:  # None: a key that the keyboard's table does not have
            return
        key = self._listener.canonical(raw)
        now = time.monotonic()
        if key in self._modifiers:
            self._held[self._modifiers[key]] = now
            return
        held = frozenset(name for name, seen in self._held.items() if now - seen < FORGOTTEN)
        line = self._lines.get((held, key))
        if line is None or key in self._down:
            return
        self._down.add(key)
        self._held = dict.fromkeys(held, now)
        before = self._board.controls
        try:
            message = describe_change(before, self._board.run(line))
        except ConfigError as error:
            message = str(error)
        if message:
            self._on_message(message)

    def _release(self, raw: Any) -> None:
        if raw is None:
            return
        key = self._listener.canonical(raw)
        if key in self._modifiers:
            self._held.pop(self._modifiers[key], None)
            self._down.clear()  # with Shift a key goes up as another than it went down
        self._down.discard(key)


def import_keyboard() -> Any:
    """pynput's module. Raises `ConfigError` with what can be done instead."""
    if sys.platform not in ("win32", "darwin") and (
        os.environ.get("XDG_SESSION_TYPE") == "wayland" or os.environ.get("WAYLAND_DISPLAY")
    ):
        raise ConfigError(f"Wayland gives no program the keys of another: {INSTEAD}")
    try:
        import pynput
    except ImportError as error:
        if error.name == "pynput":
            raise ConfigError("pynput is not installed: pip install 'livestyle[hotkeys]'") from None
        raise ConfigError(f"there is no X11 display: {INSTEAD}") from None
    return pynput.keyboard
