"""Something done again and again beside a test."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def repeated(action: Callable[[], None], pause: float) -> Iterator[None]:
    """Calls ``action`` from a thread, ``pause`` seconds apart; that thread has ended when this returns."""
    done = threading.Event()

    def run() -> None:
        while not done.wait(pause):
            action()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
