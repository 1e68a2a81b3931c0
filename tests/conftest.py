"""Fixtures that several files share."""

import threading
import time
from collections.abc import Iterator

import pytest
from web_rig import Rig


@pytest.fixture
def no_threads_left() -> Iterator[None]:
    """Every thread that a test started has ended, or ends soon after it."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 8.0
    for thread in set(threading.enumerate()) - before:
        thread.join(max(0.0, deadline - time.monotonic()))
    left = [thread.name for thread in set(threading.enumerate()) - before]
    assert not left


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.server.close()
    rig.preview.close()
