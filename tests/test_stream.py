"""Files: every picture and packet of good ones, one clear line for bad ones."""

import struct
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from clips import ClipWriter, make_clip, number_of

from livestyle.errors import SourceError, SourceLost
from livestyle.media import AudioPacket, Frame
from livestyle.sources import open_source
from livestyle.sources.demux import Demuxer
from livestyle.sources.reader import Picture
from livestyle.sources.stream import StreamSource, public_name


def read_all(source: StreamSource) -> tuple[list[Frame], list[AudioPacket]]:
    """Everything up to the end, which must stay the end."""
    frames: list[Frame] = []
    sound: list[AudioPacket] = []
    while (item := source.read()) is not None:
        if isinstance(item, Frame):
            frames.append(item)
        else:
            sound.append(item)
    assert source.read() is None
    return frames, sound


def turn(path: Path, matrix: tuple[int, ...]) -> None:
    """Give the video track of an mp4 the display matrix (a b c d) that a phone writes."""
    data = bytearray(path.read_bytes())
    header = data.index(b"tkhd")
    assert data[header + 4] == 0  # version 0: the matrix lies 40 bytes into the box's payload
    a, b, c, d = (value * 0x10000 for value in matrix)
    struct.pack_into(">9i", data, header + 44, a, b, 0, c, d, 0, 0, 0, 0x40000000)
    path.write_bytes(data)


def test_a_file_gives_every_picture_and_every_packet_of_sound_untouched(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 45)
    with StreamSource(str(clip)) as source:
        before = time.monotonic()
        info = source.info
        frames, sound = read_all(source)
    assert (info.width, info.height, info.fps, info.live, info.frames) == (320, 240, 30, False, 45)
    assert [frame.index for frame in frames] == list(range(45))
    assert [number_of(frame.pixels) for frame in frames] == list(range(45))
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(number, 30) for number in range(45)]
    assert frames[0].pixels.dtype == np.uint8
    assert frames[0].pixels.flags.c_contiguous
    assert before - 5 < frames[-1].captured <= time.monotonic()
    with av.open(str(clip)) as container:
        packets = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
        extradata = container.streams.audio[0].codec_context.extradata
    assert info.audio is not None
    assert (info.audio.codec, info.audio.sample_rate, info.audio.layout) == ("aac", 48_000, "stereo")
    assert info.audio.extradata == extradata
    assert [packet.data for packet in sound] == packets
    assert all(packet.time_base == info.audio.time_base for packet in sound)
    assert sound[-1].seconds == pytest.approx(1.5, abs=0.05)


def test_a_variable_frame_rate_is_kept(tmp_path: Path) -> None:
    moments = [0.0, 0.1, 0.11, 0.5, 2.0, 2.05]
    writer = ClipWriter(tmp_path / "clip.mkv", sound=False)
    for number, moment in enumerate(moments):
        writer.write(number, moment)
    writer.close()
    with StreamSource(str(tmp_path / "clip.mkv")) as source:
        frames, _ = read_all(source)
    assert [frame.seconds for frame in frames] == pytest.approx(moments, abs=0.002)


def test_stamps_start_at_zero_and_picture_and_sound_stay_in_step(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.ts", 30)  # MPEG-TS starts its clock at 1.4 s
    with StreamSource(str(clip)) as source:
        frames, sound = read_all(source)
    assert frames[0].pts == 0
    assert sound[0].seconds == pytest.approx(0.0, abs=0.05)
    assert frames[-1].seconds == pytest.approx(29 / 30, abs=0.001)


def test_a_size_change_and_a_clock_that_starts_again_pass_through(tmp_path: Path) -> None:
    joined = tmp_path / "joined.ts"
    parts = [make_clip(tmp_path / f"{size[0]}.ts", 30, size) for size in ((320, 240), (160, 120))]
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    with StreamSource(str(joined)) as source:
        frames, sound = read_all(source)
    assert {frame.pixels.shape for frame in frames} == {(240, 320, 3), (120, 160, 3)}
    assert len(frames) == 60
    for stamps in ([frame.pts for frame in frames], [packet.pts for packet in sound]):
        assert stamps == sorted(set(stamps))
    assert frames[-1].seconds == pytest.approx(59 / 30, abs=0.2)
    assert sound[-1].seconds == pytest.approx(frames[-1].seconds, abs=0.2)


@pytest.mark.parametrize(
    ("matrix", "size"), [((0, 1, -1, 0), (48, 64)), ((0, -1, 1, 0), (48, 64)), ((-1, 0, 0, -1), (64, 48))]
)
def test_a_phone_held_upright_is_turned(tmp_path: Path, matrix: tuple[int, ...], size: tuple[int, int]) -> None:
    path = tmp_path / "phone.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        pixels = np.zeros((48, 64, 3), np.uint8)
        pixels[:24, :32] = 255  # bright: top left of the sensor
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    turn(path, matrix)
    with StreamSource(str(path)) as source:
        info, (frames, _) = source.info, read_all(source)
    assert (info.width, info.height) == size
    corners = frames[0].pixels[[4, 4, -5, -5], [4, -5, 4, -5]].mean(axis=1) > 128
    bright = {(0, 1, -1, 0): 1, (0, -1, 1, 0): 2, (-1, 0, 0, -1): 3}[matrix]  # clockwise, anticlockwise, upside down
    assert list(np.flatnonzero(corners)) == [bright]
    assert frames[0].pixels.flags.c_contiguous


@pytest.mark.parametrize("size", [(641, 359), (16, 16)])
def test_any_size(tmp_path: Path, size: tuple[int, int]) -> None:
    clip = make_clip(tmp_path / "clip.mkv", 3, size, pix_fmt="yuv444p")
    with StreamSource(str(clip)) as source:
        frames, _ = read_all(source)
        assert (source.info.width, source.info.height) == size
    assert [frame.pixels.shape for frame in frames] == [(size[1], size[0], 3)] * 3


def test_a_name_with_a_colon_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "http:odd name.mp4", 2, sound=False)
    with open_source("http:odd name.mp4") as source:  # type: ignore[attr-defined]
        assert not source.info.live
        assert source.info.audio is None


