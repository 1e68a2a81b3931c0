"""The page's preview as a sink: it keeps the newest painted frame and whoever shows it comes to fetch it.

Nothing is encoded here, so an unwatched preview costs one assignment per frame.
"""

import threading
import time
from math import inf
from types import TracebackType

from livestyle.errors import SinkError
from livestyle.media import AudioPacket, Frame

LOOKING = 3.0  # s after which whoever does not ask for a frame again has gone; a page asks at least once a second


class PreviewSink:
    """Keeps the newest frame; any number of threads may wait for a newer one. `write` never blocks."""

    def __init__(self) -> None:
        """Opens nothing."""
        self._arrival = threading.Condition()
        self._frame: Frame | None = None
        self._serial = 0
        self._closed = False
        self._asked = -inf  # monotonic, when somebody last waited for a frame

    @property
    def watched(self) -> bool:
        """Whether somebody has waited for a frame lately. Any thread."""
        return time.monotonic() - self._asked < LOOKING

    def write(self, frame: Frame) -> None:
        """Replace the newest frame. Frames of any size are welcome. Raises `SinkError` after `close`."""
        with self._arrival:
            if self._closed:
                raise SinkError("the page's preview is closed")
            self._frame = frame
            self._serial += 1
            self._arrival.notify_all()

    def write_audio(self, packet: AudioPacket) -> None:
        """The page is silent."""

    def interrupt(self) -> None:
        """Nothing to do: `write` never blocks."""

    def wait_newer(self, serial: int, timeout: float) -> tuple[int, Frame] | None:
        """Return (serial, newest frame) as soon as a frame with a serial above ``serial`` is here.

        Serials count writes from 1, so ``wait_newer(0, 0.0)`` is the newest frame without waiting. None after
        ``timeout`` seconds without a newer frame, and at once when the sink is closed. Any thread.
        """
        self._asked = time.monotonic()
        deadline = self._asked + timeout
        with self._arrival:
            while not self._closed:
                if self._frame is not None and self._serial > serial:
                    return self._serial, self._frame
                remaining = deadline - time.monotonic()
                if remaining <= 0.0:
                    return None
                self._arrival.wait(remaining)
        return None

    def close(self) -> None:
        """Drop the frame and wake every waiter. May be called twice."""
        with self._arrival:
            self._closed = True
            self._frame = None
            self._arrival.notify_all()

    def __enter__(self) -> "PreviewSink":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
