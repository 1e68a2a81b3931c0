"""Who else has a device file open, on Linux: whether a program shows the virtual camera.

v4l2loopback 0.12, which Debian 12 and Ubuntu 24.04 ship, has no event for that. So opens and closes of the file are
counted (inotify), from those that /proc shows at the start. A program that another user runs since before the start is
not seen, nor one in a container with a device file of its own.
"""

import ctypes
import os
import struct
from contextlib import suppress
from pathlib import Path

IN_OPEN, IN_CLOSE, IN_Q_OVERFLOW = 0x20, 0x08 | 0x10, 0x4000  # sys/inotify.h
EVENT = struct.Struct("iIII")  # watch, mask, cookie, length of a name: 0 where a file is watched
PROCESSES = Path("/proc")


class Audience:
    """Counts the open handles that other programs have on ``device``. Used by one thread."""

    def __init__(self, device: Path) -> None:
        """Opens the watch; where the system refuses one, somebody is taken to be `present` all the time."""
        self._device = device
        self._count = 0
        self._events = _watch(device)
        self._recount()

    @property
    def present(self) -> bool:
        """Whether another program has the device open. Costs one system call."""
        return self._events is None or self._follow() > 0

    def close(self) -> None:
        """End the watch. May be called twice."""
        events, self._events = self._events, None
        if events is not None:
            os.close(events)

    def _follow(self) -> int:
        for mask in self._read():
            if mask & IN_Q_OVERFLOW:
                self._recount()
            elif mask & IN_OPEN:
                self._count += 1
            elif mask & IN_CLOSE:
                self._count = max(0, self._count - 1)  # one that was not seen at the start
        return self._count

    def _recount(self) -> None:
        """Count by /proc, again if anybody came or went meanwhile."""
        for _ in range(3):
            self._count = count_handles(self._device)
            if not any(self._read()):
                return

    def _read(self) -> list[int]:
        """Masks of what has happened since the last call."""
        if self._events is None:
            return []
        try:
            data = os.read(self._events, 1024 * EVENT.size)
        except BlockingIOError:
            return []
        return [mask for _, mask, _, _ in EVENT.iter_unpack(data)]


def count_handles(device: Path) -> int:
    """How many open handles on ``device`` /proc shows for other processes."""
    count = 0
    for process in PROCESSES.iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        with suppress(OSError):  # another user's, or gone
            for handle in (process / "fd").iterdir():
                with suppress(OSError):
                    count += os.readlink(handle) == str(device)
    return count


def _watch(device: Path) -> int | None:
    """A non-blocking inotify descriptor; None where there is none to be had."""
    library = ctypes.CDLL(None, use_errno=True)
    events: int = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if events < 0:
        return None
    if library.inotify_add_watch(events, os.fsencode(device), IN_OPEN | IN_CLOSE) < 0:
        os.close(events)
        return None
    return events
