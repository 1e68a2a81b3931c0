"""The virtual camera: Windows' on a camera in memory, and what Linux says where there is none that can be had.

Linux' own on real devices is in test_real_kernel.
"""

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from errno import EACCES, EBUSY
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
import pyvirtualcam.camera
from pictures import frames, picture

from livestyle import v4l2
from livestyle.errors import ConfigError, SinkError, SinkStalled
from livestyle.media import Frame, Pixels, StreamInfo
from livestyle.sinks import describe_sinks, open_sink
from livestyle.sinks.audience import Audience

INFO = StreamInfo(64, 48, Fraction(30), live=True)
linux = pytest.mark.skipif(sys.platform != "linux", reason="v4l2loopback is Linux")


class MemoryCamera:
    """Keeps what it is sent. ``refusal`` makes opening fail, ``broken`` makes sending fail."""

    made: ClassVar[list["MemoryCamera"]] = []
    name = "memory"
    refusal = ""
    broken = ""

    def __init__(self, *, width: int, height: int, fps: float, fourcc: int, device: str | None, **_: Any) -> None:
        if self.refusal:
            raise RuntimeError(self.refusal)
        self.size, self.fps, self.wanted = (width, height), fps, device
        self.sent: list[Pixels] = []
        self.closed = 0
        MemoryCamera.made.append(self)

    def device(self) -> str:
        return self.wanted or self.name

    def native_fourcc(self) -> None:
        return None

    def send(self, frame: Pixels) -> None:
        if self.broken:
            raise RuntimeError(self.broken)
        self.sent.append(frame.copy())

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Windows")
    monkeypatch.setattr(pyvirtualcam.camera, "BACKENDS", {"memory": MemoryCamera})
    monkeypatch.setattr(MemoryCamera, "made", [])


@pytest.mark.usefixtures("windows")
def test_sends_i420_of_even_size() -> None:
    info = StreamInfo(63, 47, Fraction(25), live=True)
    sink = open_sink("virtualcam", info)
    for frame in frames(info, 3):
        sink.write(frame)
    sink.close()
    (camera,) = MemoryCamera.made
    assert camera.size == (64, 48)
    assert camera.fps == 25.0
    assert camera.closed == 1
    assert len(camera.sent) == 3
    back = cv2.cvtColor(camera.sent[2].reshape(72, 64), cv2.COLOR_YUV2RGB_I420)
    difference = back[:47, :63].astype(int) - picture(63, 47, 2)
    assert np.median(np.abs(difference)) <= 3


@pytest.mark.usefixtures("windows")
def test_opens_the_device_that_is_named() -> None:
    sink = open_sink("virtualcam:second", INFO)
    assert MemoryCamera.made[0].wanted == "second"
    sink.close()
    with pytest.raises(ConfigError, match="names no device"):
        open_sink("virtualcam:", INFO)


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize(
    ("system", "refusal", "advice"),
    [
        ("Windows", "virtual camera output could not be started", "OBS Studio 26"),
        ("Darwin", "virtual camera output could not be started", "OBS Studio 30"),
        ("Windows", "Device second is already in use.", "in use by this program"),
        ("Elsewhere", "Something\nnew", "Something new"),
    ],
)
def test_an_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch, system: str, refusal: str, advice: str) -> None:
    monkeypatch.setattr(MemoryCamera, "refusal", refusal)
    monkeypatch.setattr(platform, "system", lambda: system)
    with pytest.raises(SinkError, match=advice) as caught:
        open_sink("virtualcam", INFO)
    assert "\n" not in str(caught.value)
    row = next(row for row in describe_sinks() if row.name == "virtualcam")
    assert not row.available
    assert advice in row.why


@pytest.mark.usefixtures("windows")
def test_a_device_that_refuses_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = open_sink("virtualcam", INFO)
    monkeypatch.setattr(MemoryCamera, "broken", "event not\nsignalled")
    with pytest.raises(SinkStalled, match="event not signalled"):
        sink.write(Frame(picture(64, 48, 0), 0, 0, Fraction(1, 30), 0.0))
    sink.close()


LOOPBACK = v4l2.Node(10, "livestyle", v4l2.LOOPBACK_DRIVER, captures=True)
WEBCAM = v4l2.Node(0, "Webcam", "uvcvideo", captures=True)


@linux
@pytest.mark.parametrize(
    ("nodes", "device", "advice"),
    [
        ([], "", "sudo modprobe v4l2loopback devices=1"),
        ([WEBCAM], "", "sudo modprobe v4l2loopback devices=1"),
        ([WEBCAM, LOOPBACK], "", "video10 is written to by another program.*modprobe -r v4l2loopback"),
        ([WEBCAM, replace(LOOPBACK, refused=EACCES)], "", "video10: run `sudo usermod -aG video"),
        ([replace(LOOPBACK, refused=EACCES)], "video10", "usermod -aG video"),
        ([replace(LOOPBACK, refused=EBUSY)], "", "video10 is open in too many programs"),
        ([WEBCAM], "video0", "no virtual camera .it is Webcam."),
        ([LOOPBACK], "video10", "written to by another program"),
        ([LOOPBACK], "video9", "video9 does not exist: `livestyle doctor`"),
        ([LOOPBACK], "other", "other is no virtual camera"),
    ],
)
def test_linux_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nodes: list[v4l2.Node], device: str, advice: str
) -> None:
    monkeypatch.setattr(v4l2, "DEVICES", tmp_path)
    monkeypatch.setattr(v4l2, "list_nodes", lambda: nodes)
    for name in (*(f"video{node.index}" for node in nodes), "other"):
        (tmp_path / name).touch()
    with pytest.raises(SinkError, match=advice) as caught:
        open_sink(f"virtualcam:{tmp_path / device}" if device else "virtualcam", INFO)
    assert "\n" not in str(caught.value)


@linux
def test_a_device_that_is_none_is_let_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One that goes away between the look and the opening, or does not answer."""
    monkeypatch.setattr(v4l2, "DEVICES", tmp_path)
    free = v4l2.Node(10, "livestyle", v4l2.LOOPBACK_DRIVER, captures=True, outputs=True)
    monkeypatch.setattr(v4l2, "list_nodes", lambda: [free])
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(SinkError, match="video10 has gone"):
        open_sink("virtualcam", INFO)
    (tmp_path / "video10").touch()
    with pytest.raises(SinkError, match=r"cannot open .*video10"):
        open_sink("virtualcam", INFO)
    assert len(os.listdir("/proc/self/fd")) == before


@linux
def test_an_audience_is_whoever_else_has_the_file_open(tmp_path: Path) -> None:
    device = tmp_path / "video10"
    device.touch()
    with _opened_elsewhere(device) as early:
        audience = Audience(device)
        assert audience.present
        with _opened_elsewhere(device):
            assert audience.present
        assert audience.present
        early.kill()
        early.wait()
        assert not audience.present
    with _opened_elsewhere(device):
        assert audience.present
    assert not audience.present
    audience.close()
    audience.close()
    assert audience.present  # nothing is known any more


@contextmanager
def _opened_elsewhere(device: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the file open and ends without closing it."""
    code = "import sys; file = open(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(device)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        try:
            yield process
        finally:
            process.kill()
            process.wait()
