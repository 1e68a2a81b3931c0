"""Plays an RTMP address and writes down what it sees and hears: ``python -m livestyle.evaluate.viewer URL``.

A process of its own, as a viewer of a relay would be, which joins again when the stream ends. Each line of its output
is JSON, an `Event`; moments are monotonic seconds, times those of the stream.
"""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

import av
import msgspec
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from livestyle.evaluate.beacon import Ear, read_flash
from livestyle.media import Pixels

RETRY = 0.2  # s
OPEN_SECONDS, READ_SECONDS = 4.0, 3.0
OPTIONS = {"rtmp_live": "live", "fpsprobesize": "0", "analyzeduration": "2000000", "rtmp_buffer": "100"}
THIN = 4  # each fourth pixel is compared with the picture before


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """``kind``: joined, picture, sound (a packet) or beep; ``at`` is its monotonic moment, ``time`` its time stamp.

    Of a picture ``change`` is the mean difference (0 to 255) from the one before, ``second`` and ``place`` what it
    says if it is one of a flash; of a beep ``time`` is its beginning and ``second`` what its pitch says.
    """

    kind: str
    at: float
    time: float = 0.0
    change: float = 0.0
    second: int = -1
    place: int = -1


def watch(container: Any) -> Iterator[Event]:
    """Everything of an open container with picture and sound. Raises `FFmpegError` where it breaks."""
    ear = Ear()
    before: NDArray[np.int16] | None = None
    for packet in container.demux(video=0, audio=0):
        at = time.monotonic()
        if packet.pts is None:
            continue
        is_sound = packet.stream.type == "audio"
        if is_sound:
            yield Event("sound", at, float(packet.pts * packet.time_base))
        with contextlib.suppress(av.error.InvalidDataError):  # between two publishers
            for frame in packet.decode():
                moment = float((frame.pts or 0) * frame.time_base)
                if is_sound:
                    beeps = ear.hear(frame.to_ndarray()[0].astype(np.float32), moment)
                    yield from (Event("beep", at, beep.began, second=beep.second) for beep in beeps)
                    continue
                luma = read_luma(frame)
                thin = luma[::THIN, ::THIN].astype(np.int16)
                comparable = before is not None and before.shape == thin.shape
                change = float(np.abs(thin - before).mean()) if before is not None and comparable else 255.0
                before = thin
                flash = read_flash(luma)
                yield Event("picture", at, moment, round(change, 3), *(flash or (-1, -1)))


def read_luma(frame: Any) -> Pixels:
    """uint8 (height, width) of a decoded yuv420p picture."""
    plane = frame.planes[0]
    rows: NDArray[np.uint8] = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: frame.height, : frame.width]


def main(url: str) -> None:
    """Watch until the process is ended."""
    encoder = msgspec.json.Encoder()
    while True:
        time.sleep(RETRY)
        with (
            contextlib.suppress(FFmpegError, OSError),
            av.open(url, options=OPTIONS, timeout=(OPEN_SECONDS, READ_SECONDS)) as container,
        ):
            joined = Event("joined", time.monotonic())
            sys.stdout.buffer.write(encoder.encode(joined) + b"\n")
            if not (container.streams.video and container.streams.audio):  # joined while one of them was away
                continue
            for event in watch(container):
                sys.stdout.buffer.write(encoder.encode(event) + b"\n")
                sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1])
