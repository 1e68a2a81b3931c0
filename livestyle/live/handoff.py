"""How frames pass between threads, and the one owner of those threads.

`Slot` (newest wins) and `Lane` (bounded wait) share one protocol: ``put`` and ``get`` raise `Closed` once the hand-off
is closed, so that closing wakes both sides and a loop ends by one ``except Closed``. `Group` owns every thread of a
session. Reference for why closing must wake both sides: supervision's threaded loop hangs for ever when either end
raises.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from livestyle.errors import LivestyleError

log = logging.getLogger(__name__)

T = TypeVar("T")

JOIN_DEADLINE = 5.0  # seconds for all threads together
GRACE = 0.4  # seconds that threads get to finish by themselves before what blocks them is interrupted


class Closed(Exception):
    """The hand-off is closed: nothing more is taken, and everything that was in it has been given out."""


class Slot(Generic[T]):
    """Holds the newest item. ``put`` never blocks and replaces what nobody took; `overwritten` counts those."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: tuple[T] | None = None
        self._closed = False
        self.overwritten = 0

    def put(self, item: T) -> bool:
        """Replace the item; False if the item before was never taken. Raises `Closed`."""
        with self._changed:
            if self._closed:
                raise Closed
            fresh = self._held is None
            if not fresh:
                self.overwritten += 1
            self._held = (item,)
            self._changed.notify()
            return fresh

    def get(self, timeout: float | None = None) -> T | None:
        """Take the item, waiting up to ``timeout`` seconds (None: for ever); None in time. Raises `Closed`."""
        with self._changed:
            self._changed.wait_for(lambda: self._held is not None or self._closed, timeout)
            if self._held is not None:
                (item,) = self._held
                self._held = None
                return item
            if self._closed:
                raise Closed
            return None

    def close(self, discard: bool = False) -> None:
        """Take nothing more; what is held can still be taken unless ``discard``. Any thread, any number of times."""
        with self._changed:
            self._closed = True
            if discard:
                self._held = None
            self._changed.notify_all()


class Lane(Generic[T]):
    """A short queue in which nothing is lost: ``put`` waits for room, ``get`` for an item."""

    def __init__(self, capacity: int = 4) -> None:
        if capacity < 1:
            raise ValueError("a lane holds at least one item")
        self._changed = threading.Condition()
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._closed = False

    def put(self, item: T, timeout: float | None = None) -> bool:
        """Add an item, waiting up to ``timeout`` seconds (None: for ever); False without room. Raises `Closed`."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._items) < self._capacity, timeout)
            if self._closed:
                raise Closed
            if len(self._items) >= self._capacity:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def get(self, timeout: float | None = None) -> T | None:
        """Take the oldest item, waiting up to ``timeout`` seconds (None: for ever); None in time. Raises `Closed`."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or bool(self._items), timeout)
            if self._items:
                self._changed.notify_all()
                return self._items.popleft()
            if self._closed:
                raise Closed
            return None

    def close(self, discard: bool = False) -> None:
        """Take nothing more; what is held can still be taken unless ``discard``. Any thread, any number of times."""
        with self._changed:
            self._closed = True
            if discard:
                self._items.clear()
            self._changed.notify_all()


class Group:
    """Owns named threads: keeps the first failure, and stops and joins them all.

    Stopping has two steps, so that a file can be finished and a dead network cannot hold anybody: first the closers
    run (hand-offs, sources), then, for what has not ended after `GRACE` seconds, the interrupts (sinks).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended = threading.Condition(self._lock)
        self._threads: list[threading.Thread] = []
        self._running = 0
        self._closers: list[Callable[[], None]] = []
        self._interrupts: list[Callable[[], None]] = []
        self._failure: BaseException | None = None
        self.stopping = threading.Event()

    def on_stop(self, closer: Callable[[], None]) -> None:
        """Register what makes threads end by themselves; it must not block and runs once, on the stopping thread."""
        self._closers.append(closer)

    def on_stuck(self, interrupt: Callable[[], None]) -> None:
        """Register what frees a thread that is blocked in somebody else's code."""
        self._interrupts.append(interrupt)

    def start(self, name: str, target: Callable[[], None]) -> None:
        """Run ``target`` on a new thread; an exception out of it is the group's failure and stops the rest."""
        # daemon: a thread blocked inside a driver must not keep the process alive after it has been named
        thread = threading.Thread(target=self._run, args=(target,), name=name, daemon=True)
        with self._lock:
            self._threads.append(thread)
            self._running += 1
        thread.start()

    def _run(self, target: Callable[[], None]) -> None:
        try:
            target()
        except BaseException as error:  # a thread's top frame: kept here, raised by `join` on the owner's thread
            self.fail(error)
        finally:
            with self._ended:
                self._running -= 1
                self._ended.notify_all()

    def fail(self, error: BaseException) -> None:
        """Keep ``error`` if it is the first one, and stop everything."""
        with self._lock:
            if self._failure is None:
                self._failure = error
        self.stop()

    def stop(self) -> None:
        """Ask every thread to end. Any thread, any number of times; does not wait."""
        with self._lock:
            if self.stopping.is_set():
                return
            self.stopping.set()
        for closer in self._closers:
            _call(closer)
        with self._ended:
            self._ended.notify_all()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until every thread has ended or a stop was asked for; False if ``timeout`` seconds passed before."""
        with self._ended:
            return self._ended.wait_for(lambda: self._running == 0 or self.stopping.is_set(), timeout)

    def join(self, deadline: float = JOIN_DEADLINE) -> None:
        """Stop, wait for all threads up to ``deadline`` seconds, and raise the first failure.

        Without a failure, raises `LivestyleError` that names the threads that did not stop.
        """
        self.stop()
        end = time.monotonic() + deadline
        if not self._wait_ended(min(GRACE, deadline)):
            for interrupt in self._interrupts:
                _call(interrupt)
            self._wait_ended(max(0.0, end - time.monotonic()))
        for thread in self._threads:  # ended threads have left `_run`; this reaps them
            thread.join(max(0.0, min(0.2, end - time.monotonic())))
        stuck = [thread.name for thread in self._threads if thread.is_alive()]
        if stuck:
            log.warning("these threads did not stop within %g s: %s", deadline, ", ".join(stuck))
        if self._failure is not None:
            raise self._failure
        if stuck:
            raise LivestyleError(f"these threads did not stop within {deadline:g} s: {', '.join(stuck)}")

    def _wait_ended(self, timeout: float) -> bool:
        with self._ended:
            return self._ended.wait_for(lambda: self._running == 0, timeout)


def _call(action: Callable[[], None]) -> None:
    try:
        action()
    except Exception as error:  # one failing closer must not keep the others from running
        log.warning("while stopping: %s", error)
