"""Cameras: PyAV's v4l2 on Linux (kernel time stamps), OpenCV where that does not serve and on other systems.

MJPG is asked for first: over USB 2 most cameras give 720p at 10 frames a second in YUYV and 30 in MJPG (opencv #9540).
OpenCV keeps four V4L2 buffers, so its buffer size is set to 1 (virtual_webcam_background PR #31).
"""

import os
import stat
import sys
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from errno import EACCES, EBUSY, ENODEV, ENOENT, EPERM
from fractions import Fraction
from functools import partial
from typing import cast

import av
import cv2
import numpy as np
from av.container import InputContainer

from livestyle import v4l2
from livestyle.errors import SourceError, SourceLost
from livestyle.media import Frame, Pixels, StreamInfo
from livestyle.sources.demux import Demuxer
from livestyle.sources.reader import Picture, Reader

OPEN_SECONDS = 10.0  # some need 5 s to the first picture, Windows' Media Foundation longer
STALL_SECONDS = 3.0  # no picture for this long: unplugged, or the driver hangs
WIDTH, HEIGHT, FPS = 1280, 720, 30.0  # what call programs expect
NO_CAMERA = "no camera found: plug one in, or try `--source scene`"

# V4L2's letters -> FFmpeg's name, as they are asked for
FORMATS = {"MJPG": "mjpeg", "YUYV": "yuyv422", "NV12": "nv12", "YU12": "yuv420p", "UYVY": "uyvy422"}


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera that is there; ``index`` is the N of ``camera:N``, ``name`` what it calls itself."""

    index: int
    name: str
    virtual: bool


def list_cameras() -> list[Camera]:
    """The capture devices of this machine by index, virtual ones included; empty where the system is not Linux."""
    if sys.platform != "linux":
        return []
    return [
        Camera(node.index, f"{node.card} (not accessible)" if node.refused else node.card, virtual=node.loopback)
        for node in v4l2.list_nodes()
        if node.captures or node.refused
    ]


def describe_cameras() -> list[tuple[str, bool, str]]:
    """(spec, usable, what it gives or what to do) of each camera, for `livestyle doctor`; none where not Linux."""
    return [_describe(camera) for camera in list_cameras()]


def _describe(camera: Camera) -> tuple[str, bool, str]:
    spec = f"camera:{camera.index}"
    try:
        device = os.open(v4l2.DEVICES / f"video{camera.index}", os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        return spec, False, _explain(error.errno, camera.index)
    try:
        modes = v4l2.list_modes(device)
    finally:
        os.close(device)
    largest: dict[str, v4l2.Mode] = {}
    for mode in modes:
        other = largest.setdefault(mode.format, mode)
        if (mode.width * mode.height, mode.fps) > (other.width * other.height, other.fps):
            largest[mode.format] = mode
    formats = [f"{mode.format} {mode.width}x{mode.height}@{mode.fps:g}" for mode in largest.values()]
    known = [text for text in formats if text[:4] in FORMATS] or formats
    return spec, True, f"{camera.name}: {', '.join(known) or 'formats not listed'}"


def first_camera() -> int:
    """Index of the first camera that is not a virtual one. Raises `SourceError` when Linux knows of none."""
    if sys.platform != "linux":
        return 0
    for camera in list_cameras():
        if not camera.virtual:
            return camera.index
    raise SourceError(NO_CAMERA)


class CameraSource:
    """Camera number ``index``, or the first one that is not virtual (None). Live: the newest picture wins.

    ``size`` (width, height) and ``fps`` are wishes; `info` says what the camera gives. Raises `SourceError` when it
    cannot be opened, `SourceLost` in `read` when no picture has come for `STALL_SECONDS`.
    """

    def __init__(
        self,
        index: int | None = None,
        size: tuple[int, int] | None = None,
        fps: float | None = None,
        *,
        cancel: threading.Event | None = None,
    ) -> None:
        self._index = first_camera() if index is None else index
        self._size = size or (WIDTH, HEIGHT)
        self._fps = fps or FPS
        self._path = v4l2.DEVICES / f"video{self._index}"
        self._name = f"camera {self._index}"
        if sys.platform == "linux":
            _check_device(self._index)
        self._reader = Reader(self._name, self._produce)
        late = f"{self._name} gave no picture for {OPEN_SECONDS:g} s; unplug it and plug it in again"
        self._info = self._reader.opened(OPEN_SECONDS, late, cancel)

    @property
    def info(self) -> StreamInfo:
        """What the camera really gives."""
        return self._info

    def read(self) -> Frame | None:
        """The newest frame; None after `interrupt`. Raises `SourceLost` when the camera is gone."""
        gone = SourceLost(f"{self._name} gave no picture for {STALL_SECONDS:g} s; was it unplugged?")
        item = self._reader.take(STALL_SECONDS, gone)
        return item.frame() if isinstance(item, Picture) else None

    def interrupt(self) -> None:
        """Make `read` return None at once."""
        self._reader.interrupt()

    def close(self) -> None:
        """Let the camera go. May be called twice."""
        self._reader.close()

    def __enter__(self) -> "CameraSource":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # On the reader's thread.

    def _produce(self, reader: Reader) -> None:
        av.logging.set_level(None)  # FFmpeg would write to the terminal
        container = self._open_v4l2() if sys.platform == "linux" else None
        if container is None:
            self._produce_opencv(reader)
            return
        lent = "v4l2" in container.format.name.split(",")
        with container, closing(Demuxer(container, self._name, live=True, lent=lent)) as demuxer:
            reader.announce(demuxer.info)
            for item in demuxer:
                if not reader.offer(item):
                    return

    def _open_v4l2(self) -> InputContainer | None:
        """The device through FFmpeg, MJPG if it has that; None if FFmpeg does not get along with it."""
        for options in (*self._offers(), {}):
            try:
                return av.open(str(self._path), format="v4l2", options=options, timeout=(5.0, STALL_SECONDS))
            except av.FFmpegError as error:
                if error.errno in (EBUSY, EACCES, EPERM, ENOENT, ENODEV):
                    raise SourceError(_explain(error.errno, self._index)) from error
        return None

    def _offers(self) -> list[dict[str, str]]:
        """FFmpeg's options for what the camera has that is nearest to the wish.

        Its own answer to a size that the camera does not have is no use: FFmpeg 8 goes on to expect the size that was
        asked for, and every raw picture is too small for it.
        """
        try:
            device = os.open(self._path, os.O_RDWR | os.O_NONBLOCK)
        except OSError as error:
            raise SourceError(_explain(error.errno, self._index)) from error
        try:
            given = {name: v4l2.try_format(device, letters, *self._size) for letters, name in FORMATS.items()}
        finally:
            os.close(device)
        rate = f"{self._fps:g}"
        return [
            {"input_format": name, "video_size": f"{size[0]}x{size[1]}", "framerate": rate}
            for name, size in given.items()
            if size is not None
        ]

    def _produce_opencv(self, reader: Reader) -> None:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # OpenCV would write to the terminal
        device = cv2.VideoCapture(self._index, cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY)
        try:
            # The format first: DirectShow and V4L2 take size and rate from it.
            device.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
            device.set(cv2.CAP_PROP_FRAME_WIDTH, self._size[0])
            device.set(cv2.CAP_PROP_FRAME_HEIGHT, self._size[1])
            device.set(cv2.CAP_PROP_FPS, self._fps)
            device.set(cv2.CAP_PROP_BUFFERSIZE, 1)
            if not device.isOpened():
                raise SourceError(_explain(None, self._index))
            self._read_opencv(device, reader)
        finally:
            device.release()

    def _read_opencv(self, device: cv2.VideoCapture, reader: Reader) -> None:
        index = 0
        started = time.monotonic()
        while not reader.stopping:
            given, bgr = device.read()
            captured = time.monotonic()
            if not given:
                raise SourceLost(f"{self._name} gives no pictures any more; was it unplugged?")
            if index == 0:
                rate = device.get(cv2.CAP_PROP_FPS)
                fps = Fraction(rate if 0 < rate <= 240 else self._fps).limit_denominator(1001)
                reader.announce(StreamInfo(bgr.shape[1], bgr.shape[0], fps, live=True))
                started = captured
            pts = round((captured - started) * 1000)
            reader.offer(Picture(partial(_from_bgr, cast(Pixels, bgr)), index, pts, Fraction(1, 1000), captured))
            index += 1


def _from_bgr(bgr: Pixels) -> Pixels:
    return np.ascontiguousarray(bgr[:, :, ::-1])


def _check_device(index: int) -> None:
    path = v4l2.DEVICES / f"video{index}"
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise SourceError(_explain(error.errno, index)) from error
    if not stat.S_ISCHR(mode):
        raise SourceError(f"{path} is not a camera")
    if not os.access(path, os.R_OK | os.W_OK):
        raise SourceError(_explain(EACCES, index))
    node = v4l2.ask_node(index)
    if node is None or not (node.captures or node.refused):
        raise SourceError(f"{path} gives no pictures (it is no camera); `livestyle doctor` lists those that do")


def _explain(errno: int | None, index: int) -> str:
    if errno == EBUSY:
        return f"camera {index} is used by another program; close that one first"
    if errno in (EACCES, EPERM):
        return f"no permission to open camera {index}: run `sudo usermod -aG video $USER`, then log in again"
    if errno in (ENOENT, ENODEV):
        return f"there is no camera {index}: plug one in, or try `--source scene`; `livestyle doctor` lists cameras"
    return f"camera {index} cannot be opened: is it plugged in, allowed, and not used by another program?"
