"""Fuzzes the source of files and streams: ``python tests/fuzz/videos.py -max_total_time=1800`` (see harness.py).

The first byte chooses how the rest, a small FLV or mp4 with sound, arrives: 14 mod 16 over HTTP, 15 over RTMP, its tags
pushed by a publisher to ``rtmp-listen``, which also gets what is no FLV, as the publisher's own words; otherwise as a
file. It is read to its end. FFmpeg is not watched by atheris;
the changes keep the form of boxes and tags.
"""

import contextlib
import copy
import functools
import io
import itertools
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random

import av
import numpy as np
from harness import NUMBERS, Target, refusal, scramble, watch

with watch():
    from livestyle.media import Frame
    from livestyle.sources.stream import StreamSource

HTTP, RTMP = 14, 15
PARENTS = {b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0, b"edts": 0, b"dinf": 0, b"udta": 0, b"moof": 0}
PARENTS |= {b"traf": 0, b"mvex": 0, b"stsd": 8, b"avc1": 78, b"mp4a": 28, b"meta": 4}  # bytes before the first child
Box = tuple[bytes, bytes, list["Box"]]  # type, bytes before the children, children


def check(data: bytes) -> None:
    kind, data = data[0] % 16 if data else 0, data[1:]
    if kind == HTTP:
        read_all(f"http://127.0.0.1:{_http(data)}/video")
    elif kind == RTMP:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        left = threading.Event()
        threading.Thread(target=publish, args=(port, data, left), daemon=True).start()
        read_all(f"rtmp-listen://127.0.0.1:{port}/live/key", left)
    else:
        file = _file()
        file.write_bytes(data)
        read_all(str(file))


def read_all(spec: str, cancel: threading.Event | None = None) -> None:
    with refusal(), StreamSource(spec, cancel=cancel) as source:
        assert source.info.width > 0
        assert source.info.height > 0
        assert 0 < source.info.fps <= 240
        last: dict[type, Fraction] = {}
        while item := source.read():
            now = item.pts * item.time_base
            assert now > last.get(type(item), Fraction(-(10**9))), "time runs backwards"
            last[type(item)] = now
            if isinstance(item, Frame):
                assert item.pixels.dtype == np.uint8
                assert item.pixels.ndim == 3


@functools.cache
def _file() -> Path:
    return Path(tempfile.mkdtemp()) / "video"


# ---- the other ends


class _Handler(BaseHTTPRequestHandler):
    data = b""

    def do_GET(self) -> None:
        with contextlib.suppress(OSError):
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.data)))
            self.end_headers()
            self.wfile.write(self.data)

    def log_message(self, *_: object) -> None: ...


@functools.cache
def _server() -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def _http(data: bytes) -> int:
    _Handler.data = data
    return int(_server().server_address[1])


def publish(port: int, flv: bytes, left: threading.Event) -> None:
    """What an encoder says that pushes an FLV's tags (Adobe's RTMP specification 1.0), without listening much.

    ``left`` is set when it has hung up; a listener would go on waiting for a better one.
    """
    try:
        _publish(port, flv)
    finally:
        left.set()


def _publish(port: int, flv: bytes) -> None:
    with contextlib.suppress(OSError), _reach(port) as client:
        client.settimeout(5)
        client.sendall(b"\3" + bytes(1536))
        client.recv(1 + 2 * 1536, socket.MSG_WAITALL)
        client.sendall(bytes(1536) + (speak(flv) if flv.startswith(b"FLV") else flv))
        client.shutdown(socket.SHUT_WR)
        while client.recv(65536):
            pass


def speak(flv: bytes) -> bytes:
    """All that a publisher says after the handshake, each message in one chunk."""
    app = amf_object(app="live", tcUrl="rtmp://127.0.0.1/live")
    talk = chunk(1, struct.pack(">I", 1 << 20), 0)
    for number, words in enumerate(("connect", "releaseStream", "FCPublish", "createStream", "publish"), 1):
        talk += chunk(20, amf(words) + amf(number) + (app if number == 1 else b"\5" + amf("key") + amf("live")), 0)
    for head, body in split_flv(flv)[1]:
        talk += chunk(head[0], body, int.from_bytes(head[7:8] + head[4:7], "big"))
    return talk


def _reach(port: int) -> socket.socket:
    deadline = time.monotonic() + 5
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 5)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.002)


def chunk(kind: int, body: bytes, stamp: int) -> bytes:
    stream = 0 if kind < 8 else 1
    late = stamp >= 0xFFFFFF
    head = b"\3" + min(stamp, 0xFFFFFF).to_bytes(3, "big") + len(body).to_bytes(3, "big") + bytes([kind])
    return head + stream.to_bytes(4, "little") + (stamp.to_bytes(4, "big") if late else b"") + body


def amf(value: str | float) -> bytes:
    if isinstance(value, str):
        return b"\2" + struct.pack(">H", len(value)) + value.encode()
    return b"\0" + struct.pack(">d", value)


def amf_object(**values: str) -> bytes:
    return b"\3" + b"".join(amf(key)[1:] + amf(value) for key, value in values.items()) + b"\0\0\t"


# ---- changes that keep the form


def change(data: bytes, luck: Random) -> bytes:
    kind, body = data[:1] or b"\0", data[1:]
    if luck.random() < 0.05:
        kind = bytes([luck.randrange(16)])
    if body.startswith(b"FLV"):
        return kind + change_flv(body, luck)
    if body[4:8] == b"ftyp":
        return kind + change_mp4(body, luck)
    return kind + scramble(body, luck)


