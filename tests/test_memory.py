"""Threads that come and go do not each keep a heap."""

import ctypes
import subprocess
import sys

import pytest

COUNT = """
import ctypes, threading
from livestyle.live.memory import limit_arenas
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fdopen.restype = ctypes.c_void_p
if {limited}:
    limit_arenas()
everybody = threading.Barrier(12)
def work():
    libc.malloc(1000)
    everybody.wait()
threads = [threading.Thread(target=work) for _ in range(12)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
stdout = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, stdout)
libc.fflush(stdout)
"""


def count_heaps(limited: bool) -> int:
    """Heaps of a process in which twelve threads have allocated at the same time."""
    command = [sys.executable, "-c", COUNT.format(limited=limited)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60.0).stdout.count("<heap ")


@pytest.mark.skipif(sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="glibc's malloc only")
def test_many_threads_share_few_heaps() -> None:
    assert count_heaps(limited=False) > 2
    assert 1 <= count_heaps(limited=True) <= 2
