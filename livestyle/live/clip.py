"""Short clips for the page: a few seconds of painted frames as an MP4 in memory, made while the stream runs."""

import io
import threading
import time
from fractions import Fraction

import av
import cv2
import numpy as np
from av.error import FFmpegError

from livestyle.errors import SinkError
from livestyle.media import Frame, Pixels, StreamInfo
from livestyle.sinks.encode import add_h264, to_video_frame
from livestyle.sinks.web import PreviewSink

SECONDS = 4.0  # length of a clip
FPS = 15
LONGEST = 640  # pixels, the longer side of a clip
TICK = Fraction(1, 90_000)
PATIENCE = 1.0  # s that a frame may take; a stream that stands still repeats its last one
OPTIONS = {"preset": "ultrafast", "crf": "23", "bf": "0", "threads": "1"}


def record_clip(preview: PreviewSink, stop: threading.Event, seconds: float = SECONDS) -> bytes:
    """``seconds`` from now of what ``preview`` shows, as an MP4 file; encodes on the calling thread.

    At most `FPS` frames a second and `LONGEST` pixels wide or high. Raises `SinkError` when there is no picture, and
    when ``stop`` is set meanwhile.
    """
    newest = preview.wait_newer(0, PATIENCE)
    if newest is None:
        raise SinkError("there is no picture to record yet")
    height, width = newest[1].pixels.shape[:2]
    scale = min(1.0, LONGEST / max(width, height))
    size = max(2, round(width * scale)), max(2, round(height * scale))
    info = StreamInfo(*size, Fraction(FPS), True, None)
    file = io.BytesIO()
    begun = time.monotonic()
    try:
        with av.open(file, "w", format="mp4") as container:
            video = add_h264(container, info, OPTIONS, TICK)
            serial, frame = newest
            for number in range(round(seconds * FPS)):
                picture = to_video_frame(_fit(frame, size))
                picture.pts, picture.time_base = round(number / FPS / TICK), TICK
                container.mux(video.encode(picture))
                if stop.wait(max(0.0, begun + (number + 1) / FPS - time.monotonic())):
                    raise SinkError("the clip was broken off")
                serial, frame = preview.wait_newer(serial, 0.0) or (serial, frame)
            container.mux(video.encode(None))
    except FFmpegError as error:
        raise SinkError(f"no clip: {error}") from error
    return file.getvalue()


def _fit(frame: Frame, size: tuple[int, int]) -> Pixels:
    if frame.pixels.shape[1::-1] == size:
        return frame.pixels
    return np.asarray(cv2.resize(frame.pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
