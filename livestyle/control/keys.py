"""Keys pressed in the terminal, read in a thread and given to the board. Nothing happens when stdin is no terminal."""

import atexit
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from livestyle.control.state import describe_change
from livestyle.control.terminal import Keyboard, open_keyboard
from livestyle.controls import COMMANDS, ControlBoard
from livestyle.errors import ConfigError

TICK = 0.5  # s between looks at whether the program still is in the foreground
LABELS = {"left": "←", "right": "→", "up": "↑", "down": "↓"}


def keys_help() -> str:
    """What each key does, one command a line, from the `COMMANDS` table."""
    rows: list[tuple[str, str]] = []
    for command in COMMANDS.values():
        if not command.keys:
            continue
        keys = [LABELS.get(key, key) for key in command.keys]
        label = f"{keys[0]}-{keys[-1]}" if len(keys) > 3 else ", ".join(keys)
        rows.append((label, command.summary))
    width = max(len(label) for label, _ in rows)
    return "\n".join(f"{label:<{width}}  {summary}" for label, summary in rows)


class TerminalKeys:
    """Reads single keys until `close`; the terminal gets its settings back there, at the latest when Python exits.

    Ctrl-C stays the terminal's own signal. A program in the background leaves the terminal alone and takes it up
    again when it comes to the front.
    """

    def __init__(
        self, board: ControlBoard, on_message: Callable[[str], None] | None = None, stream: TextIO | None = None
    ) -> None:
        """``stream`` is stdin unless given. ``on_message`` gets one line for each key that changed something or
        failed; it is called on the reading thread."""
        self._board = board
        self._on_message = on_message
        self._stop = threading.Event()
        self._keyboard: Keyboard | None = None
        stream = sys.stdin if stream is None else stream
        if stream is None or stream.closed or not stream.isatty():
            return
        self._keyboard = open_keyboard(stream)
        atexit.register(self._keyboard.restore)
        self._thread = threading.Thread(target=self._run, args=(self._keyboard,), name="keys", daemon=True)
        self._thread.start()

    @property
    def active(self) -> bool:
        """Whether there is a terminal to read keys from."""
        return self._keyboard is not None

    def close(self) -> None:
        """End the thread and restore the terminal. May be called twice."""
        if self._keyboard is None or self._stop.is_set():
            return
        self._stop.set()
        self._keyboard.wake()
        self._thread.join(2.0)
        self._keyboard.restore()
        atexit.unregister(self._keyboard.restore)
        if not self._thread.is_alive():
            self._keyboard.close()

    def __enter__(self) -> "TerminalKeys":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, keyboard: Keyboard) -> None:
        try:
            while not self._stop.is_set():
                keys = keyboard.read(TICK)
                if keys is None:
                    return
                for key in keys:
                    self._press(key)
        finally:
            keyboard.restore()

    def _press(self, key: str) -> None:
        before = self._board.controls
        try:
            after = self._board.press(key)
        except ConfigError as error:
            message = str(error)
        else:
            message = describe_change(before, after) if after is not None else ""
        if message and self._on_message is not None:
            self._on_message(message)