def split_flv(data: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """The head, and the tags as (11 bytes, body)."""
    tags, at = [], 13
    while at + 11 <= len(data):
        size = int.from_bytes(data[at + 1 : at + 4], "big")
        tags.append((data[at : at + 11], data[at + 11 : at + 11 + size]))
        at += 15 + size
    return data[:13], tags


def change_flv(data: bytes, luck: Random) -> bytes:
    head, tags = split_flv(data)
    if not tags:
        return scramble(data, luck)
    index = luck.randrange(len(tags))
    top, body = tags[index]
    kind = luck.randrange(7)
    if kind == 0:
        tags.insert(luck.randrange(len(tags)), (top, body))
    elif kind == 1:
        del tags[index]
    elif kind == 2:
        body = scramble(body[:5], luck) + body[5:]  # codec, packet type, composition time
    elif kind == 3:
        body = body[:5] + scramble(body[5:], luck)
    elif kind == 4:
        top = top[:4] + luck.choice(NUMBERS).to_bytes(4, "big") + top[8:]  # time
    elif kind == 5:
        top = bytes([luck.choice((8, 9, 18, 15, 0))]) + top[1:]
    else:
        top = top[:1] + (luck.choice(NUMBERS) & 0xFFFFFF).to_bytes(3, "big") + top[4:]
        return b"".join([head, *itertools.chain(*tags[:index]), top, body, *itertools.chain(*tags[index + 1 :])])
    if kind >= 2:
        tags[index] = top, body
    whole = [top[:1] + len(body).to_bytes(3, "big") + top[4:] + body for top, body in tags]
    return head + b"".join(tag + len(tag).to_bytes(4, "big") for tag in whole)


def split_mp4(data: bytes) -> list[Box]:
    boxes: list[Box] = []
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        size = size if 8 <= size <= len(data) - at else len(data) - at
        body = data[at + 8 : at + size]
        before = PARENTS.get(kind, len(body))
        boxes.append((kind, body[:before], split_mp4(body[before:])))
        at += size
    return boxes


def join_mp4(boxes: list[Box]) -> bytes:
    whole = ((kind, body + join_mp4(children)) for kind, body, children in boxes)
    return b"".join(struct.pack(">I4s", 8 + len(body), kind) + body for kind, body in whole)


def lists_of(boxes: list[Box]) -> Iterator[list[Box]]:
    if boxes:
        yield boxes
    for _, _, children in boxes:
        yield from lists_of(children)


def change_mp4(data: bytes, luck: Random) -> bytes:
    boxes = split_mp4(data)
    if not boxes:
        return scramble(data, luck)
    row = luck.choice(list(lists_of(boxes)))
    index = luck.randrange(len(row))
    name, body, children = row[index]
    kind = luck.randrange(8)
    if kind == 0:
        del row[index]
    elif kind == 1:
        luck.choice(list(lists_of(boxes))).append(copy.deepcopy(row[index]))
    elif kind == 2:
        row[index] = luck.choice([*PARENTS, b"free", b"stts", b"ctts", b"stsz", b"elst", b"uuid"]), body, children
    elif kind == 3:
        luck.shuffle(row)
    elif kind == 4 and len(body) >= 4:
        at = luck.randrange(0, len(body) - 3)
        row[index] = name, body[:at] + luck.choice(NUMBERS).to_bytes(4, "big") + body[at + 4 :], children
    elif kind == 5:
        whole = join_mp4(boxes)
        at = whole.find(name)
        return whole[: max(0, at - 4)] + luck.choice(NUMBERS).to_bytes(4, "big") + whole[at:]
    else:
        row[index] = name, scramble(body, luck), children
    return join_mp4(boxes)


# ---- seeds


def make_video(container: str, sound: bool = True, title: str = "", **options: str) -> bytes:
    """Six moving pictures of 64x48 and a tone."""
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=options) as output:
        output.metadata.update({"title": title} if title else {})
        video = output.add_stream("libx264", rate=25, options={"preset": "ultrafast", "threads": "1", "bf": "1"})
        video.width, video.height, video.pix_fmt, video.gop_size = 64, 48, "yuv420p", 3
        tone = output.add_stream("aac", rate=22_050) if sound else None
        ramp = np.linspace(0, 255, 64 * 48 * 3, dtype=np.uint8).reshape(48, 64, 3)
        for number in range(6):
            picture = av.VideoFrame.from_ndarray(np.roll(ramp, 3 * number, axis=1), format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            output.mux(video.encode(picture))
        output.mux(video.encode())
        if tone:
            wave = (np.sin(np.arange(5292) / 10) * 8000).astype(np.int16)[None]
            samples = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
            samples.rate = 22_050
            output.mux(tone.encode(samples))
            output.mux(tone.encode())
    return file.getvalue()


def add_caption(flv: bytes) -> bytes:
    """A text for the screen at the end, for which FFmpeg makes one more stream."""
    body = amf("onTextData") + amf_object(text="hello")
    tag = b"\x12" + len(body).to_bytes(3, "big") + bytes(7) + body
    return flv + tag + len(tag).to_bytes(4, "big")


FLV, MP4 = make_video("flv"), make_video("mp4")

TARGET = Target(
    check,
    seeds=(
        b"\0" + MP4,
        b"\0" + FLV,
        b"\0" + make_video("mp4", sound=False),
        b"\0" + make_video("mp4", movflags="frag_keyframe+empty_moov"),
        *(bytes([HTTP]) + video for video in (FLV, MP4)),
        bytes([RTMP]) + FLV,
        bytes([RTMP]) + speak(FLV),
    ),
    found=(
        *(b"\0" + make_video(kind, title="TITLE").replace(b"TITLE", b"T\xeftle") for kind in ("flv", "mp4")),
        *(bytes([kind]) + add_caption(FLV) for kind in (HTTP, RTMP)),
    ),
    mutate=change,
    longest=3 * len(MP4),
)

if __name__ == "__main__":
    TARGET.run()
