"""Publishes numbered pictures, and a tone if wanted, in real time to an RTMP address, as a program of its own.

A process, because PyAV opens an output holding the GIL: in the process of the test it would lock out the very listener
that it connects to. It ends after ``frames``, or when its standard input does.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

CONNECT_SECONDS = 15.0


@contextmanager
def publisher(
    url: str, frames: int = 100_000, fps: int = 30, *, sound: bool = True
) -> Iterator[subprocess.Popen[bytes]]:
    """The program at work; killed at the end. Its stdin is a pipe: closing it makes it leave politely."""
    command = [sys.executable, __file__, url, str(frames), str(fps), "sound" if sound else "silence"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def connect(url: str, fps: int, sound: bool) -> "ClipWriter":
    """Open the output; the server may be still on its way up."""
    deadline = time.monotonic() + CONNECT_SECONDS
    while True:
        try:
            writer = ClipWriter(url, fps=fps, sound=sound, format="flv", options={"flvflags": "no_duration_filesize"})
            writer.write(0)
            return writer
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def main(url: str, frames: int, fps: int, sound: bool) -> None:
    leave = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), leave.set()), daemon=True).start()
    writer = connect(url, fps, sound)
    start = time.monotonic()
    for number in range(1, frames):
        if leave.wait(max(0.0, start + number / fps - time.monotonic())):
            break
        writer.write(number)
    writer.close()


if __name__ == "__main__":
    from clips import ClipWriter

    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "sound")
