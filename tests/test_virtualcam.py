"""The virtual camera, on a camera in memory and on this machine, which may have none."""

from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
import pyvirtualcam.camera
from pictures import frames, picture

import livestyle.sinks.virtualcam as virtualcam
from livestyle.errors import ConfigError, SinkError, SinkStalled
from livestyle.media import Frame, Pixels, StreamInfo
from livestyle.sinks import describe_sinks, open_sink


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


@pytest.fixture(autouse=True)
def memory_camera(monkeypatch: pytest.MonkeyPatch) -> type[MemoryCamera]:
    monkeypatch.setattr(pyvirtualcam.camera, "BACKENDS", {"memory": MemoryCamera})
    monkeypatch.setattr(MemoryCamera, "made", [])
    return MemoryCamera


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


def test_opens_the_device_that_is_named() -> None:
    sink = open_sink("virtualcam:second", StreamInfo(64, 48, Fraction(30), live=True))
    assert MemoryCamera.made[0].wanted == "second"
    sink.close()
    with pytest.raises(ConfigError, match="names no device"):
        open_sink("virtualcam:", StreamInfo(64, 48, Fraction(30), live=True))


@pytest.mark.parametrize(
    ("refusal", "advice"),
    [
        ("Virtual camera device /dev/video9 could not be opened due to missing permissions.", "usermod -aG video"),
        ("Virtual camera device /dev/video9 is not a video output device.", "close call programs"),
        ("Device /dev/video9 does not exist.", "livestyle doctor"),
        ("Virtual camera device /dev/video9 is already in use.", "in use by this program"),
        ("Something\nnew", "Something new"),
    ],
)
def test_an_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch, refusal: str, advice: str) -> None:
    monkeypatch.setattr(MemoryCamera, "refusal", refusal)
    monkeypatch.setattr(virtualcam.platform, "system", lambda: "Linux")
    with pytest.raises(SinkError, match=advice) as caught:
        open_sink("virtualcam:/dev/video9", StreamInfo(64, 48, Fraction(30), live=True))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("system", "advice"), [("Linux", "modprobe v4l2loopback"), ("Windows", "OBS Studio"), ("Darwin", "OBS Studio 30")]
)
def test_no_camera_says_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, system: str, advice: str
) -> None:
    refusal = "No v4l2 loopback device found" if system == "Linux" else "virtual camera output could not be started"
    monkeypatch.setattr(MemoryCamera, "refusal", refusal)
    monkeypatch.setattr(virtualcam.platform, "system", lambda: system)
    monkeypatch.setattr(virtualcam, "DEVICES", tmp_path / "none")
    with pytest.raises(SinkError, match=advice):
        open_sink("virtualcam", StreamInfo(64, 48, Fraction(30), live=True))
    row = next(row for row in describe_sinks() if row.name == "virtualcam")
    assert not row.available
    assert advice in row.why


def test_a_device_that_is_still_held_asks_for_a_reload(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "video10").mkdir()
    monkeypatch.setattr(virtualcam, "DEVICES", tmp_path)
    monkeypatch.setattr(MemoryCamera, "refusal", "No v4l2 loopback device found at /dev/video[0-99].")
    with pytest.raises(SinkError, match="modprobe -r v4l2loopback"):
        open_sink("virtualcam", StreamInfo(64, 48, Fraction(30), live=True))


def test_a_device_that_goes_away_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """pyvirtualcam only prints that a write failed, so the node is watched."""
    info = StreamInfo(64, 48, Fraction(30), live=True)
    sink = open_sink("virtualcam:/dev/null", info)
    monkeypatch.setattr(virtualcam, "POLL_SECONDS", 0.0)
    sink.write(next(frames(info, 1)))
    monkeypatch.setattr(virtualcam.os, "stat", _missing)
    with pytest.raises(SinkStalled, match="/dev/null is gone"):
        sink.write(next(frames(info, 1)))
    monkeypatch.undo()
    sink.close()


def _missing(path: str) -> None:
    raise FileNotFoundError(path)


def test_a_device_that_refuses_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    info = StreamInfo(64, 48, Fraction(30), live=True)
    sink = open_sink("virtualcam", info)
    monkeypatch.setattr(MemoryCamera, "broken", "event not\nsignalled")
    with pytest.raises(SinkStalled, match="event not signalled"):
        sink.write(Frame(picture(64, 48, 0), 0, 0, Fraction(1, 30), 0.0))
    sink.close()


def test_the_real_driver_names_a_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the real back ends
    with pytest.raises(SinkError) as caught:
        open_sink("virtualcam:/dev/video98", StreamInfo(64, 48, Fraction(30), live=True))
    assert "/dev/video98 does not exist" in str(caught.value)
