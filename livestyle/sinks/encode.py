"""H.264 for the sinks that write video: sizes, colours and encoder settings, in one place for file and RTMP.

Sizes. yuv420p keeps one colour sample per 2x2 pixels, so an odd width or height gains one column or row: the last one
repeated (641x359 becomes 642x360). No painted pixel is lost.

Colours. Players that ignore the tags guess BT.601 below 720 lines and BT.709 from there on, so that is what is sent,
and tagged, in limited range: both kinds of player show the painted colours.
"""

import math
from fractions import Fraction

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream

from livestyle.errors import SinkError
from livestyle.media import Pixels, StreamInfo

HD_LINES = 720
GOP_SECONDS = 2  # what streaming platforms ask for; also the most that a cut-off recording loses
BITS_PER_PIXEL = 0.14  # paintings are busy: 1 Mb/s at 640x360@30, 4 Mb/s at 1280x720@30
MIN_BIT_RATE, MAX_BIT_RATE = 300_000, 12_000_000


def even_size(width: int, height: int) -> tuple[int, int]:
    """The size in which a picture is encoded: each odd side one pixel larger."""
    return width + width % 2, height + height % 2


def pad_even(pixels: Pixels) -> Pixels:
    """The same picture with its last column and row repeated where a side is odd; itself where both are even."""
    height, width = pixels.shape[:2]
    if width % 2 == 0 and height % 2 == 0:
        return pixels
    padded = cv2.copyMakeBorder(pixels, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    return np.asarray(padded, np.uint8)


def check_size(pixels: Pixels, info: StreamInfo) -> None:
    """Raise `SinkError` unless the picture is uint8 RGB of the size that the sink was opened with."""
    if pixels.dtype != np.uint8 or pixels.shape != (info.height, info.width, 3):
        shape = "x".join(str(side) for side in pixels.shape)
        raise SinkError(
            f"got a picture of {shape} {pixels.dtype}; the sink was opened for {info.height}x{info.width}x3"
        )


def to_i420(pixels: Pixels) -> Pixels:
    """BT.601 limited-range I420, (height * 3 / 2, width), of an RGB picture; odd sides are padded first."""
    return np.asarray(cv2.cvtColor(pad_even(pixels), cv2.COLOR_RGB2YUV_I420), np.uint8)


def to_video_frame(pixels: Pixels) -> VideoFrame:
    """The picture in yuv420p for the encoder: BT.601 below 720 lines (OpenCV, 4 times faster), BT.709 from there on."""
    if pixels.shape[0] < HD_LINES:
        return VideoFrame.from_ndarray(to_i420(pixels), format="yuv420p")
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(pad_even(pixels)), format="rgb24")
    return frame.reformat(
        format="yuv420p",
        src_colorspace=Colorspace.ITU709,
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
    )


def push_bit_rate(info: StreamInfo) -> int:
    """Bits per second for a pushed stream of this size and rate."""
    wanted = BITS_PER_PIXEL * info.width * info.height * float(info.fps)
    return int(min(MAX_BIT_RATE, max(MIN_BIT_RATE, wanted)))


def push_options(info: StreamInfo) -> dict[str, str]:
    """libx264 options for a live push: no delay, no B-frames, a steady bit rate with one second of slack."""
    rate = str(push_bit_rate(info))
    return {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "bf": "0",
        "b": rate,
        "maxrate": rate,
        "bufsize": rate,
        "forced-idr": "1",
        "sc_threshold": "0",
    }


def file_options(info: StreamInfo) -> dict[str, str]:
    """libx264 options for a recording: crf 20; ``ultrafast`` beside a live stream, else ``veryfast``.

    No B-frames: they would start the decoding clock two frames below 0, which fragmented MP4 and FLV cannot say, and
    every pts would come out two frames late.
    """
    return {"preset": "ultrafast" if info.live else "veryfast", "crf": "20", "bf": "0"}


def add_h264(
    container: av.container.OutputContainer, info: StreamInfo, options: dict[str, str], time_base: Fraction
) -> VideoStream:
    """Add an H.264 stream for pictures of ``info``'s size; frames given to it carry pts in ``time_base``."""
    width, height = even_size(info.width, info.height)
    gop = max(1, math.ceil(GOP_SECONDS * info.fps))
    stream = container.add_stream("libx264", rate=info.fps, options={"g": str(gop), **options})
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    context = stream.codec_context
    context.time_base = time_base
    context.color_range = ColorRange.MPEG
    high = info.height >= HD_LINES
    context.colorspace = Colorspace.ITU709 if high else Colorspace.ITU601
    context.color_primaries = ColorPrimaries.BT709
    context.color_trc = ColorTrc.BT709
    return stream
