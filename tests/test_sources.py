"""The contract of `Source`, over every entry of the table, and the names that users type."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import av
import numpy as np
import pytest
from av.container import InputContainer
from clips import make_clip
from publisher import publisher
from servers import free_port

from livestyle import v4l2
from livestyle.errors import ConfigError, SourceError
from livestyle.media import AudioPacket, Frame, Source
from livestyle.sources import SOURCES, camera, describe_sources, open_source

Open = Callable[[], Source]


class Slow(camera.CameraSource):
    """A camera of one picture a second: FFmpeg's pattern generator, there being no device."""

    def _open_v4l2(self) -> InputContainer:
        return av.open("testsrc=size=64x48:rate=1,realtime", format="lavfi")


@pytest.fixture(params=["camera", "scene", "stream file", "stream live"])
def opened(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    """One open source of each kind; the live ones soon have nothing to give and block."""
    with ExitStack() as stack:
        if request.param == "camera":
            monkeypatch.setattr(v4l2, "DEVICES", tmp_path)
            monkeypatch.setattr(v4l2, "ask_node", lambda index: v4l2.Node(index, "pattern", captures=True))
            (tmp_path / "video0").symlink_to("/dev/null")
            source: Source = Slow(0)
        elif request.param == "scene":
            source = open_source("scene", size=(64, 48), fps=1)
        elif request.param == "stream file":
            source = open_source(str(make_clip(tmp_path / "clip.mp4", 30)))
        else:
            port = free_port()
            stack.enter_context(publisher(f"rtmp://127.0.0.1:{port}/a/b", fps=1))
            source = open_source(f"rtmp-listen://127.0.0.1:{port}/a/b")
        yield source
        source.close()


def test_every_source_keeps_the_contract(opened: Source) -> None:
    item = opened.read()
    while isinstance(item, AudioPacket):
        item = opened.read()
    assert isinstance(item, Frame)
    assert item.pixels.shape == (opened.info.height, opened.info.width, 3)
    assert item.pixels.dtype == np.uint8
    assert (item.index, item.pts) == (0, 0)
    assert item.captured <= time.monotonic()
    assert opened.info.fps > 0
    opened.close()
    opened.close()
    with pytest.raises(SourceError):
        opened.read()
    opened.interrupt()


def test_every_source_can_be_interrupted(opened: Source) -> None:
    threading.Timer(0.3, opened.interrupt).start()
    started = time.monotonic()
    while opened.read() is not None:
        assert time.monotonic() - started < 1.3
    assert time.monotonic() - started < 1.3
    opened.interrupt()
    assert opened.read() is None


def test_a_waiting_open_can_be_cancelled() -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(SourceError, match="on request"):
        open_source(f"rtmp-listen://127.0.0.1:{free_port()}/a/b", cancel=cancel)


def test_auto_without_a_camera_is_the_scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v4l2, "DEVICES", tmp_path)
    source = open_source("auto", size=(64, 48), fps=12.5)
    assert (source.info.width, source.info.height, float(source.info.fps), source.info.live) == (64, 48, 12.5, True)
    source.close()


@pytest.mark.parametrize("spec", ["", "camera:", "camera:x", "camera:-1", "camera:front", "camera:" + "9" * 5000])
def test_a_name_that_makes_no_sense_is_the_users_mistake(spec: str) -> None:
    with pytest.raises(ConfigError):
        open_source(spec)


@pytest.mark.parametrize("spec", ["camera:97", "nothing.mp4", "Scene", "rtmp:/one-slash"])
def test_what_is_not_there_is_one_line(spec: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(spec)
    assert "\n" not in str(caught.value)


def test_the_doctor_hears_of_every_source() -> None:
    rows = describe_sources()
    assert [name for name, _, _ in rows] == list(SOURCES)
    assert all(why for _, _, why in rows)
    assert {name: available for name, available, _ in rows}["scene"]
