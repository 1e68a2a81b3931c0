"""Recordings: read back with PyAV, cut off, and written where they cannot be."""

import errno
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.error import FFmpegError
from disks import full_disk
from pictures import frames, picture, sound

from livestyle.errors import SinkError
from livestyle.media import AudioPacket, Frame, Pixels, StreamInfo
from livestyle.sinks import open_sink

INFO = StreamInfo(64, 48, Fraction(30), live=False)


def decode(path: Path) -> list[tuple[float, Pixels]]:
    """Seconds and picture of all frames that can be read before the end, or before the damage."""
    read: list[tuple[float, Pixels]] = []
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                assert frame.time is not None
                read.append((frame.time, np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)))
    except FFmpegError:
        assert read, "nothing could be read"
    return read


def sound_times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(p.pts * p.time_base) for p in container.demux(audio=0) if p.pts is not None]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".flv"])
@pytest.mark.parametrize("live", [False, True])
def test_frames_and_their_times_come_back(tmp_path: Path, suffix: str, live: bool) -> None:
    info = replace(INFO, live=live)
    path = tmp_path / f"out{suffix}"
    sink = open_sink(str(path), info)
    for frame in frames(info, 40):
        sink.write(frame)
    sink.close()
    read = decode(path)
    assert len(read) == 40
    assert np.abs(np.array([at for at, _ in read]) - np.arange(40) / 30).max() < 0.001
    with av.open(str(path)) as container:
        assert container.duration == pytest.approx(40 / 30 * 1e6, abs=2000)
        container.seek(1_000_000)
        assert next(container.decode(video=0)).pts is not None
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("width", "height", "encoded"),
    [(641, 359, (642, 360)), (16, 16, (16, 16)), (1, 1, (2, 2)), (1279, 721, (1280, 722)), (3840, 2160, (3840, 2160))],
)
def test_any_size_keeps_its_colours(tmp_path: Path, width: int, height: int, encoded: tuple[int, int]) -> None:
    info = StreamInfo(width, height, Fraction(30), live=True)
    path = tmp_path / "out.mp4"
    sink = open_sink(str(path), info)
    colours = np.zeros((height, width, 3), np.uint8)
    colours[:, : width // 2] = (200, 40, 60)
    colours[:, width // 2 :] = (30, 160, 220)
    for index in range(2):
        sink.write(Frame(colours, index, index, Fraction(1, 30), 0.0))
    sink.close()
    pixels = decode(path)[-1][1]
    assert (pixels.shape[1], pixels.shape[0]) == encoded
    if width > 2:
        assert np.abs(pixels[height // 2, width // 4].astype(int) - (200, 40, 60)).max() <= 4
        assert np.abs(pixels[height - 1, width - 1].astype(int) - (30, 160, 220)).max() <= 4
    with av.open(str(path)) as container:  # BT.709 from 720 lines on, BT.601 below, limited range
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_range) == (1 if height >= 720 else 5, 1)


def test_uneven_times_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    sink = open_sink(str(path), INFO)
    moments = [0, 40, 50, 700, 701, 5000, 5033]
    for index, at in enumerate(moments):
        sink.write(Frame(picture(64, 48, index), index, 9_000 + at, Fraction(1, 1000), 0.0))
    sink.close()
    assert [round(at * 1000) for at, _ in decode(path)] == moments


def test_ntsc_rate_is_exact(tmp_path: Path) -> None:
    info = replace(INFO, fps=Fraction(30_000, 1001))
    path = tmp_path / "out.mp4"
    sink = open_sink(str(path), info)
    for frame in frames(info, 31):
        sink.write(frame)
    sink.close()
    with av.open(str(path)) as container:
        times = [p.pts * p.time_base for p in container.demux(video=0) if p.pts is not None]
    assert times[30] - times[0] == Fraction(30 * 1001, 30_000)


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [(".mp4", "aac"), (".mkv", "aac"), (".mov", "aac"), (".flv", "aac"), (".mkv", "libopus"), (".mp4", "libmp3lame")],
)
@pytest.mark.parametrize("live", [False, True])
def test_sound_is_carried_in_step(tmp_path: Path, suffix: str, codec: str, live: bool) -> None:
    audio, packets = sound(1.0, codec)
    info = replace(INFO, audio=audio, live=live)
    path = tmp_path / f"out{suffix}"
    sink = open_sink(str(path), info)
    for packet in packets[:20]:  # ahead of its pictures
        sink.write_audio(packet)
    for frame in frames(info, 30):
        sink.write(frame)
    for packet in packets[20:]:
        sink.write_audio(packet)
    sink.close()
    assert len(decode(path)) == 30
    expected = [packet.seconds for packet in packets if packet.seconds >= 0]
    carried = sound_times(path)
    assert len(carried) == len(expected)
    assert np.abs(np.array(carried) - expected).max() < 0.002
    with av.open(str(path)) as container:
        heard = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
    assert np.abs(heard).max() > 0.3


def test_adts_sound_from_a_transport_stream(tmp_path: Path) -> None:
    audio, packets = sound(0.5)
    path = tmp_path / "out.mp4"
    sink = open_sink(str(path), replace(INFO, audio=replace(audio, extradata=None)))
    for packet in packets:
        head = (0xFFF1 << 40 | 1 << 38 | 3 << 34 | 2 << 30 | (len(packet.data) + 7) << 13 | 0x7FF << 2).to_bytes(
            7, "big"
        )
        sink.write_audio(replace(packet, data=head + packet.data))
    for frame in frames(INFO, 15):
        sink.write(frame)
    sink.close()
    with av.open(str(path)) as container:
        heard = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
    assert np.abs(heard).max() > 0.3


def test_sound_that_does_not_fit_is_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    audio, packets = sound(0.2, "libopus")
    path = tmp_path / "out.flv"
    with caplog.at_level(logging.WARNING):
        sink = open_sink(str(path), replace(INFO, audio=audio))
    assert "without sound: opus" in caplog.text
    for packet in packets:
        sink.write_audio(packet)
    for frame in frames(INFO, 5):
        sink.write(frame)
    sink.close()
    assert len(decode(path)) == 5


def test_the_old_file_stays_until_the_new_one_is_good(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_text("older")
    (tmp_path / "out.part.mp4").write_text("left by a run that was cut off")
    sink = open_sink(str(path), INFO)
    for frame in frames(INFO, 3):
        sink.write(frame)
    assert path.read_text() == "older"
    sink.close()
    assert len(decode(path)) == 3
    assert (tmp_path / "out.part.mp4").read_text() == "left by a run that was cut off"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_run_without_frames_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_text("older")
    open_sink(str(path), INFO).close()
    assert [child.read_text() for child in tmp_path.iterdir()] == ["older"]


CUT_OFF = """
import sys
from dataclasses import replace
from livestyle.sinks import open_sink
from pictures import frames, sound
from test_file_sink import INFO
info = replace(INFO, live=True, audio=sound(0.1)[0])
sink = open_sink(sys.argv[1], info)
for frame in frames(info, 100_000):
    sink.write(frame)
    if frame.index == 200:
        print("written", flush=True)
        sys.stdin.read()
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".flv"])
def test_a_run_that_is_killed_leaves_a_playable_part(tmp_path: Path, suffix: str) -> None:
    """Also when the sound stays silent, which makes muxers wait."""
    path = tmp_path / f"out{suffix}"
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{here.parent}"}
    process = subprocess.Popen(
        [sys.executable, "-c", CUT_OFF, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        process.send_signal(signal.SIGKILL)
    assert not path.exists()
    assert len(decode(tmp_path / f"out.part{suffix}")) >= 200 - 2 * 30 - 8  # a group of pictures, the encoder's delay


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".flv"])
def test_a_full_disk_is_one_line_and_what_was_written_plays(tmp_path: Path, suffix: str) -> None:
    info = StreamInfo(160, 120, Fraction(30), live=True)
    noise = np.random.default_rng(0).integers(0, 255, (8, 120, 160, 3), np.uint8)
    with full_disk(tmp_path) as small:
        sink = open_sink(str(small / f"out{suffix}"), info)

        def record() -> None:  # 150 frames: noticed within two groups of pictures, not at the end
            for index in range(150):
                sink.write(Frame(noise[index % 8], index, index, Fraction(1, 30), time.monotonic()))

        with pytest.raises(SinkError, match=r"disk is full|larger than the system allows") as caught:
            record()
        assert f"out.part{suffix}" in str(caught.value)
        assert "\n" not in str(caught.value)
        with pytest.raises(SinkError, match=r"disk is full|larger than the system allows"):
            sink.write(Frame(noise[0], 999, 999, Fraction(1, 30), 0.0))
        sink.close()
        sink.close()
        assert decode(small / f"out.part{suffix}")
        assert not (small / f"out{suffix}").exists()


def test_a_disk_that_is_full_at_the_close(tmp_path: Path) -> None:
    info = StreamInfo(160, 120, Fraction(30), live=True)
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    with full_disk(tmp_path) as small:
        sink = open_sink(str(small / "out.mp4"), info)
        for index in range(25):  # less than a group: still in memory
            sink.write(Frame(np.roll(noise, 37 * index, axis=1), index, index, Fraction(1, 30), time.monotonic()))
        with pytest.raises(SinkError, match=r"disk is full|larger than the system allows"):
            sink.close()
        sink.close()
        assert not (small / "out.mp4").exists()


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("missing/out.mp4", "folder does not exist"),
        ("file.txt/out.mp4", "folder does not exist"),
        ("dir.mp4", "folder"),
    ],
)
def test_a_place_that_cannot_be_written(tmp_path: Path, spec: str, said: str) -> None:
    (tmp_path / "dir.mp4").mkdir()
    (tmp_path / "file.txt").write_text("")
    with pytest.raises(SinkError, match=said):
        open_sink(str(tmp_path / spec), INFO)
    assert sorted(child.name for child in tmp_path.iterdir()) == ["dir.mp4", "file.txt"]


def test_a_folder_without_permission(tmp_path: Path) -> None:
    folder = Path("/sys/kernel") if os.geteuid() == 0 else tmp_path  # root may write anywhere but there
    tmp_path.chmod(0o500)
    with pytest.raises(SinkError, match="permission"):
        open_sink(str(folder / "out.mp4"), INFO)
    tmp_path.chmod(0o700)


def test_a_read_only_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, **_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(SinkError, match="read-only"):
        open_sink(str(tmp_path / "out.mp4"), INFO)


def test_names_with_signs_that_ffmpeg_reads(tmp_path: Path) -> None:
    path = tmp_path / "a:b %d 'c' ü.mp4"
    sink = open_sink(str(path), INFO)
    sink.write_audio(AudioPacket(b"", 0, 0, Fraction(1, 1000)))  # a sink without sound ignores it
    for frame in frames(INFO, 2):
        sink.write(frame)
    sink.close()
    assert path.stat().st_size > 500
