"""The virtual camera that call programs see: v4l2loopback on Linux, OBS or Unity Capture on Windows, OBS on macOS."""

import platform
from typing import Protocol

from livestyle.errors import ConfigError, SinkError, SinkStalled
from livestyle.media import AudioPacket, Frame, Pixels, StreamInfo
from livestyle.sinks.encode import check_size, even_size, to_i420

NO_DEVICE = {
    "Windows": "there is no virtual camera: install OBS Studio 26 or newer, or Unity Capture",
    "Darwin": "there is no virtual camera: install OBS Studio 30 or newer, start and stop its virtual camera once",
}


class Camera(Protocol):
    """What writes to a device; it takes I420 pictures."""

    @property
    def device(self) -> str:
        """The device's name."""

    def send(self, picture: Pixels) -> None:
        """Show one picture. Raises `OSError` or `RuntimeError` when the device takes none."""

    def close(self) -> None:
        """Leave the device."""


class VirtualCameraSink:
    """Sends pictures as BT.601 limited-range I420, which receivers expect; odd sides gain one pixel."""

    def __init__(self, spec: str, info: StreamInfo) -> None:
        """Open ``virtualcam`` (the first device) or ``virtualcam:DEVICE``. Raises `SinkError` that says what to do."""
        self._info = info
        _, _, device = spec.partition(":")
        if ":" in spec and not device:
            raise ConfigError(f"{spec!r} names no device: give virtualcam, or for example virtualcam:/dev/video10")
        width, height = even_size(info.width, info.height)
        self._camera: Camera | None = _open(device, width, height, float(info.fps))
        self.device = self._camera.device
        self.frames = 0

    @property
    def watched(self) -> bool:
        """Whether a program shows the picture; True where the system does not tell."""
        return bool(getattr(self._camera, "watched", True))

    def write(self, frame: Frame) -> None:
        """Show one frame. Raises `SinkStalled` when the device takes none, and `SinkError` once closed."""
        if self._camera is None:
            raise SinkError("the virtual camera is closed")
        check_size(frame.pixels, self._info)
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
    """Whether a virtual camera is here, and which; what to do where not."""
    if platform.system() == "Linux":
        from livestyle.sinks.loopback import describe

        return describe()
    try:
        camera = _open("", 640, 480, 30.0)
    except SinkError as error:
        return False, str(error)
    camera.close()
    return True, camera.device


def _open(device: str, width: int, height: int, fps: float) -> Camera:
    system = platform.system()
    if system == "Linux":
        from livestyle.sinks.loopback import Loopback

        return Loopback(device, width, height, fps)
    import pyvirtualcam

    try:
        camera: Camera = pyvirtualcam.Camera(
            width, height, fps, fmt=pyvirtualcam.PixelFormat.I420, device=device or None
        )
    except (RuntimeError, OSError, ValueError) as error:
        if "already in use" in str(error).lower():
            raise SinkError(f"{device or 'the virtual camera'} is in use by this program already") from error
        raise SinkError(NO_DEVICE.get(system, _one_line(str(error)))) from error
    return camera


def _one_line(message: str) -> str:
    return " ".join(message.split())
