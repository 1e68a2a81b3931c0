"""Reading pictures of every kind, refusing damaged ones in one line, and writing them whole."""

import os
import struct
import zlib
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from livestyle.errors import ConfigError, SinkError
from livestyle.pictures import check_target, is_picture, read_picture, write_picture

COLOURS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[255, 255, 0], [0, 255, 255], [255, 0, 255]]], np.uint8)
BLOCKS = np.kron(COLOURS, np.ones((16, 16, 1), np.uint8)).astype(np.uint8)  # (32, 48, 3) RGB, no symmetry


def bgr(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels[..., ::-1])


def save(path: Path, data: np.ndarray, *settings: int) -> Path:
    """Encode with OpenCV as it stands: (H, W), BGR or BGRA."""
    assert cv2.imwrite(str(path), data, settings)
    return path


def exif(orientation: int, order: str = "<") -> bytes:
    """A TIFF header with one directory that holds the orientation alone."""
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    return head + struct.pack(f"{order}HHHIHHI", 1, 274, 3, 1, orientation, 0, 0)


def with_exif(path: Path, body: bytes) -> Path:
    """Put EXIF into a JPEG (first segment) or a PNG (first chunk after IHDR)."""
    data = path.read_bytes()
    if path.suffix == ".jpg":
        segment = b"Exif\0\0" + body
        data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]
    else:
        chunk = struct.pack(">I", len(body)) + b"eXIf" + body + struct.pack(">I", zlib.crc32(b"eXIf" + body))
        data = data[:33] + chunk + data[33:]
    path.write_bytes(data)
    return path


def stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """What a camera stores with this orientation, by the words of the EXIF standard."""
    turned = {
        1: lambda p: p,
        2: lambda p: p[:, ::-1],
        3: lambda p: np.rot90(p, 2),
        4: lambda p: p[::-1],
        5: lambda p: p.transpose(1, 0, 2),
        6: lambda p: np.rot90(p, 1),  # to be shown a quarter turn clockwise
        7: lambda p: np.rot90(p, 2).transpose(1, 0, 2),
        8: lambda p: np.rot90(p, -1),
    }
    return np.ascontiguousarray(turned[orientation](upright))


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".webp"])
def test_colours_come_back_as_rgb(tmp_path: Path, suffix: str) -> None:
    settings = (cv2.IMWRITE_WEBP_QUALITY, 101) if suffix == ".webp" else ()
    path = save(tmp_path / f"a{suffix}", bgr(BLOCKS), *settings)
    assert is_picture(path)
    assert np.array_equal(read_picture(path), BLOCKS)


