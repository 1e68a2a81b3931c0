"""What is wrong with the messages of a machine, told to people without a flood."""

import threading
import time
from collections.abc import Callable

PAUSE = 5.0  # s between two lines
LONGEST = 200  # characters of a line


class Complaints:
    """Passes on at most one line in `PAUSE` seconds, and how many it left out. Any thread may complain."""

    def __init__(self, name: str, on_message: Callable[[str], None]) -> None:
        """``name`` begins each line."""
        self._name = name
        self._on_message = on_message
        self._lock = threading.Lock()
        self._quiet_until = 0.0
        self._left_out = 0

    def tell(self, line: str) -> None:
        """Tell people, or count."""
        with self._lock:
            now = time.monotonic()
            if now < self._quiet_until:
                self._left_out += 1
                return
            self._quiet_until = now + PAUSE
            left_out, self._left_out = self._left_out, 0
        text = "".join(char if char.isprintable() else "?" for char in line[:LONGEST])
        self._on_message(f"{self._name}: {text}" + (f" (and {left_out} more before)" if left_out else ""))
