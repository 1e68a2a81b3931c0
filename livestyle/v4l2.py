"""Linux' video devices by their ioctls (linux/videodev2.h): what is there, what it can do, how a picture is agreed on.

Nothing here streams. Functions that take a ``device`` want an open file descriptor and raise `OSError` as the driver
does; one that the driver does not know of is no error where that only means that there is nothing to tell.
"""

import os
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from errno import EACCES, EBUSY, EPERM
from pathlib import Path

if sys.platform != "win32":
    import fcntl

DEVICES = Path("/dev")
SYSTEM = Path("/sys/class/video4linux")
LOOPBACK_DRIVER = "v4l2 loopback"

QUERYCAP = 0x80685600
ENUM_FMT = 0xC0405602
ENUM_FRAMESIZES = 0xC02C564A
ENUM_FRAMEINTERVALS = 0xC034564B
S_FMT = 0xC0D05605
TRY_FMT = 0xC0D05640
S_PARM = 0xC0CC5616
STREAMON = 0x40045612
CAPTURE, OUTPUT = 1, 2  # enum v4l2_buf_type
CAN_CAPTURE = 0x00000001 | 0x00001000  # also with several planes
CAN_OUTPUT = 0x00000002
HAS_DEVICE_CAPS = 0x80000000
DISCRETE = 1  # enum v4l2_frmsizetypes and v4l2_frmivaltypes; the others are ranges
PROGRESSIVE = 1  # enum v4l2_field

CAPABILITY = struct.Struct("16s32s32sIII12x")  # driver, card, bus, version, of the whole, of this node
FORMAT = struct.Struct("I4xII4sI184x")  # type; width, height, four letters, field of v4l2_pix_format
RATE = struct.Struct("IIIII184x")  # type; capability, mode, seconds per picture as a fraction of v4l2_captureparm
MODE_LIMIT = 256  # of a driver that never ends its lists


@dataclass(frozen=True, slots=True)
class Node:
    """/dev/video``index``. ``refused`` is the errno with which it did not open, 0 where it did."""

    index: int
    card: str = ""
    driver: str = ""
    captures: bool = False
    outputs: bool = False
    refused: int = 0

    @property
    def path(self) -> Path:
        """The device file."""
        return DEVICES / f"video{self.index}"

    @property
    def loopback(self) -> bool:
        """Whether it is one of v4l2loopback's."""
        return self.driver == LOOPBACK_DRIVER


@dataclass(frozen=True, slots=True)
class Mode:
    """One picture that a camera gives: four letters such as MJPG, pixels, and the most pictures per second (0: n/a)."""

    format: str
    width: int
    height: int
    fps: float


def list_nodes() -> list[Node]:
    """All /dev/videoN by number, those without pictures (metadata) too."""
    indices = sorted(int(path.name[5:]) for path in DEVICES.glob("video*") if path.name[5:].isdigit())
    return [node for node in map(ask_node, indices) if node is not None]


