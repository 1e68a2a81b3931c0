"""Work that may wait: what the page asks for beside the stream must not take the stream's time."""

import contextlib
import os
import sys
import threading

NICE = 10  # a tenth of a busy core: at 19 a wall of styles would stand still there


def lower_priority() -> None:
    """Put the calling thread, for good, behind others; does nothing where the system knows that of processes only.

    Threads that it starts inherit this. A library's shared ones must be there already, or the stream would get them.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
