"""Cameras as far as a machine without one goes: what is missing, what is none, and both ways to read one.

FFmpeg's pattern generator stands in for the device (it is a libavdevice input, as v4l2 is), a file for OpenCV's.
"""

import sys
import threading
from pathlib import Path

import av
import cv2
import pytest
from av.container import InputContainer
from clips import make_clip, number_of

from livestyle import v4l2
from livestyle.config import LiveConfig
from livestyle.errors import SourceError, SourceLost
from livestyle.launch import SourceChoice
from livestyle.media import Frame
from livestyle.sources import camera, describe_sources
from livestyle.sources.camera import CameraSource, first_camera, list_cameras
from livestyle.sources.reader import Reader

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/dev/videoN is Linux")


@pytest.fixture
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in place of /dev."""
    monkeypatch.setattr(v4l2, "DEVICES", tmp_path)
    return tmp_path


class Pattern(CameraSource):
    """A camera whose device is FFmpeg's pattern generator in real time."""

    graph = "testsrc=size=320x240:rate=30,realtime"

    def __init__(self, graph: str = graph) -> None:
        self.graph = graph
        super().__init__(0)

    def _open_v4l2(self) -> InputContainer:
        return av.open(self.graph, format="lavfi")


@pytest.fixture
def null_device(devices: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (devices / "video0").symlink_to("/dev/null")
    monkeypatch.setattr(v4l2, "ask_node", lambda index: v4l2.Node(index, "pattern", captures=True))


def test_a_machine_without_a_camera_says_so(devices: Path) -> None:
    assert list_cameras() == []
    with pytest.raises(SourceError, match="no camera found: plug one in"):
        first_camera()
    with pytest.raises(SourceError, match="no camera found"):
        CameraSource()
    assert ("camera", False, camera.NO_CAMERA) in describe_sources()


def test_what_is_no_camera_is_refused_in_one_line(devices: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (devices / "video1").symlink_to("/dev/null")
    (devices / "video2").mkdir()
    (devices / "video3").write_text("no device")
    (devices / "video-index").write_text("no number")
    cases = ((0, "there is no camera 0"), (1, "gives no pictures"), (2, "is not a camera"), (3, "is not a camera"))
    for index, why in cases:
        with pytest.raises(SourceError, match=why) as caught:
            CameraSource(index)
        assert "\n" not in str(caught.value)
    assert list_cameras() == []
    assert capfd.readouterr() == ("", "")


def test_both_readers_refuse_a_device_that_is_none(devices: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Past the check, as when a camera is pulled out at that moment."""
    (devices / "video77").symlink_to("/dev/null")
    source = CameraSource.__new__(CameraSource)
    source._index, source._size, source._fps, source._name = 77, (640, 480), 30.0, "camera 77"
    source._path = devices / "video77"
    assert source._open_v4l2() is None
    with pytest.raises(SourceError, match="camera 77 cannot be opened"):
        Reader("test", source._produce_opencv).opened(5.0, "late")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("errno", "words"),
    [(16, "used by another program"), (13, "usermod -aG video"), (19, "there is no camera 4"), (None, "cannot be")],
)
def test_every_refusal_says_what_to_do(errno: int | None, words: str) -> None:
    message = camera._explain(errno, 4)
    assert words in message
    assert "\n" not in message


@pytest.mark.usefixtures("null_device")
def test_a_camera_through_ffmpeg_is_live_and_gives_the_newest_picture() -> None:
    with Pattern() as source:
        assert (source.info.width, source.info.height, source.info.fps) == (320, 240, 30)
        assert source.info.live
        frames = [source.read() for _ in range(3)]
        assert all(frame is not None and frame.pixels.shape == (240, 320, 3) for frame in frames)
        stamps = [(frame.index, frame.pts) for frame in frames if frame is not None]
        assert stamps == sorted(set(stamps))


@pytest.mark.usefixtures("null_device")
def test_a_camera_that_stops_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    with Pattern("testsrc=size=64x48:rate=30:duration=0.2") as source, pytest.raises(SourceLost, match="camera 0"):
        list(iter(source.read, None))
    monkeypatch.setattr(camera, "STALL_SECONDS", 0.2)
    with Pattern("testsrc=size=64x48:rate=1,realtime") as source, pytest.raises(SourceLost, match="unplugged"):
        list(iter(source.read, None))


@pytest.fixture
def plugs(devices: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a link ``videoN`` to /dev/null is a camera that gives pictures for 0.2 s."""

    def ask(index: int) -> v4l2.Node | None:
        return v4l2.Node(index, "pattern", captures=True) if (devices / f"video{index}").exists() else None

    def give(camera: CameraSource) -> InputContainer:
        return av.open("testsrc=size=64x48:rate=30:duration=0.2", format="lavfi")

    monkeypatch.setattr(v4l2, "ask_node", ask)
    monkeypatch.setattr(CameraSource, "_open_v4l2", give)
    return devices


def test_auto_takes_any_camera_after_a_loss_and_the_lost_one_first(plugs: Path) -> None:
    def lose() -> None:
        with choice.open(threading.Event()) as source, pytest.raises(SourceLost):  # type: ignore[attr-defined]
            list(iter(source.read, None))

    choice = SourceChoice(LiveConfig(source="auto"))
    (plugs / "video2").symlink_to("/dev/null")
    lose()
    assert choice.spec == "camera:2"
    (plugs / "video0").symlink_to("/dev/null")
    lose()
    assert choice.spec == "camera:2"
    (plugs / "video2").unlink()
    lose()
    assert choice.spec == "camera:0"
    (plugs / "video0").unlink()
    with pytest.raises(SourceError, match="no camera found"):  # and not the scene in its place
        choice.open(threading.Event())
    (plugs / "video5").symlink_to("/dev/null")
    lose()
    assert choice.spec == "camera:5"


def test_auto_that_became_the_scene_stays_it(plugs: Path) -> None:
    choice = SourceChoice(LiveConfig(source="auto"))
    choice.open(threading.Event()).close()
    (plugs / "video0").symlink_to("/dev/null")
    choice.open(threading.Event()).close()
    assert choice.spec == "scene"


def test_a_camera_through_opencv(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 10, sound=False)
    source = CameraSource.__new__(CameraSource)
    source._fps, source._name = 30.0, "camera 0"
    device = cv2.VideoCapture(str(clip))
    source._reader = Reader("test", lambda reader: source._read_opencv(device, reader))
    info = source._reader.opened(5.0, "late")
    assert (info.width, info.height, info.fps, info.live) == (320, 240, 30, True)
    seen: list[Frame] = []
    with pytest.raises(SourceLost, match="unplugged"):
        seen.extend(iter(source.read, None))
    assert seen[-1].index == 9
    assert number_of(seen[-1].pixels) == 9
    source.close()
    device.release()