def test_a_title_in_another_coding_is_no_reason_to_refuse(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    with av.open(str(clip), "w") as container:
        container.metadata["title"] = "TITLE"
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(stream.encode())
    data = clip.read_bytes()
    assert b"TITLE" in data
    clip.write_bytes(data.replace(b"TITLE", "Tïtle".encode("latin-1")))
    with StreamSource(str(clip)) as source:
        assert len(read_all(source)[0]) == 1


def test_a_caption_that_comes_late_does_not_end_a_live_stream_early(tmp_path: Path) -> None:
    """FFmpeg makes one more stream for it, and PyAV stumbles over that at the end."""
    clip = make_clip(tmp_path / "clip.flv", 5)
    text = b"\2\0\x0aonTextData" + b"\3\0\4text\2\0\5hello\0\0\t"
    tag = b"\x12" + len(text).to_bytes(3, "big") + bytes(7) + text
    clip.write_bytes(clip.read_bytes() + tag + struct.pack(">I", len(tag)))
    with av.open(str(clip), options={"fpsprobesize": "0"}) as container:
        items = list(Demuxer(container, "clip", live=False))
    assert sum(isinstance(item, Picture) for item in items) == 5


def test_pictures_beyond_the_memory_are_not_decoded(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mov"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("png", rate=30)
        stream.width, stream.height, stream.pix_fmt = 9000, 8000, "gray"
        container.mux(stream.encode(av.VideoFrame(9000, 8000, "gray")))
        container.mux(stream.encode())
    with pytest.raises(SourceError, match="67 megapixels at most"):
        StreamSource(str(clip))


def test_a_broken_middle_is_passed_over(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    clip = make_clip(tmp_path / "clip.ts", 90)
    data = bytearray(clip.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = np.random.default_rng(0).bytes(3000)
    clip.write_bytes(data)
    with StreamSource(str(clip)) as source:
        frames, _ = read_all(source)
    assert len(frames) > 60
    assert number_of(frames[-1].pixels) == 89 % 56
    assert capfd.readouterr() == ("", "")


def test_nothing_but_broken_packets_is_given_up(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    clip = make_clip(tmp_path / "clip.mkv", 900, (64, 64), sound=False)
    with av.open(str(clip)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    spoilt, at = bytearray(clip.read_bytes()), 0
    for number, packet in enumerate(packets):
        at = spoilt.index(packet, at)
        if number >= 30:
            spoilt[at : at + len(packet)] = b"\xff" * len(packet)
        at += len(packet)
    clip.write_bytes(spoilt)
    items: list[object] = []
    with StreamSource(str(clip)) as source, pytest.raises(SourceLost, match="packets in a row that cannot be decoded"):
        items.extend(iter(source.read, None))
    assert 25 <= len(items) <= 60
    assert capfd.readouterr() == ("", "")


def test_a_file_that_was_cut_off_ends_early(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mkv", 90)
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    with StreamSource(str(clip)) as source:
        frames, _ = read_all(source)
    assert 20 < len(frames) < 90


def _bad_files(folder: Path) -> dict[str, Path]:
    folder.joinpath("text.mp4").write_text("this is a text, not a film\n" * 50)
    folder.joinpath("notes.txt").write_text("this is a text, not a film\n" * 50)
    folder.joinpath("empty.mp4").touch()
    folder.joinpath("folder.mp4").mkdir()
    cv2.imwrite(str(folder / "picture.png"), np.zeros((8, 8, 3), np.uint8))
    with av.open(str(folder / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 2 * 4800), np.int16), format="s16", layout="stereo")
        frame.rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    clip = make_clip(folder / "whole.mp4", 30).read_bytes()
    folder.joinpath("headless.mp4").write_bytes(clip[: len(clip) // 2])  # its index was at the end
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("missing.mp4", "no such file"),
        ("folder.mp4", "is a folder"),
        ("empty.mp4", r"is empty \(0 bytes\)"),
        ("text.mp4", "not a video"),
        ("notes.txt", "is a text"),
        ("picture.png", "is a picture"),
        ("sound.mp4", "sound but no video"),
        ("headless.mp4", "damaged, cut off"),
    ],
)
def test_a_bad_file_is_one_clear_line(tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, why: str) -> None:
    path = _bad_files(tmp_path).get(name, tmp_path / name)
    with pytest.raises(SourceError, match=why) as caught:
        StreamSource(str(path))
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_what_is_no_file_and_no_stream_is_one_clear_line() -> None:
    with pytest.raises(SourceError, match="is not a file"):
        StreamSource("/dev/null")
    with pytest.raises(SourceError, match="srt:// is not supported"):
        StreamSource("srt://user:secret@host/x")


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        ("rtmp://me:pw@host:1935/live/secret?token=1", "rtmp://host:1935/live/…"),
        ("rtmp-listen://0.0.0.0:1935/app/secret", "rtmp-listen://0.0.0.0:1935/app/…"),
        ("http://me:pw@host/film.mp4?token=1", "http://host/film.mp4"),
        ("rtsp://me:pw@host/cam/1", "rtsp://host/cam/…"),
        ("/films/a film.mp4", "/films/a film.mp4"),
    ],
)
def test_names_shown_hold_no_secrets(spec: str, shown: str) -> None:
    assert public_name(spec) == shown
