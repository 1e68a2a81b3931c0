"""The network half of an RTMP push, run as a process of its own that can be killed: ``python rtmp_child.py``.

PyAV up to 18 opens and closes an output holding the GIL and ignores its timeout there, so a silent server would stop
every thread of the program (measured: 6 s and more). Here it stops this process only, and `faulthandler`'s timer, a C
thread that needs no GIL, ends this process when a step takes too long. The parent then sees a closed pipe; and this
process sees one, and finishes, when the parent is gone.

stdin: one line of JSON, an MP4 header of its ``header`` bytes that describes the streams, then packets, each a `PACKET`
head and its data. The address comes this way because arguments and environments can be read by others.
stdout: ``open`` once the server takes the stream, or one line that says why not. With ``wait`` a server that cannot be
reached is waited for, ready to connect the moment that it can; ``waiting`` and why are told first. stderr is not used.
Nothing of livestyle is imported, so that starting costs only PyAV's own import.
"""

import faulthandler
import io
import json
import os
import signal
import socket
import stat
import struct
import sys
import time
from fractions import Fraction
from typing import BinaryIO
from urllib.parse import urlsplit

PACKET = struct.Struct("<BBqII")  # stream index, key picture, pts = dts in ms, duration in ms, size of the data
SEND_BUFFER = (
    256 * 1024
)  # bytes that the kernel may hold; its own choice, megabytes, hides a dead server for many seconds
WATCHED_SECONDS = 2.0  # one packet, or the close
REACH_SECONDS = 2.0  # one attempt to reach a server that is waited for: a lost packet is sent again after 1 s, then 2
REACH_PAUSE = 0.5  # s between two of them


def _watch(seconds: float, sink: io.TextIOWrapper) -> None:
    """End this process unless `_watch` is called again within that time."""
    faulthandler.dump_traceback_later(seconds, exit=True, file=sink)


def _reach(url: str, seconds: float) -> str:
    """Why the server cannot be reached, "" if it can."""
    address = urlsplit(url)
    port = address.port or (443 if address.scheme == "rtmps" else 1935)
    try:
        socket.create_connection((address.hostname or "", port), timeout=seconds).close()
    except socket.gaierror:
        return f"unknown host {address.hostname}"
    except TimeoutError:
        return f"no answer from {address.hostname}:{port}"
    except OSError as refused:
        return (refused.strerror or "no connection").lower()
    return ""


def _await_server(url: str, stdout: BinaryIO) -> None:
    """Until the server can be reached, or the program that wants it is gone."""
    parent, told = os.getppid(), ""
    while os.getppid() == parent and (reason := _reach(url, REACH_SECONDS)):
        if reason != told:
            stdout.write(f"waiting {reason}\n".encode())
            stdout.flush()
            told = reason
        time.sleep(REACH_PAUSE)


def _explain(url: str, seconds: float, error: Exception) -> str:
    """FFmpeg says "Input/output error" for everything: look what is really wrong."""
    refused = f"the server does not take the stream ({getattr(error, 'strerror', None) or type(error).__name__})"
    return _reach(url, seconds) or refused


def _tune_sockets() -> None:
    """Small send buffer and no Nagle delay on FFmpeg's socket, which PyAV gives no way to set."""
    if sys.platform == "win32":  # sockets are not file descriptors there
        return
    for number in range(3, 64):
        try:
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            with socket.socket(fileno=os.dup(number)) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:  # no such descriptor, or no TCP
            continue


def push(stdin: BinaryIO, stdout: BinaryIO, quiet: io.TextIOWrapper) -> None:
    """Send what comes on ``stdin`` until its end."""
    start = json.loads(stdin.readline())
    header = stdin.read(start["header"])
    _watch(start["seconds"] + 5.0, quiet)  # importing PyAV may take long on a busy machine
    import av
    from av.error import FFmpegError
    from av.packet import Packet

    templates = av.open(io.BytesIO(header), format="mp4")
    # The packets come in order, one by one: the muxer must not hold pictures back while there is no sound.
    options = {"flvflags": "no_duration_filesize", "flush_packets": "1", "max_interleave_delta": "1"}
    server = av.open(start["url"], "w", format="flv", container_options=options)
    streams = [server.add_stream_from_template(stream, opaque=True) for stream in templates.streams]
    if start["wait"]:
        faulthandler.cancel_dump_traceback_later()
        _await_server(start["url"], stdout)
    _watch(start["seconds"], quiet)
    try:
        server.start_encoding()
    except FFmpegError as error:
        stdout.write(_explain(start["url"], start["seconds"], error).encode() + b"\n")
        stdout.flush()
        return
    _tune_sockets()
    faulthandler.cancel_dump_traceback_later()
    stdout.write(b"open\n")
    stdout.flush()
    time_base = Fraction(1, 1000)
    first: int | None = None
    while len(head := stdin.read(PACKET.size)) == PACKET.size:
        index, key, pts, duration, size = PACKET.unpack(head)
        data = stdin.read(size)
        first = pts if first is None else first
        if pts < first:  # sound from before this connection, which FFmpeg's FLV muxer refuses (EINVAL)
            continue
        packet = Packet(data)
        packet.stream, packet.time_base, packet.is_keyframe = streams[index], time_base, bool(key)
        packet.pts, packet.dts, packet.duration = pts, pts, duration
        _watch(WATCHED_SECONDS, quiet)
        server.mux(packet)  # raises when the server is gone; the end of this process says so
        faulthandler.cancel_dump_traceback_later()
    _watch(WATCHED_SECONDS, quiet)
    server.close()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides what follows
    try:
        push(sys.stdin.buffer, sys.stdout.buffer, open(os.devnull, "w"))  # noqa: SIM115 (for the timer, to the end)
    finally:
        os._exit(0)  # PyAV would close the connection once more on the way out, and could stand still there
