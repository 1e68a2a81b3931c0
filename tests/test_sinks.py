"""What every sink of the table promises, and the table itself."""

import platform
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvirtualcam.camera
from pictures import frames, picture
from servers import RtmpServer, nginx_rtmp

from livestyle.errors import ConfigError, SinkError
from livestyle.media import AudioPacket, Frame, Sink, StreamInfo
from livestyle.sinks import SINKS, describe_sinks, open_sink, sink_name
from livestyle.sinks.null import NullSink
from livestyle.sinks.web import PreviewSink

INFO = StreamInfo(64, 48, Fraction(30), live=False)
SOUND = AudioPacket(b"\0", 0, 1024, Fraction(1, 48_000))


class FakeCamera:
    """A virtual camera in memory, as pyvirtualcam's documentation describes one; Linux' own is in test_real_kernel."""

    def __init__(self, **_: Any) -> None:
        pass

    def device(self) -> str:
        return "fake"

    def native_fourcc(self) -> None:
        return None

    def send(self, frame: np.ndarray) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RtmpServer]:
    with nginx_rtmp(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(params=[name if name != "rtmp" else pytest.param(name, marks=pytest.mark.slow) for name in SINKS])
def opener(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[StreamInfo], Sink]:
    """Opens the sink of the table that is asked for."""
    if request.param == "web":
        return lambda info: PreviewSink()
    if request.param == "virtualcam":
        monkeypatch.setattr(platform, "system", lambda: "Windows")
        monkeypatch.setattr(pyvirtualcam.camera, "BACKENDS", {"fake": FakeCamera})
    if request.param == "rtmp":
        server: RtmpServer = request.getfixturevalue("server")
        return lambda info: open_sink(server.url("contract"), info)
    spec = str(tmp_path / "out.mp4") if request.param == "file" else request.param
    return lambda info: open_sink(spec, info)


def test_takes_frames_and_sound_until_closed(opener: Callable[[StreamInfo], Sink]) -> None:
    sink = opener(INFO)
    for frame in frames(INFO, 5):
        sink.write(frame)
    sink.write_audio(SOUND)
    sink.close()
    sink.close()
    with pytest.raises(SinkError, match="closed"):
        sink.write(next(frames(INFO, 1)))


def test_interrupt_frees_a_writer(opener: Callable[[StreamInfo], Sink]) -> None:
    sink = opener(INFO)
    far = Frame(picture(64, 48, 0), 1, 3600, Fraction(1), 0.0)  # an hour later: a sink that keeps time has to wait

    def write() -> None:
        sink.write(next(frames(INFO, 1)))
        sink.write(far)

    writer = threading.Thread(target=write, name="writer")
    writer.start()
    writer.join(0.3)
    sink.interrupt()
    sink.interrupt()
    writer.join(1.0)
    assert not writer.is_alive()
    sink.close()


def test_refuses_pictures_of_another_size(opener: Callable[[StreamInfo], Sink], request: pytest.FixtureRequest) -> None:
    sink = opener(INFO)
    if not isinstance(sink, NullSink | PreviewSink):
        with pytest.raises(SinkError, match="48x64"):
            sink.write(Frame(picture(32, 48, 0), 0, 0, Fraction(1, 30), 0.0))
    sink.close()


def test_null_counts() -> None:
    sink = open_sink("null", INFO)
    assert isinstance(sink, NullSink)
    for frame in frames(INFO, 7):
        sink.write(frame)
    sink.write_audio(SOUND)
    assert (sink.frames, sink.audio_packets) == (7, 1)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("virtualcam", "virtualcam"),
        ("virtualcam:/dev/video10", "virtualcam"),
        ("web", "web"),
        ("null", "null"),
        ("rtmp://host/app/key", "rtmp"),
        ("rtmps://host/app/key", "rtmp"),
        ("a/b.MP4", "file"),
        ("b.mkv", "file"),
    ],
)
def test_names(spec: str, name: str) -> None:
    assert sink_name(spec) == name


@pytest.mark.parametrize("spec", ["", "nul", "a.avi", "http://host/a.mp4", "folder/", "camera:0"])
def test_unknown_name_lists_the_known(spec: str) -> None:
    with pytest.raises(ConfigError, match=r"virtualcam.*rtmp://.*\.mp4.*null"):
        open_sink(spec, INFO)


def test_web_belongs_to_the_session() -> None:
    with pytest.raises(ConfigError, match="session"):
        open_sink("web", INFO)


def test_doctor_has_a_line_for_every_sink() -> None:
    rows = describe_sinks()
    assert [row.name for row in rows] == list(SINKS)
    assert all(row.why and "\n" not in row.why for row in rows)
    assert {row.name for row in rows if row.available} >= {"file", "null", "rtmp", "web"}
