"""A backend for mido in place of python-rtmidi, where the system has no MIDI: controllers are files in a folder.

``$FAKE_MIDI`` holds one file for each controller that is plugged in; each line appended to it is a message, in hex.
`mido` loads this module by its name, ``MIDO_BACKEND=fake_midi``.
"""

import os
import threading
from pathlib import Path
from typing import Any

from mido import Message
from mido.ports import BaseInput


def get_devices(**_: Any) -> list[dict[str, object]]:
    folder = Path(os.environ["FAKE_MIDI"])
    return [{"name": file.name, "is_input": True, "is_output": False} for file in sorted(folder.iterdir())]


class Input(BaseInput):  # type: ignore[misc]
    """Gives what is appended to the file to the callback, on a thread, as rtmidi does."""

    def _open(self, callback: Any = None, **_: Any) -> None:
        self.callback = callback
        self._file = (Path(os.environ["FAKE_MIDI"]) / self.name).open("r")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fake-midi", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        line = ""
        while not self._stop.is_set():
            line += self._file.readline()
            if line.endswith("\n"):
                self.callback(Message.from_hex(line))
                line = ""
            else:
                self._stop.wait(0.01)

    def _close(self) -> None:
        self._stop.set()
        self._thread.join(10)
        self._file.close()