def test_a_gif_is_a_picture_unless_it_moves(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    still, moving = tmp_path / "still.gif", tmp_path / "moving.gif"
    for path, count in ((still, 1), (moving, 3)):
        with av.open(str(path), "w") as container:
            stream = container.add_stream("gif", rate=10)
            stream.width, stream.height, stream.pix_fmt = 48, 32, "rgb8"
            for index in range(count):
                frame = av.VideoFrame.from_ndarray(np.roll(BLOCKS, 8 * index, axis=1), format="rgb24")
                container.mux(stream.encode(frame.reformat(format="rgb8")))
            container.mux(stream.encode(None))
    still.write_bytes(still.read_bytes() + b"\x21")  # no byte that a GIF may go on with
    cut = tmp_path / "cut.gif"
    cut.write_bytes(still.read_bytes()[:20])
    assert is_picture(cut)
    assert capfd.readouterr().err == ""
    assert is_picture(still)
    assert np.abs(read_picture(still).astype(int) - BLOCKS).max() < 40  # 256 colours
    assert not is_picture(moving)


def test_grey_becomes_rgb(tmp_path: Path) -> None:
    read = read_picture(save(tmp_path / "grey.png", np.arange(256, dtype=np.uint8).reshape(16, 16)))
    assert read.shape == (16, 16, 3)
    assert (read == np.arange(256).reshape(16, 16, 1)).all()


def test_alpha_is_laid_on_white(tmp_path: Path) -> None:
    red = np.zeros((2, 3, 4), np.uint8)
    red[..., 2] = 255
    red[:, 1, 3], red[:, 2, 3] = 128, 255
    read = read_picture(save(tmp_path / "a.png", red))
    assert read[0].tolist() == [[255, 255, 255], [255, 127, 127], [255, 0, 0]]


def test_sixteen_bits_are_rounded_to_eight(tmp_path: Path) -> None:
    deep = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    assert read_picture(save(tmp_path / "deep.png", deep))[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]
    clear = np.full((1, 1, 4), 65535, np.uint16)
    clear[..., :3], clear[..., 3] = 0, 0
    assert read_picture(save(tmp_path / "clear.png", clear)).tolist() == [[[255, 255, 255]]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_is_applied_to_jpeg_and_png(tmp_path: Path, orientation: int, order: str) -> None:
    given = bgr(stored(BLOCKS, orientation))
    jpeg = with_exif(save(tmp_path / "a.jpg", given, cv2.IMWRITE_JPEG_QUALITY, 100), exif(orientation, order))
    read = read_picture(jpeg)
    assert read.shape == BLOCKS.shape
    assert np.abs(read.astype(int) - BLOCKS)[4::8, 4::8].max() < 12
    opaque = np.dstack([given, np.full(given.shape[:2], 255, np.uint8)])
    png = with_exif(save(tmp_path / "a.png", opaque), exif(orientation, order))
    assert np.array_equal(read_picture(png), BLOCKS)


@pytest.mark.parametrize("body", [b"", b"II", b"II*\0\xff\xff\xff\xff", b"nonsense!", exif(9), exif(0)])
def test_damaged_exif_is_ignored(tmp_path: Path, body: bytes) -> None:
    picture = np.dstack([bgr(BLOCKS), np.full(BLOCKS.shape[:2], 255, np.uint8)])
    assert np.array_equal(read_picture(with_exif(save(tmp_path / "a.png", picture), body)), BLOCKS)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tiff", ".bmp"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_a_cut_off_picture_is_refused_in_silence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], suffix: str, share: float
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    path = save(tmp_path / f"a{suffix}", noise)
    data = path.read_bytes()
    path.write_bytes(data[: max(8, int(len(data) * share))])
    with pytest.raises(ConfigError, match=r"cut off"):
        read_picture(path)
    assert capfd.readouterr() == ("", "")  # the codecs behind OpenCV like to talk


def test_a_flipped_byte_in_a_png_is_found(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = save(tmp_path / "a.png", bgr(BLOCKS))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ConfigError, match="damaged PNG"):
        read_picture(path)
    assert capfd.readouterr() == ("", "")


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    text, empty, heic = tmp_path / "text.jpg", tmp_path / "empty.png", tmp_path / "phone.heic"
    text.write_text("hello")
    empty.touch()
    heic.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    assert not is_picture(text)
    for path, words in (
        (text, "not a picture"),
        (empty, "0 bytes"),
        (tmp_path, "folder"),
        (tmp_path / "no", "no such"),
    ):
        with pytest.raises(ConfigError, match=words):
            read_picture(path)
    with pytest.raises(ConfigError, match="HEIC"):
        is_picture(heic)
    floats = save(tmp_path / "float.tiff", np.zeros((4, 4, 3), np.float32))
    with pytest.raises(ConfigError, match="8 or 16 bits"):
        read_picture(floats)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG", ".webp"])
def test_written_pictures_read_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_picture(path, BLOCKS)
    assert np.abs(read_picture(path).astype(int) - BLOCKS)[4::8, 4::8].max() < 16
    assert os.listdir(tmp_path) == [path.name]


def test_places_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ConfigError, match=r"known are \.png, \.jpg"):
        check_target(tmp_path / "a.xyz")
    with pytest.raises(SinkError, match="there is no folder"):
        write_picture(tmp_path / "none" / "a.png", BLOCKS)
    with pytest.raises(SinkError, match="it is a folder"):
        write_picture(tmp_path / "folder.png", BLOCKS)
    with pytest.raises(ConfigError, match=r"16383 pixels a side: write \.png"):
        write_picture(tmp_path / "a.webp", np.zeros((1, 16384, 3), np.uint8))
    assert os.listdir(tmp_path) == ["folder.png"]
