"""What flows between the rooms: frames, sound, stream facts, and the two seams around them.

No I/O happens here. A source is anything that is a `Source`, a sink anything that is a `Sink`; there is nothing to
inherit. Constructors open and raise, ``with`` (or ``close()``) closes.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]  # (height, width, 3), RGB, 0..255


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a stream.

    ``pixels`` is uint8 (height, width, 3) in RGB and read-only by agreement. ``index`` counts every frame that the
    device gave, so that gaps show drops. ``pts`` in units of ``time_base`` seconds is the source's own clock;
    ``captured`` is ``time.monotonic()`` when the frame reached this process, for latency.
    """

    pixels: Pixels
    index: int
    pts: int
    time_base: Fraction
    captured: float

    @property
    def seconds(self) -> float:
        """Presentation time in seconds on the source's clock."""
        return float(self.pts * self.time_base)


@dataclass(frozen=True, slots=True)
class AudioPacket:
    """One encoded packet of sound, carried untouched from source to sink; ``pts`` and ``duration`` in ``time_base``."""

    data: bytes
    pts: int
    duration: int
    time_base: Fraction

    @property
    def seconds(self) -> float:
        """Presentation time in seconds on the source's clock."""
        return float(self.pts * self.time_base)


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What a muxer needs to carry packets of an encoded sound stream without decoding it."""

    codec: str  # FFmpeg name, such as "aac"
    sample_rate: int  # Hz
    layout: str  # FFmpeg channel layout, such as "stereo"
    extradata: bytes | None
    time_base: Fraction


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """Facts of a stream, fixed when it is opened.

    ``live`` alone chooses how frames are handed on: newest wins (`Slot`) when True, bounded wait (`Lane`) when False.
    ``frames`` is the number of frames where the container knows it (progress bars), else None.
    """

    width: int
    height: int
    fps: Fraction
    live: bool
    audio: AudioInfo | None = None
    frames: int | None = None


class Source(Protocol):
    """Where frames come from. One thread reads; any thread may interrupt."""

    @property
    def info(self) -> StreamInfo:
        """Facts of the stream. A frame may still differ in size: a stream can change size while it runs."""

    def read(self) -> Frame | AudioPacket | None:
        """Next item in stream order; None at the end and after `interrupt`. Raises `SourceLost` or `SourceError`."""

    def interrupt(self) -> None:
        """Make a blocked `read` return within a second. Any thread, any number of times."""

    def close(self) -> None:
        """Release the device. May be called twice; `read` afterwards raises `SourceError`."""


class Sink(Protocol):
    """Where frames go. One thread writes; any thread may interrupt.

    A sink is opened with the `StreamInfo` of what will be written; every frame has that width and height.
    """

    def write(self, frame: Frame) -> None:
        """Deliver one frame. May block for as long as the sink needs. Raises `SinkStalled` or `SinkError`."""

    def write_audio(self, packet: AudioPacket) -> None:
        """Deliver one packet of sound; a sink without sound ignores it."""

    def interrupt(self) -> None:
        """Make a blocked `write` give up within a second. Any thread, any number of times."""

    def close(self) -> None:
        """Finish and release. May be called twice; `write` afterwards raises `SinkError`."""
