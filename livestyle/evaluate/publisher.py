"""Pushes a clip to an RTMP address over and over, at its own pace: ``python publisher.py CLIP URL``.

A process of its own, as the camera of a relay would be; it runs until it is ended, and connects again when the server
goes away. Where the clip is at any moment depends on the monotonic clock alone: second n of a clip of m seconds is sent
when the clock modulo m says n, so that whoever receives it knows how late it is. Nothing is encoded, so it takes next
to nothing of the machine that is measured. Nothing of livestyle is imported.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import av
from av.error import FFmpegError

RETRY = 0.2  # s


class Piece(NamedTuple):
    """One packet of the clip, at ``seconds`` on its clock."""

    seconds: float
    stream: int  # 0 is the picture
    key: bool
    duration: int
    data: bytes


def publish(clip: str, url: str) -> None:
    """Push forever."""
    with av.open(clip) as container:
        streams = [container.streams.video[0], *container.streams.audio[:1]]
        video = streams[0]
        length = float(int((video.frames or 1) / (video.average_rate or 30)))
        pieces = read_pieces(container, streams, length)
        while True:
            try:
                push(pieces, length, streams, url)
            except (FFmpegError, OSError):
                time.sleep(RETRY)


def read_pieces(container: Any, streams: Sequence[Any], length: float) -> list[Piece]:
    """The packets of the first ``length`` seconds in the order of their times."""
    pieces = [
        Piece(float(packet.pts * packet.time_base), streams.index(packet.stream), packet.is_keyframe,
              packet.duration or 0, bytes(packet))
        for packet in container.demux(*streams)
        if packet.pts is not None
    ]  # fmt: skip
    return sorted((piece for piece in pieces if 0 <= piece.seconds < length - 1e-6), key=lambda piece: piece[:2])


def push(pieces: list[Piece], length: float, streams: Sequence[Any], url: str) -> None:
    """Push from the next key picture on. Raises `FFmpegError` when nobody listens, or the connection ends."""
    # one by one as they come: the muxer must not hold anything back
    options = {"flvflags": "no_duration_filesize", "flush_packets": "1", "max_interleave_delta": "1"}
    with av.open(url, "w", format="flv", container_options=options) as output:
        outlets = [output.add_stream_from_template(stream) for stream in streams]
        output.start_encoding()  # connects
        start: float | None = None
        for moment, piece in turn(pieces, length, time.monotonic()):
            if start is None and not (piece.stream == 0 and piece.key):
                continue
            start = moment if start is None else start
            time.sleep(max(0.0, moment - time.monotonic()))
            packet: Any = av.Packet(piece.data)
            packet.stream, packet.time_base, packet.is_keyframe = outlets[piece.stream], Fraction(1, 1000), piece.key
            packet.pts = packet.dts = round(1000 * (moment - start))
            output.mux(packet)


def turn(pieces: list[Piece], length: float, now: float) -> Iterator[tuple[float, Piece]]:
    """(when it is due on the monotonic clock, piece) without end, from ``now`` on."""
    lap = now - now % length
    while True:
        yield from ((lap + piece.seconds, piece) for piece in pieces if lap + piece.seconds >= now)
        lap += length


if __name__ == "__main__":
    publish(sys.argv[1], sys.argv[2])
