"""Pictures on disk: any common format in, PNG, JPEG or WebP out, each written whole or not at all."""

import contextlib
import os
import stat
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from livestyle.errors import ConfigError, SinkError
from livestyle.media import Pixels

# What `write_picture` makes, by suffix, with its settings. Paintings have hard edges: JPEG without chroma subsampling.
WRITTEN: dict[str, tuple[int, ...]] = {
    ".png": (),
    ".jpg": (
        cv2.IMWRITE_JPEG_QUALITY,
        95,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ),
    ".jpeg": (
        cv2.IMWRITE_JPEG_QUALITY,
        95,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ),
    ".webp": (cv2.IMWRITE_WEBP_QUALITY, 95),
}
LONGEST = {".jpg": 65_500, ".jpeg": 65_500, ".webp": 16_383}  # pixels a side that the format holds

_PNG = b"\x89PNG\r\n\x1a\n"
_HEIC = (b"heic", b"heix", b"hevc", b"hevx", b"mif1", b"msf1")


def is_picture(path: Path) -> bool:
    """Whether the file, whatever its name, begins like a picture; an animated GIF is a video.

    Raises `ConfigError` for HEIC, which FFmpeg would take for a video of tiles.
    """
    with path.open("rb") as file:
        head = file.read(12)
    if cv2.haveImageReader(str(path)):
        return not (head.startswith(b"GIF8") and _count_pictures(path) > 1)
    if head[4:8] == b"ftyp" and head[8:] in _HEIC:
        raise ConfigError(f"{path} is a HEIC picture, which cannot be read here: save it as JPEG")
    return False


def check_input(path: Path) -> None:
    """Raise `ConfigError` unless there is a file with something in it."""
    try:
        facts = path.stat()
    except OSError as error:
        raise ConfigError(f"cannot open {path}: {_words(error)}") from error
    if stat.S_ISDIR(facts.st_mode):
        raise ConfigError(f"{path} is a folder: give one picture or one video")
    if not stat.S_ISREG(facts.st_mode):
        raise ConfigError(f"{path} is not an ordinary file")
    if not facts.st_size:
        raise ConfigError(f"{path} is empty (0 bytes)")


def read_picture(path: Path) -> Pixels:
    """An RGB picture (H, W, 3) uint8, upright.

    Grey becomes RGB, alpha is laid on white, 16 bits are rounded to 8, EXIF orientation is applied. A file that is cut
    off or damaged is refused, not read in part. Raises `ConfigError`.
    """
    picture = _read(path)
    if picture.shape[2] == 4:
        picture = _lay_on_white(picture)
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def read_mask(path: Path) -> NDArray[np.float32]:
    """A mask, float32 (H, W): 1 where the picture is white, 0 where it is black; of a cut-out, where it is opaque.

    Read as `read_picture` reads. Raises `ConfigError`.
    """
    picture = _read(path)
    if picture.shape[2] == 4 and picture[..., 3].min() < 255:
        grey = picture[..., 3]
    else:
        grey = np.asarray(cv2.cvtColor(np.ascontiguousarray(picture[..., :3]), cv2.COLOR_BGR2GRAY), np.uint8)
    return grey.astype(np.float32) / np.float32(255)


def _read(path: Path) -> Pixels:
    """A picture as it is stored, upright: BGR (H, W, 3) or BGRA (H, W, 4), uint8."""
    check_input(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot open {path}: {_words(error)}") from error
    orientation = 1
    if data.startswith(_PNG):
        # libpng prints its complaints to stderr by itself, so damage must be found before it sees any.
        orientation = _check_png(data, path)
    picture = _decode(data, cv2.IMREAD_UNCHANGED)
    if picture is not None and not (picture.ndim == 3 and picture.shape[2] == 4):
        # UNCHANGED keeps alpha and ignores orientation; without alpha OpenCV can turn it (JPEG, PNG, WebP, AVIF, TIFF).
        picture, orientation = _decode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH), 1
    if picture is None:
        raise ConfigError(f"{path} is not a picture that can be read: damaged, cut off, or of another kind")
    return _turn(_to_eight_bits(picture, path), orientation)


