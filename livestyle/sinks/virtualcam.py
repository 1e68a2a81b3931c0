"""The virtual camera that call programs see: v4l2loopback on Linux, OBS or Unity Capture on Windows, OBS on macOS."""

import os
import platform
import time
from pathlib import Path

import pyvirtualcam

from livestyle.errors import ConfigError, SinkError, SinkStalled
from livestyle.media import AudioPacket, Frame, StreamInfo
from livestyle.sinks.encode import check_size, even_size, to_i420

POLL_SECONDS = 1.0
DEVICES = Path("/sys/devices/virtual/video4linux")
MODPROBE = "sudo modprobe v4l2loopback devices=1 video_nr=10 card_label=livestyle exclusive_caps=1 max_buffers=2"
RELOAD = f"sudo modprobe -r v4l2loopback && {MODPROBE}"
NO_DEVICE = {
    "Linux": f"there is no virtual camera: run `{MODPROBE}` (package v4l2loopback-dkms)",
    "Windows": "there is no virtual camera: install OBS Studio 26 or newer, or Unity Capture",
    "Darwin": "there is no virtual camera: install OBS Studio 30 or newer, start and stop its virtual camera once",
}


class VirtualCameraSink:
    """Sends pictures as BT.601 limited-range I420, which receivers expect; odd sides gain one pixel.

    pyvirtualcam prints the errors of writing and goes on, so the device node is looked at once a second instead.
    """

    def __init__(self, spec: str, info: StreamInfo) -> None:
        """Open ``virtualcam`` (the first device) or ``virtualcam:DEVICE``. Raises `SinkError` that says what to do."""
        self._info = info
        _, _, device = spec.partition(":")
        if ":" in spec and not device:
            raise ConfigError(f"{spec!r} names no device: give virtualcam, or for example virtualcam:/dev/video10")
        width, height = even_size(info.width, info.height)
        try:
            self._camera: pyvirtualcam.Camera | None = pyvirtualcam.Camera(
                width, height, float(info.fps), fmt=pyvirtualcam.PixelFormat.I420, device=device or None
            )
        except (RuntimeError, OSError, ValueError) as error:
            raise SinkError(_say(str(error), device)) from error
        self.device = str(self._camera.device)
        self.frames = 0
        self._identity = _identify(self.device)
        self._polled = time.monotonic()

    def write(self, frame: Frame) -> None:
        """Show one frame. Raises `SinkStalled` within some 1 s of the device's end, and `SinkError` once closed."""
        if self._camera is None:
            raise SinkError("the virtual camera is closed")
        check_size(frame.pixels, self._info)
        now = time.monotonic()
        if now - self._polled > POLL_SECONDS:
            self._polled = now
            if _identify(self.device) != self._identity:
                raise SinkStalled(f"the virtual camera {self.device} is gone: was its driver unloaded?")
        try:
            self._camera.send(to_i420(frame.pixels))
        except (RuntimeError, OSError, ValueError) as error:
            raise SinkStalled(f"the virtual camera {self.device} takes no pictures: {_one_line(str(error))}") from error
        self.frames += 1

    def write_audio(self, packet: AudioPacket) -> None:
        """A camera has no sound: ignored. Raises `SinkError` once closed."""
        if self._camera is None:
            raise SinkError("the virtual camera is closed")

    def interrupt(self) -> None:
        """Nothing to do: the device takes a picture or refuses it at once."""

    def close(self) -> None:
        """Leave the device. May be called twice."""
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()


def check() -> tuple[bool, str]:
    """Whether a virtual camera is here, and which; what to do where not. Opens nothing on Linux."""
    system = platform.system()
    if system == "Linux":
        return _check_linux()
    try:
        camera = pyvirtualcam.Camera(640, 480, 30, fmt=pyvirtualcam.PixelFormat.I420)
    except (RuntimeError, OSError, ValueError) as error:
        return False, _say(str(error), "")
    with camera:
        return True, f"{camera.device} ({camera.backend})"


def _check_linux() -> tuple[bool, str]:
    found = sorted(folder.name for folder in DEVICES.iterdir()) if DEVICES.is_dir() else []
    nodes = [f"/dev/{name}" for name in found if Path(f"/dev/{name}").exists()]
    if not nodes:
        return False, NO_DEVICE["Linux"]
    open_to_us = [node for node in nodes if os.access(node, os.W_OK)]
    if not open_to_us:
        return False, _say(f"permission denied {nodes[0]}", nodes[0])
    return True, f"{', '.join(open_to_us)} (v4l2loopback)"


def _identify(device: str) -> tuple[int, int] | None:
    """What a device node is, to notice when it goes away or is made anew; None where there is no node."""
    if not device.startswith("/dev/"):
        return None
    try:
        status = os.stat(device)
    except OSError:
        return None
    return status.st_ino, status.st_rdev


def _say(message: str, device: str) -> str:
    """pyvirtualcam's message, often of several lines, as one line that says what to do."""
    text = message.lower()
    name = device or "the virtual camera"
    if "permission" in text:
        return f"no permission to write to {name}: run `sudo usermod -aG video $USER` and log in again"
    if "does not exist" in text:
        return f"the virtual camera {name} does not exist: `livestyle doctor` lists those that do"
    if "already in use" in text:
        return f"{name} is in use by this program already"
    missing = "no v4l2 loopback device" in text
    if "is not a video output device" in text or (missing and DEVICES.is_dir() and any(DEVICES.iterdir())):
        # With exclusive_caps=1 a program that still shows the camera keeps it from being written to again,
        # https://github.com/letmaik/pyvirtualcam/issues/61
        return f"{name} is held by another program: close call programs, else run `{RELOAD}`"
    if missing or platform.system() != "Linux":
        return NO_DEVICE.get(platform.system(), _one_line(message))
    return f"cannot open {name}: {_one_line(message)}"


def _one_line(message: str) -> str:
    return " ".join(message.split())
