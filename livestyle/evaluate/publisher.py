"""Pushes a clip to an RTMP address over and over, at its own pace: ``python publisher.py CLIP URL``.

A process of its own, as the camera of a relay would be; it runs until it is ended. Nothing is encoded, so it takes
next to nothing of the machine that is measured. Nothing of livestyle is imported.
"""

import itertools
import sys
import time
from fractions import Fraction

import av
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

PATIENCE = 30.0  # s that a server has to appear


def publish(clip: str, url: str) -> None:
    """Push forever. Raises `FFmpegError` when nobody listens at ``url``, or the connection ends."""
    with av.open(clip) as container:
        video = container.streams.video[0]
        packets = [packet for packet in container.demux(video) if packet.pts is not None]
        rate, base = float(video.average_rate or 30), video.time_base or Fraction(1, 90_000)
        output, stream = connect(url, video)
        started = time.monotonic()
        for number, packet in enumerate(itertools.cycle(packets)):
            packet.stream = stream
            packet.pts = packet.dts = round(number / rate / base)
            packet.time_base = base
            time.sleep(max(0.0, started + number / rate - time.monotonic()))
            output.mux(packet)


def connect(url: str, video: VideoStream) -> tuple[OutputContainer, VideoStream]:
    """The address, opened for a stream like ``video`` as soon as somebody listens there."""
    deadline = time.monotonic() + PATIENCE
    while True:
        output = av.open(url, "w", format="flv", options={"flvflags": "no_duration_filesize"})
        stream = output.add_stream_from_template(video)
        try:
            output.start_encoding()  # connects
            return output, stream
        except FFmpegError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


if __name__ == "__main__":
    publish(sys.argv[1], sys.argv[2])
