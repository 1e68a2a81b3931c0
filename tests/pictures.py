"""Small real media for the sinks' tests: moving pictures, AAC packets, and a watch on whether threads stand still."""

import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import av
import numpy as np
from av.audio.frame import AudioFrame

from livestyle.media import AudioInfo, AudioPacket, Frame, Pixels, StreamInfo

RATE = 48_000


def picture(width: int, height: int, index: int) -> Pixels:
    """A colour gradient that moves with ``index``."""
    rows, columns = np.mgrid[0:height, 0:width]
    red = (columns * 255 // max(1, width - 1) + 3 * index) % 256
    green = rows * 255 // max(1, height - 1)
    return np.stack([red, green, np.full_like(red, 90)], axis=2).astype(np.uint8)


def frames(info: StreamInfo, count: int, first: int = 0) -> Iterator[Frame]:
    """``count`` frames of ``info`` at its rate, pts counted in frames."""
    for index in range(first, first + count):
        pixels = picture(info.width, info.height, index)
        yield Frame(pixels, index, index, 1 / info.fps, time.monotonic())


def live_frames(info: StreamInfo, count: int, first: int = 0) -> Iterator[Frame]:
    """The same, each handed out when it is due."""
    started = time.monotonic()
    for frame in frames(info, count, first):
        time.sleep(max(0.0, started + float((frame.index - first) / info.fps) - time.monotonic()))
        yield frame


def sound(seconds: float, codec: str = "aac") -> tuple[AudioInfo, list[AudioPacket]]:
    """A stereo tone of that length as encoded packets, with what a muxer must know about them."""
    file = io.BytesIO()
    container = av.open(file, "w", format="matroska")
    stream = container.add_stream(codec, rate=RATE)
    time_axis = np.arange(int(seconds * RATE)) / RATE
    tone = np.sin(2 * np.pi * 440 * time_axis).astype(np.float32) * 0.5
    size = stream.codec_context.frame_size or 1024
    for start in range(0, len(tone), 1024):
        planes = np.stack([tone[start : start + 1024]] * 2)
        source = AudioFrame.from_ndarray(np.ascontiguousarray(planes), format="fltp", layout="stereo")
        source.sample_rate, source.pts, source.time_base = RATE, start, Fraction(1, RATE)
        container.mux(stream.encode(source))
    container.mux(stream.encode(None))
    container.close()
    file.seek(0)
    with av.open(file) as reader:
        made = reader.streams.audio[0]
        base = made.time_base
        assert base is not None
        info = AudioInfo(made.codec_context.name, RATE, "stereo", made.codec_context.extradata, base)
        packets = [
            AudioPacket(bytes(packet), packet.pts, packet.duration or round(size / RATE / base), base)
            for packet in reader.demux(made)
            if packet.pts is not None
        ]
    return info, packets


class Ticker:
    """What `ticking` gives: ``worst`` is the longest time in seconds in which its thread did not run."""

    worst = 0.0


@contextmanager
def ticking() -> Iterator[Ticker]:
    """Run a thread that does nothing but tick, to see whether something holds the interpreter's lock."""
    ticker, done = Ticker(), threading.Event()

    def tick() -> None:
        last = time.monotonic()
        while not done.wait(0.01):
            now = time.monotonic()
            ticker.worst, last = max(ticker.worst, now - last), now

    thread = threading.Thread(target=tick, name="ticker")
    thread.start()
    try:
        yield ticker
    finally:
        done.set()
        thread.join()
