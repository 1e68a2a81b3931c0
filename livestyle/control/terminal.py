"""Single keys from a POSIX terminal or a Windows console, by the names that `Command.keys` uses."""

import contextlib
import os
import select
import sys
import threading
import time
from typing import Protocol, TextIO

REST_OF_ESCAPE = 0.05  # s that the rest of an arrow's escape sequence may take (a slow ssh)

# "\x1b[A" in normal and "\x1bOA" in application mode: https://invisible-island.net/xterm/ctlseqs/ctlseqs.html
ARROWS = {"A": "up", "B": "down", "C": "right", "D": "left"}
# msvcrt gives a prefix of NUL or 0xE0 and then one of these.
WINDOWS_ARROWS = {"H": "up", "P": "down", "M": "right", "K": "left"}
NAMED = {" ": "space", "\x03": "ctrl-c"}


class Keyboard(Protocol):
    """Where single keys come from. One thread reads; any thread may wake and restore."""

    def read(self, timeout: float) -> list[str] | None:
        """Keys pressed within ``timeout`` seconds, perhaps none; None when no more can come."""

    def wake(self) -> None:
        """Make a blocked `read` return."""

    def restore(self) -> None:
        """Give the terminal its settings back for good. Any number of times."""

    def close(self) -> None:
        """Release what `wake` needs, once the reading thread has ended."""


def open_keyboard(stream: TextIO) -> Keyboard:
    """The keyboard of the terminal that ``stream`` is."""
    if sys.platform == "win32":
        return WindowsConsole()
    else:
        return PosixTerminal(stream.fileno())


def decode_keys(text: str) -> tuple[list[str], str]:
    """Names of the keys in what a POSIX terminal sent, and an unfinished escape sequence for the next call.

    Letters come in lower case (Caps Lock), arrows as left, right, up, down; other escape sequences are left out.
    """
    keys: list[str] = []
    while text:
        if text[0] != "\x1b":
            keys.append(NAMED.get(text[0], text[0].lower()))
            text = text[1:]
            continue
        if len(text) < 2:
            return keys, text
        if text[1] not in "[O":  # Alt with a key, or Escape and then a key
            text = text[2:]
            continue
        end = next((i for i, char in enumerate(text[2:], 2) if "@" <= char <= "~"), None)
        if end is None:
            return keys, text
        if end == 2 and text[2] in ARROWS:
            keys.append(ARROWS[text[2]])
        text = text[end + 1 :]
    return keys, ""


if sys.platform == "win32":
    import msvcrt

    class WindowsConsole:
        """The console that this program runs in. msvcrt has no wait, so it is asked thirty times a second."""

        def read(self, timeout: float) -> list[str] | None:
            deadline = time.monotonic() + timeout
            while not msvcrt.kbhit():
                if time.monotonic() >= deadline:
                    return []
                time.sleep(0.03)
            char = msvcrt.getwch()
            if char in "\x00\xe0":
                return [WINDOWS_ARROWS.get(msvcrt.getwch(), "")]
            return [NAMED.get(char, char.lower())]

        def wake(self) -> None:
            """`read` returns by itself."""

        def restore(self) -> None:
            """msvcrt changes no settings."""

        def close(self) -> None:
            """Nothing is held."""

else:
    import termios
    import tty

    class PosixTerminal:
        """A terminal that gives single keys without echo while this program is in the foreground.

        In the background it is left alone: reading it or changing it there stops the program (SIGTTIN, SIGTTOU).
        """

        def __init__(self, fd: int) -> None:
            self._fd = fd
            self._wake_read, self._wake_write = os.pipe()
            self._lock = threading.Lock()
            self._saved: list[int | list[bytes | int]] | None = None
            self._is_released = False
            self._pending = ""

        def read(self, timeout: float) -> list[str] | None:
            is_ours = self._take()
            watched = [self._fd, self._wake_read] if is_ours else [self._wake_read]
            ready, _, _ = select.select(watched, [], [], REST_OF_ESCAPE if self._pending else timeout)
            if self._fd not in ready:
                self._pending = ""  # the Escape key alone
                return []
            try:
                data = os.read(self._fd, 1024)
            except OSError:
                return None  # the terminal was closed
            if not data:
                return None
            keys, self._pending = decode_keys(self._pending + data.decode(errors="ignore"))
            return keys

        def wake(self) -> None:
            os.write(self._wake_write, b"x")

        def restore(self) -> None:
            with self._lock:
                self._is_released = True
                if self._saved is None or not self._is_foreground():
                    return
                with contextlib.suppress(termios.error):  # the terminal was closed
                    termios.tcsetattr(self._fd, termios.TCSANOW, self._saved)
                self._saved = None

        def close(self) -> None:
            os.close(self._wake_read)
            os.close(self._wake_write)

        def _take(self) -> bool:
            """Make sure that keys come one by one; False in the background or after `restore`.

            Asked before each read, because a shell puts its own settings back when the program is suspended.
            """
            with self._lock:
                if self._is_released or not self._is_foreground():
                    return False
                with contextlib.suppress(termios.error):  # the terminal was closed: the read that follows finds out
                    settings = termios.tcgetattr(self._fd)
                    if settings[3] & termios.ICANON:
                        self._saved = self._saved or settings
                        tty.setcbreak(self._fd, termios.TCSANOW)
                return True

        def _is_foreground(self) -> bool:
            try:
                return os.tcgetpgrp(self._fd) == os.getpgrp()
            except OSError:
                return True  # not this program's controlling terminal: no job control to respect
