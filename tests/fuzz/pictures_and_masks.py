"""Fuzzes pictures from disk: ``python tests/fuzz/pictures_and_masks.py -max_total_time=1800`` (see harness.py).

The input is a PNG, JPEG, WebP, TIFF, BMP or GIF, read as a picture and as a mask. OpenCV is not watched by atheris; the
changes of a PNG keep its checksums right.
"""

import functools
import struct
import tempfile
import zlib
from pathlib import Path
from random import Random

import cv2
import numpy as np
from harness import NUMBERS, Target, refusal, scramble, watch

with watch():
    from livestyle.pictures import is_picture, read_mask, read_picture

PNG = b"\x89PNG\r\n\x1a\n"


def check(data: bytes) -> None:
    file = _file()
    file.write_bytes(data)
    with refusal():
        is_picture(file)
    with refusal():
        picture = read_picture(file)
        assert picture.dtype == np.uint8
        assert picture.ndim == 3
        assert picture.shape[2] == 3
    with refusal():
        mask = read_mask(file)
        assert mask.dtype == np.float32
        assert mask.ndim == 2
        assert 0 <= mask.min() <= mask.max() <= 1


@functools.cache
def _file() -> Path:
    return Path(tempfile.mkdtemp()) / "picture"


def change(data: bytes, luck: Random) -> bytes:
    if not data.startswith(PNG):
        return scramble(data, luck)
    chunks = split_png(data)
    if not chunks:
        return scramble(data, luck)
    index = luck.randrange(len(chunks))
    name, body = chunks[index]
    kind = luck.randrange(6)
    if kind == 0 and len(chunks) > 1:
        del chunks[index]
    elif kind == 1:
        chunks.insert(luck.randrange(len(chunks)), (name, body))
    elif kind == 2:
        chunks[index] = luck.choice((b"IDAT", b"PLTE", b"tRNS", b"eXIf", b"iCCP", b"acTL", b"fcTL", b"fdAT")), body
    elif kind == 3 and name == b"IDAT":
        chunks[index] = name, zlib.compress(scramble(_inflate(body), luck))
    elif kind == 4 and name == b"IHDR" and len(body) == 13:
        at = luck.choice((0, 4))
        side = luck.choice((*NUMBERS, 7, 4096))
        body = body[:at] + side.to_bytes(4, "big") + body[at + 4 :]
        chunks[index] = (
            name,
            body[:8] + bytes([luck.choice((1, 2, 4, 8, 16)), luck.choice((0, 2, 3, 4, 6))]) + body[10:],
        )
    else:
        chunks[index] = name, scramble(body, luck)
    return PNG + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


def split_png(data: bytes) -> list[tuple[bytes, bytes]]:
    chunks, at = [], len(PNG)
    while at + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return chunks


def _inflate(body: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(body, 1 << 16)
    except zlib.error:
        return body


def encode(suffix: str, picture: np.ndarray) -> bytes:
    return cv2.imencode(suffix, picture)[1].tobytes()


RAMP = np.arange(12 * 9 * 4, dtype=np.uint8).reshape(9, 12, 4)
DEEP = RAMP.astype(np.uint16) * 257

TARGET = Target(
    check,
    seeds=(
        encode(".png", RAMP),
        encode(".png", RAMP[..., :3]),
        encode(".png", RAMP[..., 0]),
        encode(".png", DEEP),
        encode(".jpg", RAMP[..., :3]),
        encode(".webp", RAMP),
        encode(".tiff", RAMP[..., :3]),
        encode(".bmp", RAMP[..., :3]),
        encode(".gif", RAMP[..., :3]),
    ),
    words=(b"eXIf", b"IDAT", b"II*\0", b"MM\0*", b"\xff\xd8", b"\xff\xe1", b"Exif\0\0", b"RIFF", b"VP8X", b"GIF89a"),
    mutate=change,
)

if __name__ == "__main__":
    TARGET.run()
