"""Who else has a device file open, on Linux: whether a program shows the virtual camera.

v4l2loopback 0.12, which Debian 12 and Ubuntu 24.04 ship, has no event for that. So /proc is asked, whenever inotify
says that somebody opened or closed the file (inotify alone cannot count: it merges events that are alike). A program
of another user is not seen, nor one in a container with a device file of its own.
"""

import ctypes
import os
from contextlib import suppress
from pathlib import Path

IN_OPEN, IN_CLOSE = 0x20, 0x08 | 0x10  # sys/inotify.h
EVENTS = 64 * 1024  # bytes of events that are read at once
PROCESSES = Path("/proc")


class Audience:
    """Knows of the open handles that other programs have on ``device``. Used by one thread."""

    def __init__(self, device: Path) -> None:
        """Opens the watch; where the system refuses one, somebody is taken to be `present` all the time."""
        self._device = device
        self._events = _watch(device)
        self._count = count_handles(device)

    @property
    def present(self) -> bool:
        """Whether another program has the device open. Costs one system call while nobody comes or goes."""
        if self._events is None:
            return True
        try:
            changed = os.read(self._events, EVENTS)
        except BlockingIOError:
            changed = b""
        if changed:
            self._count = count_handles(self._device)  # whoever comes or goes meanwhile makes an event again
        return self._count > 0

    def close(self) -> None:
        """End the watch. May be called twice."""
        events, self._events = self._events, None
        if events is not None:
            os.close(events)


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
