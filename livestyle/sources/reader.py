"""One daemon thread per device, so that no caller ever waits inside FFmpeg or a driver.

FFmpeg's reads end only at their own timeout, name resolution and `VIDIOC_DQBUF` not even then, and none of them can be
woken from another thread. So a thread of its own opens, reads and closes the device, and `take` waits on a condition
that anybody can notify. The thread alone touches the device: closing an FFmpeg container under a running read is a
use after free. When it is blocked at the end, it is left behind as a daemon and ends by the device's own timeout.
"""

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from livestyle.errors import SourceError
from livestyle.media import AudioPacket, Frame, Pixels, StreamInfo

AHEAD = 8  # items that lie ready for a source that is not live: enough to decode beside the model, 100 MB in 4K
JOIN_SECONDS = 0.5  # how long `close` waits for the thread; a blocked one is left to its own timeout
CANCEL_SECONDS = 0.1  # how often a waiting open looks at the caller's event


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame whose pixels are still the decoder's: converted only if it is handed on, not when it is dropped."""

    render: Callable[[], Pixels]
    index: int
    pts: int
    time_base: Fraction
    captured: float

    def frame(self) -> Frame:
        """The same with RGB pixels."""
        return Frame(self.render(), self.index, self.pts, self.time_base, self.captured)


class Reader:
    """Runs ``produce(reader)`` on a thread and hands on what it offers.

    ``produce`` opens the device, calls `announce` once and `offer` for every item, and returns at the end or raises.
    A live stream keeps only the newest picture and all sound, in order; any other waits when `AHEAD` items lie ready.
    """

    def __init__(self, name: str, produce: Callable[["Reader"], None]) -> None:
        self._changed = threading.Condition()
        self._items: deque[Picture | AudioPacket] = deque()
        self._info: StreamInfo | None = None
        self._failure: Exception | None = None
        self._finished = False
        self._interrupted = False
        self._closed = False
        # not kept here: it belongs to the source, which keeps us
        self._thread = threading.Thread(target=self._run, args=(produce,), name=f"source {name}", daemon=True)
        self._thread.start()

    def _run(self, produce: Callable[["Reader"], None]) -> None:
        try:
            produce(self)
        except Exception as error:  # the thread's top frame: raised again in whoever waits in `opened` or `take`
            _clear(error)
            self._finish(error)
        else:
            self._finish(None)

    def _finish(self, failure: Exception | None) -> None:
        with self._changed:
            self._failure = failure
            self._finished = True
            self._changed.notify_all()

    # On the thread of `produce`.

    @property
    def stopping(self) -> bool:
        """Nobody wants more."""
        return self._closed or self._interrupted

    def announce(self, info: StreamInfo) -> None:
        """The device is open."""
        with self._changed:
            self._info = info
            self._changed.notify_all()

    def offer(self, item: Picture | AudioPacket) -> bool:
        """Hand over one item; False when nobody wants more. Waits only for a source that is not live."""
        with self._changed:
            assert self._info is not None, "announce comes first"
            if isinstance(item, Picture) and self._info.live:
                self._drop_picture()
            while not self._info.live and len(self._items) >= AHEAD and not self.stopping:
                self._changed.wait()
            if self.stopping:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def _drop_picture(self) -> None:
        if any(isinstance(item, Picture) for item in self._items):
            self._items = deque(item for item in self._items if not isinstance(item, Picture))

    def pause(self, seconds: float) -> bool:
        """Wait, for a retry; False when nobody wants more."""
        with self._changed:
            return not self._changed.wait_for(lambda: self.stopping, seconds)

    # On the threads of the caller.

    def opened(self, seconds: float, late: str, cancel: threading.Event | None = None) -> StreamInfo:
        """The facts of the opened device; after ``seconds`` `SourceError` with the text ``late``.

        ``cancel`` set by any other thread makes it give up within `CANCEL_SECONDS`.
        """
        deadline = time.monotonic() + seconds
        with self._changed:
            while self._info is None and not self._finished and time.monotonic() < deadline:
                if cancel is not None and cancel.is_set():
                    late = "opening the source was given up on request"
                    break
                left = deadline - time.monotonic()
                self._changed.wait(max(0.0, left if cancel is None else min(left, CANCEL_SECONDS)))
            if self._info is not None:
                return self._info
            failure = self._failure or SourceError(late)
        self.close()
        raise failure

    def take(self, seconds: float | None, stall: SourceError) -> Picture | AudioPacket | None:
        """Next item, or None at the end and after `interrupt`; raises ``stall`` when nothing comes for ``seconds``."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._finished or self.stopping, seconds)
            if self._closed:
                raise SourceError("the source is closed")
            if self._interrupted:
                return None
            if self._items:
                item = self._items.popleft()
                self._changed.notify_all()
                return item
            if self._failure is not None:
                raise self._failure
            if self._finished:
                return None
            raise stall

    def interrupt(self) -> None:
        """Make `take` return None, now and from now on."""
        with self._changed:
            self._interrupted = True
            self._changed.notify_all()

    def close(self) -> None:
        """Let go. May be called twice, from any thread but that of ``produce``."""
        with self._changed:
            self._closed = True
            self._failure = None  # it has been through here: whoever has it has us
            self._items.clear()
            self._changed.notify_all()
        self._thread.join(JOIN_SECONDS)


def _clear(error: BaseException) -> None:
    """Let go of the decoder and its threads, which the variables of the functions that an error has left hold on to."""
    cause: BaseException | None = error
    while cause is not None:
        traceback.clear_frames(cause.__traceback__)
        cause = cause.__cause__
