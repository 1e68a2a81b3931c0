"""v4l2loopback, Linux' virtual camera: which device to take, and writing to it.

Not through pyvirtualcam, which leaves every device open that it looks at and does not take (v4l2loopback allows 10
openings), only prints that writing failed, does not see that the driver keeps another size, and after whose end a
device with exclusive_caps=1 is lost until the driver is loaded anew (v4l2.start_output).
"""

import os
from errno import EACCES, EBUSY, ENOENT, EPERM
from pathlib import Path

from livestyle import v4l2
from livestyle.errors import SinkError
from livestyle.media import Pixels
from livestyle.sinks.audience import Audience

PICTURE = "YU12"  # V4L2's letters for I420
MODPROBE = "sudo modprobe v4l2loopback devices=1 video_nr=10 card_label=livestyle exclusive_caps=1 max_buffers=2"
RELOAD = f"sudo modprobe -r v4l2loopback && {MODPROBE}"
NO_DEVICE = f"there is no virtual camera: run `{MODPROBE}` (package v4l2loopback-dkms)"
PERMISSION = "run `sudo usermod -aG video $USER` and log in again"


class Loopback:
    """One v4l2loopback device that this program writes I420 pictures of one size to."""

    def __init__(self, device: str, width: int, height: int, fps: float) -> None:
        """Open ``device``, the first free one for "". Raises `SinkError` that says what to do."""
        path = _choose(device)
        self.device = str(path)
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            raise SinkError(_explain(error.errno, path)) from error
        try:
            given = v4l2.set_output(self._file, PICTURE, width, height, fps)
            if given != (PICTURE, width, height):
                raise SinkError(
                    f"a program that is shown {path} keeps it at {given[1]}x{given[2]} {given[0]}: "
                    f"close that program, or choose that size (this is {width}x{height} {PICTURE})"
                )
            v4l2.start_output(self._file)
            self._audience = Audience(path)
        except OSError as error:
            os.close(self._file)
            raise SinkError(_explain(error.errno, path)) from error
        except SinkError:
            os.close(self._file)
            raise

    @property
    def watched(self) -> bool:
        """Whether another program has the device open."""
        return self._audience.present

    def send(self, picture: Pixels) -> None:
        """Show one picture, uint8 of width * height * 3 / 2 bytes. Raises `OSError` when the device takes none."""
        os.write(self._file, picture.data)

    def close(self) -> None:
        """Leave the device; called once."""
        self._audience.close()
        os.close(self._file)


def describe() -> tuple[bool, str]:
    """Whether there is a device to write to, and which; what to do where not."""
    nodes = v4l2.list_nodes()
    free = [node for node in nodes if node.loopback and node.outputs]
    if free:
        return True, ", ".join(f"{node.path} {node.card}" for node in free) + " (v4l2loopback)"
    return False, _why_none(nodes)


def _choose(device: str) -> Path:
    nodes = v4l2.list_nodes()
    if not device:
        for node in nodes:
            if node.loopback and node.outputs:
                return node.path
        raise SinkError(_why_none(nodes))
    path = Path(device).resolve()
    if not path.exists():
        raise SinkError(f"the virtual camera {device} does not exist: `livestyle doctor` lists those that do")
    for node in nodes:
        if node.path.resolve() == path:
            return _check(node)
    raise SinkError(f"{device} is no virtual camera; `livestyle doctor` lists those that are")


def _check(node: v4l2.Node) -> Path:
    if not node.loopback:
        raise SinkError(
            f"{node.path} is no virtual camera (it is {node.card}); `livestyle doctor` lists those that are"
        )
    if not node.outputs:
        raise SinkError(_why_none([node]))
    return node.path


def _why_none(nodes: list[v4l2.Node]) -> str:
    """What to do when none of ``nodes`` can be written to."""
    node = next((node for node in nodes if node.loopback), None)
    if node is None:
        return NO_DEVICE
    if not node.refused:
        return f"{node.path} is written to by another program: close that one; if there is none, run `{RELOAD}`"
    return _explain(node.refused, node.path)


def _explain(errno: int | None, path: Path) -> str:
    if errno in (EACCES, EPERM):
        return f"no permission to write to {path}: {PERMISSION}"
    if errno == EBUSY:
        return f"{path} is open in too many programs: close one of them"
    if errno == ENOENT:
        return f"the virtual camera {path} has gone: {NO_DEVICE}"
    return f"cannot open {path}: {os.strerror(errno or 0).lower()}"
