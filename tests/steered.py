"""A real ``livestyle live`` in a process of its own, steered from outside and asked by ``ctl``."""

import contextlib
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from livestyle.control.ctl import send_command

BOUND = 120.0  # s, hang bound on a busy machine


class Steered:
    """Paints the scene for nobody, small. Its lines are in `lines`; it must end well."""

    def __init__(self, folder: Path, *arguments: str, **surroundings: str) -> None:
        """``folder`` is its own, for the socket of ``ctl``."""
        self.folder = folder
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("DISPLAY", "WAYLAND_DISPLAY", "XDG_SESSION_TYPE")
        }
        program = ("live", "--source", "scene", "--sink", "null", "--size", "64x48", "--fps", "10")
        program += ("--snapshots", str(folder))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "livestyle", *program, *arguments],
            env={**environment, "XDG_RUNTIME_DIR": str(folder), **surroundings},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self._news: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, name="reader", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            self._news.put(line)
        self._news.put("")

    def wait_line(self, part: str) -> str:
        """The next line that has ``part`` in it."""
        with contextlib.suppress(queue.Empty):
            while line := self._news.get(timeout=BOUND):
                if part in line:
                    return line
        raise AssertionError(f"no {part!r} in:\n{''.join(self.lines)}")

    @property
    def path(self) -> Path:
        """Its endpoint."""
        return self.folder / "livestyle" / f"ctl-{self.process.pid}.sock"

    def state(self) -> dict[str, Any]:
        return send_command("state", self.path)

    def controls(self) -> dict[str, Any]:
        controls = self.state()["controls"]
        assert isinstance(controls, dict)
        return controls

    def wait_controls(
        self, check: Callable[[dict[str, Any]], bool], nudge: Callable[[], object] = int
    ) -> dict[str, Any]:
        """The controls once ``check`` holds; ``nudge`` is done before each look."""
        deadline = time.monotonic() + BOUND
        while True:
            nudge()
            if check(controls := self.controls()):
                return controls
            assert time.monotonic() < deadline, (controls, self.lines)
            time.sleep(0.05)

    def quit(self) -> None:
        """Ask it to stop; it ends well and without a traceback."""
        send_command("quit", self.path)
        assert self.process.wait(BOUND) == 0, self.lines
        self._reader.join(BOUND)
        assert "Traceback" not in "".join(self.lines), "".join(self.lines)

    def __enter__(self) -> "Steered":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(BOUND)
        assert self.process.stderr is not None
        self.process.stderr.close()
