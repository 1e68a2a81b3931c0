"""CUDA graphs through the driver's own interface: pycuda 2026.1 knows streams, but not their capture.

Calls and their order: CUDA driver API, "Stream Management" and "Graph Management".
"""

import ctypes
import functools
import sys
from collections.abc import Callable

from livestyle.errors import BackendError

THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: what other threads do on the card cannot spoil the capture


@functools.cache
def _driver() -> ctypes.CDLL:
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    return ctypes.CDLL(name)


def _call(function: str, *arguments: object) -> None:
    code = getattr(_driver(), function)(*arguments)
    if code:
        raise BackendError(f"{function} failed with CUDA error {code}")


class CudaGraph:
    """Work recorded from one stream, launched again by a single call. The context must be current throughout."""

    def __init__(self, stream: int, work: Callable[[], None]) -> None:
        """Record what ``work`` puts on ``stream`` (a handle), without running it. Raises `BackendError`."""
        self._stream = ctypes.c_void_p(stream)
        self._launchable = ctypes.c_void_p()
        recorded = ctypes.c_void_p()
        _call("cuStreamBeginCapture_v2", self._stream, ctypes.c_int(THREAD_LOCAL))
        try:
            work()
        finally:  # a stream left in capture would refuse everything
            _call("cuStreamEndCapture", self._stream, ctypes.byref(recorded))
        try:
            flags = ctypes.c_ulonglong(0)
            _call("cuGraphInstantiateWithFlags", ctypes.byref(self._launchable), recorded, flags)
        finally:
            _call("cuGraphDestroy", recorded)

    def launch(self) -> None:
        """Run it on its stream; returns at once."""
        _call("cuGraphLaunch", self._launchable, self._stream)

    def close(self) -> None:
        """Release it. May be called twice."""
        if self._launchable:
            _call("cuGraphExecDestroy", self._launchable)
            self._launchable = ctypes.c_void_p()
