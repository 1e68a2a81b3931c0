"""Tools of what runs inside the test machine: drivers, a program that shows a camera, and how a case is entered."""

import fcntl
import os
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from pictures import picture
from repeating import repeated

from livestyle.errors import LivestyleError, SinkStalled
from livestyle.media import Frame, Pixels, StreamInfo
from livestyle.sinks import open_sink
from livestyle.sources.camera import CameraSource, list_cameras

OUT = Path("/mnt")
PLAIN, EXCLUSIVE = "/dev/video10", "/dev/video11"
INFO = StreamInfo(320, 180, Fraction(15), live=True)
PATIENCE = 600.0  # s; everything here takes its time, livestyle's start 40 s of two free cores
S_CTRL = 0xC008561C
DROPPED_BUFFERS, DISCONNECT = 0x00F0F040, 0x00F0F041  # controls of vivid
BARS = [  # of vivid at 75 %
    (191, 191, 191), (191, 191, 0), (0, 191, 191), (0, 191, 0), (191, 0, 191), (191, 0, 0), (0, 0, 191), (0, 0, 0)
]  # fmt: skip

CASES: dict[str, Callable[[], str]] = {}
Case = Callable[[], str]


def case(function: Case) -> Case:
    """Enter a function into `CASES`; what it returns is a note for people."""
    CASES[function.__name__] = function
    return function


# Drivers.


def load(module: str, *parameters: str) -> None:
    subprocess.run(["/run/busybox", "insmod", f"/run/{module}.ko", *parameters], check=True)


def unload(module: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["/run/busybox", "rmmod", module], capture_output=True, text=True)


def load_webcam() -> None:
    load("vivid", "n_devs=1", "node_types=0x1", "num_inputs=1", "input_types=0", "multiplanar=1", "vid_cap_nr=0")


def load_loopback() -> None:
    labels = "card_label=plain,exclusive"
    load("v4l2loopback", "devices=2", "video_nr=10,11", labels, "exclusive_caps=0,1", "max_buffers=2")


def set_control(control: int, value: int) -> None:
    device = os.open("/dev/video0", os.O_RDWR)
    fcntl.ioctl(device, S_CTRL, struct.pack("Ii", control, value))
    os.close(device)


# People and programs.


def wait_for(what: Callable[[], object], why: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, f"{why} within {PATIENCE:g} s"
        time.sleep(0.05)


def refusal(error: type[LivestyleError], action: Callable[[], object]) -> str:
    """The one line with which ``action`` is refused."""
    said = ""
    try:
        action()
    except error as refused:
        said = str(refused)
    assert said, "it was not refused"
    assert "\n" not in said
    return said


def open_camera(size: tuple[int, int] = (320, 180), fps: float = 30) -> CameraSource:
    return CameraSource(0, size, fps)


def take(source: CameraSource) -> Frame:
    frame = source.read()
    assert frame is not None
    return frame


def assert_bars(pixels: Pixels) -> None:
    """Low in the picture, where no text stands on them."""
    height, width = pixels.shape[:2]
    seen = [pixels[height * 9 // 10, (2 * bar + 1) * width // 16] for bar in range(8)]
    worst = int(np.abs(np.array(seen, int) - BARS).max())
    assert worst <= 8, f"the bars are {[each.tolist() for each in seen]}"


class CallProgram:
    """Shows a virtual camera, as a browser or a call program does."""

    def __init__(self, device: str) -> None:
        self._container = av.open(device, format="v4l2", timeout=(5.0, PATIENCE))
        self._stream = self._container.streams.video[0]
        self._packets = self._container.demux(self._stream)

    def look(self) -> Pixels:
        """The next picture, in RGB. Nothing of FFmpeg's is kept: it lies in the driver's memory."""
        (image,) = next(self._packets).decode()
        return image.to_ndarray(format="rgb24").copy()

    def wait_for(self, wanted: Pixels) -> Pixels:
        """Look until it is shown; colour is kept by half the pixels, so fine detail differs."""
        seen: list[Pixels] = []

        def shown() -> bool:
            seen[:] = [self.look()]
            height, width = wanted.shape[:2]
            return bool(np.median(np.abs(seen[0][:height, :width].astype(int) - wanted)) <= 3)

        wait_for(shown, "the picture is seen")
        return seen[0]

    @property
    def facts(self) -> tuple[int, int, str, float]:
        rate = self._stream.average_rate
        return self._stream.width, self._stream.height, str(self._stream.codec_context.pix_fmt), float(rate or 0)

    def close(self) -> None:
        self._packets.close()
        self._container.close()

    def __enter__(self) -> "CallProgram":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def showing(device: str, info: StreamInfo = INFO, number: int = 7) -> Iterator[None]:
    """The sink, open and fed with one picture again and again from a thread, as an outlet does."""
    sink = open_sink(f"virtualcam:{device}", info)
    frame = Frame(picture(info.width, info.height, number), 0, 0, Fraction(1, 30), 0.0)
    failures: list[BaseException] = []

    def feed() -> None:
        try:
            sink.write(frame)
        except SinkStalled as error:
            failures.append(error)

    sink.write(frame)  # from here on a device with exclusive_caps=1 is a camera
    try:
        with repeated(feed, 0.03):
            yield
    finally:
        sink.close()
    assert not failures, failures


def virtual_cameras() -> list[int]:
    return [camera.index for camera in list_cameras() if camera.virtual]