def check_target(path: Path) -> None:
    """Raise `ConfigError` or `SinkError` unless `write_picture` can write there: known before painting begins."""
    if path.suffix.lower() not in WRITTEN:
        raise ConfigError(f"cannot tell the format of {path} from its ending: known are {', '.join(WRITTEN)}")
    if path.is_dir():
        raise SinkError(f"cannot write {path}: it is a folder")
    check_folder(path.parent, path)


def check_folder(folder: Path, path: Path) -> None:
    """Raise `SinkError`, which names ``path``, unless files can be made in ``folder``."""
    if not folder.is_dir():
        raise SinkError(f"cannot write {path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SinkError(f"cannot write {path}: no permission to write in the folder {folder}")


def write_picture(path: Path, pixels: Pixels) -> None:
    """Write RGB ``pixels`` (H, W, 3) uint8 in the format of the suffix (`WRITTEN`), whole or not at all.

    Raises `ConfigError` for another suffix or a size that the format does not hold, `SinkError` when the disk refuses.
    """
    check_target(path)
    suffix = path.suffix.lower()
    if max(pixels.shape[:2]) > LONGEST.get(suffix, max(pixels.shape[:2])):
        raise ConfigError(f"{path}: {suffix} holds at most {LONGEST[suffix]} pixels a side: write .png")
    _, data = cv2.imencode(suffix, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), WRITTEN[suffix])
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data.tobytes())
        os.replace(part, path)
    except OSError as error:
        raise SinkError(f"cannot write {path}: {_words(error)}") from error
    finally:
        part.unlink(missing_ok=True)


def _count_pictures(path: Path) -> int:
    with _quiet():
        return int(cv2.imcount(str(path)))


def _decode(data: bytes, flags: int) -> NDArray[np.generic] | None:
    try:
        with _quiet():
            return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # larger than OpenCV's limit of 2^30 pixels
        return None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """OpenCV would tell the terminal what our one line says."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(0)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def _to_eight_bits(picture: NDArray[np.generic], path: Path) -> Pixels:
    if picture.dtype == np.uint16:
        return ((picture.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if picture.dtype != np.uint8:
        raise ConfigError(f"{path} has {picture.dtype} samples: save it with 8 or 16 bits")
    return picture.astype(np.uint8, copy=False)


def _lay_on_white(picture: Pixels) -> Pixels:
    colour, alpha = picture[..., :3].astype(np.uint16), picture[..., 3:].astype(np.uint16)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _check_png(data: bytes, path: Path) -> int:
    """The orientation (1 to 8) of a PNG whose every chunk is whole. Raises `ConfigError`."""
    orientation, last = 1, b""
    for kind, body, checksum in _png_chunks(data):
        if zlib.crc32(body, zlib.crc32(kind)) != checksum:
            raise ConfigError(f"{path} is a damaged PNG")
        if kind == b"eXIf":
            orientation = _exif_orientation(body)
        last = kind
    if last != b"IEND":
        raise ConfigError(f"{path} is a PNG that is cut off")
    return orientation


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    at = len(_PNG)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if at + 12 + length > len(data):
            return
        yield kind, data[at + 8 : at + 8 + length], struct.unpack_from(">I", data, at + 8 + length)[0]
        if kind == b"IEND":
            return
        at += 12 + length


def _exif_orientation(body: bytes) -> int:
    """Tag 274 of the first directory of a TIFF header, the form of EXIF; 1 (upright) when there is none."""
    order = {b"II": "<", b"MM": ">"}.get(body[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", body, 4)
        (count,) = struct.unpack_from(f"{order}H", body, start)
        for entry in range(count):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", body, start + 2 + 12 * entry)
            if tag == 274:
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1


def _turn(picture: Pixels, orientation: int) -> Pixels:
    """EXIF: 2 to 4 mirror or half turn, 5 to 8 the same on the transposed picture."""
    if orientation >= 5:
        picture = picture.transpose(1, 0, 2)
        orientation = {5: 1, 6: 2, 7: 3, 8: 4}[orientation]
    rows = -1 if orientation in (3, 4) else 1
    columns = -1 if orientation in (2, 3) else 1
    return np.ascontiguousarray(picture[::rows, ::columns])


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