def ask_node(index: int) -> Node | None:
    """What /dev/video``index`` is; None if it is no video device."""
    try:
        device = os.open(DEVICES / f"video{index}", os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        # One that is there and may not be opened is better named than hidden: opening it says what to do.
        return _ask_system(index, error.errno) if error.errno in (EACCES, EPERM, EBUSY) else None
    answer = bytearray(CAPABILITY.size)
    try:
        fcntl.ioctl(device, QUERYCAP, answer)
    except OSError:
        return None
    finally:
        os.close(device)
    driver, card, _, _, whole, own = CAPABILITY.unpack(answer)
    can = own if whole & HAS_DEVICE_CAPS else whole
    return Node(index, _text(card), _text(driver), bool(can & CAN_CAPTURE), bool(can & CAN_OUTPUT))


def _ask_system(index: int, refused: int) -> Node:
    """What the system says about a device that does not open itself."""
    folder = SYSTEM / f"video{index}"
    with suppress(OSError):
        # Cameras hang on a bus; of what does not, v4l2loopback is what people have.
        virtual = folder.resolve().is_relative_to("/sys/devices/virtual")
        card = (folder / "name").read_text(errors="replace").strip()
        return Node(index, card, LOOPBACK_DRIVER if virtual else "", refused=refused)
    return Node(index, refused=refused)


def list_modes(device: int) -> list[Mode]:
    """Every picture format and size that a camera lists, in its order; ranges of sizes by their largest."""
    return [
        Mode(letters, width, height, _highest_rate(device, letters, width, height))
        for letters in _formats(device)
        for width, height in _sizes(device, letters)
    ]


def try_format(device: int, letters: str, width: int, height: int) -> tuple[int, int] | None:
    """The (width, height) that the camera would give for this wish; None if it does not have that picture format."""
    answer = bytearray(FORMAT.pack(CAPTURE, width, height, letters.encode(), 0))
    try:
        fcntl.ioctl(device, TRY_FMT, answer)
    except OSError:
        return None
    _, width, height, given, _ = FORMAT.unpack(answer)
    return (width, height) if given == letters.encode() else None


def set_output(device: int, letters: str, width: int, height: int, fps: float) -> tuple[str, int, int]:
    """Agree on what will be written: the (four letters, width, height) that the driver settled on, maybe not the wish.

    ``fps`` is what the receiver is told, where the driver takes it.
    """
    answer = bytearray(FORMAT.pack(OUTPUT, width, height, letters.encode(), PROGRESSIVE))
    fcntl.ioctl(device, S_FMT, answer)
    rate = bytearray(RATE.pack(OUTPUT, 0, 0, 1000, round(fps * 1000)))
    with suppress(OSError):  # the receiver sees the driver's own rate
        fcntl.ioctl(device, S_PARM, rate)
    _, width, height, given, _ = FORMAT.unpack(answer)
    return _text(given), width, height


def start_output(device: int) -> None:
    """Say that this is the writer, which v4l2loopback 0.12 has to know to take another one after the end.

    Without it a device with exclusive_caps=1 is no output any more once its writer has gone, until the driver is loaded
    anew (https://github.com/letmaik/pyvirtualcam/issues/61). Newer drivers refuse and do not need it.
    """
    with suppress(OSError):
        fcntl.ioctl(device, STREAMON, struct.pack("i", OUTPUT))


def _formats(device: int) -> Iterator[str]:
    for index in range(MODE_LIMIT):
        answer = bytearray(struct.pack("III32s4s16x", index, CAPTURE, 0, b"", b""))
        try:
            fcntl.ioctl(device, ENUM_FMT, answer)
        except OSError:
            return
        yield answer[44:48].decode("ascii", "replace").rstrip()


def _sizes(device: int, letters: str) -> Iterator[tuple[int, int]]:
    for index in range(MODE_LIMIT):
        answer = bytearray(struct.pack("I4sI32x", index, letters.ljust(4).encode(), 0))
        try:
            fcntl.ioctl(device, ENUM_FRAMESIZES, answer)
        except OSError:
            return
        kind, *sides = struct.unpack_from("IIIIII", answer, 8)
        if kind != DISCRETE:  # least and most width, its step, the same of the height
            yield sides[1], sides[4]
            return
        yield sides[0], sides[1]


def _highest_rate(device: int, letters: str, width: int, height: int) -> float:
    """Most pictures per second; 0.0 where the driver does not say."""
    highest = 0.0
    for index in range(MODE_LIMIT):
        answer = bytearray(struct.pack("I4sII36x", index, letters.ljust(4).encode(), width, height))
        try:
            fcntl.ioctl(device, ENUM_FRAMEINTERVALS, answer)
        except OSError:
            break
        kind, seconds, parts = struct.unpack_from("III", answer, 16)
        highest = max(highest, parts / seconds if seconds else 0.0)
        if kind != DISCRETE:  # the shortest interval stands first
            break
    return highest


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode(errors="replace")
