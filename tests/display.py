"""An X server without a screen, and a keyboard for it."""

import os
import subprocess
from types import TracebackType


class Display:
    """Xvfb on a display number of its own; `press` types as xdotool does."""

    def __init__(self) -> None:
        read_end, write_end = os.pipe()
        self.process = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write_end), "-screen", "0", "320x240x24", "-nolisten", "tcp"],
            pass_fds=[write_end],
            stderr=subprocess.DEVNULL,
        )
        os.close(write_end)
        with os.fdopen(read_end) as numbers:
            self.name = f":{numbers.readline().strip()}"
        assert self.name != ":", "Xvfb does not start"

    def press(self, *words: str) -> None:
        """``key ctrl+alt+n``, ``keydown n`` …: the arguments of xdotool."""
        subprocess.run(["xdotool", *words], env={**os.environ, "DISPLAY": self.name}, check=True, timeout=30)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    def __enter__(self) -> "Display":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
