"""RTMP push: encodes here, sends from a child process, connects again by itself.

`RtmpSink.write` encodes and puts packets on a bounded queue; one thread, ``rtmp-push``, owns the child process
(`rtmp_child`) and feeds it. Nothing here ever waits for the network but that thread, and killing the child frees it. A
connection that fails is opened again: at once when a server that could not be reached can be, after 0.5, 1, 2 ... 30 s
with one that answers and refuses. Until then frames are dropped unencoded. Each connection begins with a key picture
and fresh sound, and timestamps go on without a step back.
"""

import json
import logging
import random
import re
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import av
from av.video.frame import PictureType

from livestyle.errors import ConfigError, SinkError
from livestyle.media import AudioPacket, Frame, StreamInfo
from livestyle.sinks import rtmp_child
from livestyle.sinks.carry import codec_name, open_template, payload
from livestyle.sinks.encode import add_h264, check_size, push_options, to_video_frame
from livestyle.sinks.timeline import Timeline

log = logging.getLogger(__name__)

MILLISECOND = Fraction(1, 1000)  # the clock of FLV
OPEN_SECONDS = 5.0  # how long a server may stay silent at the start
CLOSE_SECONDS = 2.0  # how long the last packets may take
STALL_SECONDS = 5.0  # the child ends itself after 2 s without progress; this is for a child that cannot
STEADY_SECONDS = 10.0  # a connection that lasted this long starts the waiting times anew
FIRST_WAIT, LAST_WAIT = 0.5, 30.0
QUEUE_SECONDS = 2.0
FLV_SOUND = ("aac", "mp3")
WAITING = "waiting "  # so begin the child's lines about a server that it waits for


class RtmpSink:
    """Pushes H.264, and sound carried as it is where it is AAC or MP3, to an RTMP server."""

    def __init__(self, spec: str, info: StreamInfo, *, retry: bool = False) -> None:
        """Connect to ``spec``, rtmp[s]://HOST/APP/KEY.

        Raises `ConfigError` for an address that makes no sense. With ``retry`` off, raises `SinkError` when the first
        connection fails (at most some 5 s for a silent server); with it on, returns at once and goes on trying.
        """
        self.address = public_url(spec)
        self.connections = 0  # that the server has accepted
        self.dropped = 0  # frames that were not sent
        self.status = "connecting"  # connecting, streaming, closed, or why it waits
        self.info = info
        self._url = spec
        self._retry = retry
        self._timeline = Timeline(info.live, MILLISECOND)
        self._began: float | None = None
        self._hurry = threading.Event()
        description = BytesIO()
        self._muxer = av.open(
            description, "w", format="mp4", container_options={"movflags": "empty_moov+frag_keyframe"}
        )
        self._video = add_h264(self._muxer, info, push_options(info), MILLISECOND)
        self._has_sound = self._add_sound()
        self._muxer.start_encoding()  # opens the encoder and writes the header, which is all that is wanted
        self._header = description.getvalue()
        # Guarded by the condition: everything below is shared with the pushing thread.
        self._state = threading.Condition()
        self._queue: deque[bytes] = deque()
        self._child: Child | None = None
        self._streaming = False
        self._need_key = True
        self._closed = False
        self._settled = False  # the first attempt has an outcome
        self._sending_since: float | None = None
        self._thread = threading.Thread(target=self._push, name="rtmp-push", daemon=True)
        self._thread.start()
        if not retry:
            self._await_first()

    @property
    def reconnects(self) -> int:
        """Connections after the first."""
        return max(0, self.connections - 1)

    def write(self, frame: Frame) -> None:
        """Encode one frame and queue it; drops it while there is no connection. Never waits for the network.

        A source that is not live is held to its own clock here, as servers expect. Raises `SinkError` once closed.
        """
        self._check_open()
        check_size(frame.pixels, self.info)
        at = self._timeline.place(frame)
        if not self.info.live:
            self._pace(float(at))
        sound = self._timeline.due()
        with self._state:
            connection, need_key = self.connections, self._need_key
            if not self._streaming:
                self.dropped += 1
                return
            self._need_key = False
        self._kill_if_stuck()
        picture = to_video_frame(frame.pixels)
        picture.pts, picture.time_base = int(at / MILLISECOND), MILLISECOND
        picture.pict_type = PictureType.I if need_key else PictureType.NONE
        packets = [self._pack_sound(then, packet) for then, packet in sound]
        for packet in self._video.encode(picture):
            if packet.pts is not None:
                length = round(1 / self.info.fps / MILLISECOND)
                packets.append(_pack(0, packet.is_keyframe, packet.pts, length, length_prefixed(bytes(packet))))
        self._put(packets, connection)

    def write_audio(self, packet: AudioPacket) -> None:
        """Queue one packet of sound, sent in step with the pictures. Raises `SinkError` once closed."""
        self._check_open()
        if self._has_sound:
            self._timeline.hold(packet)

    def interrupt(self) -> None:
        """End the waiting that holds a file to its own clock; nothing else ever waits."""
        self._hurry.set()

    def close(self) -> None:
        """Send what is queued, leave the server and end the child process, all within some 2 s."""
        with self._state:
            if self._closed:
                return
            self._closed = True
            child, streaming = self._child, self._streaming
            self._state.notify_all()
        if child is not None and not streaming:
            child.kill()
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive():
            with self._state:
                child = self._child
            if child is not None:
                child.kill()
            self._thread.join(CLOSE_SECONDS)
        self.status = "closed"

    def _await_first(self) -> None:
        with self._state:
            self._state.wait_for(lambda: self._settled, timeout=OPEN_SECONDS + 7.0)
            connected = self._streaming
        if connected:
            return
        reason = self.status
        self.close()
        raise SinkError(f"cannot push to {self.address}: {reason}")

    def _add_sound(self) -> bool:
        audio = self.info.audio
        if audio is None:
            return False
        template = open_template(audio) if codec_name(audio) in FLV_SOUND else None
        if template is None:
            log.warning("%s is sent without sound: RTMP carries AAC and MP3, not %s", self.address, codec_name(audio))
            return False
        self._muxer.add_stream_from_template(template, opaque=True)
        return True

    def _pack_sound(self, at: Fraction, packet: AudioPacket) -> bytes:
        assert self.info.audio is not None
        length = round(packet.duration * packet.time_base / MILLISECOND)
        return _pack(1, True, int(at / MILLISECOND), length, payload(self.info.audio, packet.data))

    def _pace(self, at: float) -> None:
        if self._began is None:
            self._began = time.monotonic()
        ahead = self._began + at - time.monotonic()
        if ahead > 0:
            self._hurry.wait(ahead)

    def _put(self, packets: list[bytes], connection: int) -> None:
        with self._state:
            if connection != self.connections:
                self.dropped += 1  # encoded for a connection that is gone; the new one begins with a key picture
            elif len(self._queue) > QUEUE_SECONDS * float(self.info.fps):
                # The network is slower than the stream: start again at a key picture, with nothing old.
                self.dropped += len(self._queue) + 1
                self._queue.clear()
                self._need_key = True
            else:
                self._queue.append(b"".join(packets))
                self._state.notify_all()

    def _kill_if_stuck(self) -> None:
        with self._state:
            child, since = self._child, self._sending_since
        if child is not None and since is not None and time.monotonic() - since > STALL_SECONDS:
            child.kill()

    def _check_open(self) -> None:
        if self._closed:
            raise SinkError(f"the push to {self.address} is closed")

    def _push(self) -> None:
        """The thread ``rtmp-push``: one connection after the other until `close`."""
        wait = FIRST_WAIT
        while not self._closed:
            started = time.monotonic()
            reason = self._serve_one()
            with self._state:
                first, self._settled = not self._settled, True
                self._streaming = False
                self.status = reason
                self._state.notify_all()
                if self._closed or (first and not self._retry and self.connections == 0):
                    return
                if time.monotonic() - started > STEADY_SECONDS:
                    wait = FIRST_WAIT
                pause = wait * random.uniform(0.8, 1.2)  # so that many clients do not come back in step
                log.warning("push to %s: %s; trying again in %.1f s", self.address, reason, pause)
                self._state.wait_for(lambda: self._closed, timeout=pause)
            wait = min(LAST_WAIT, 2 * wait)

    def _serve_one(self) -> str:
        """Open a connection and feed it until it breaks or the sink is closed; returns why it ended."""
        child = Child(self._url, self._header, wait=self._retry or self.connections > 0)
        try:
            with self._state:
                self._child = child
                if self._closed:
                    return "closed"
            refusal = child.await_open(self._say_waiting)
            if refusal:
                return refusal
            with self._state:
                self._queue.clear()
                self._need_key = self._streaming = self._settled = True
                self.connections += 1
                self.status = "streaming"
                self._state.notify_all()
            return self._feed(child)
        finally:
            with self._state:
                self._child = self._sending_since = None
            child.release()

    def _say_waiting(self, reason: str) -> None:
        with self._state:
            self._settled, self.status = True, reason
            self._state.notify_all()
        log.warning("push to %s: %s; waiting for it", self.address, reason)

    def _feed(self, child: "Child") -> str:
        while True:
            with self._state:
                self._sending_since = None
                self._state.wait_for(lambda: self._queue or self._closed)
                if not self._queue:
                    break
                data = self._queue.popleft()
                self._sending_since = time.monotonic()
            if not child.send(data):
                return "the server went away or stands still"
        child.finish()
        return "closed"


class Child:
    """The process that talks to the server. `kill` is for any thread, all else for the one that made it."""

    def __init__(self, url: str, header: bytes, *, wait: bool) -> None:
        """Start it with the streams described by ``header`` (MP4). It connects on its own time.

        With ``wait`` it waits for a server that cannot be reached, for however long.
        """
        program = str(Path(rtmp_child.__file__))
        self._process = subprocess.Popen(
            [sys.executable, "-P", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        start = json.dumps({"url": url, "header": len(header), "seconds": OPEN_SECONDS, "wait": wait})
        self._start = start.encode() + b"\n" + header

    def await_open(self, say_waiting: Callable[[str], None]) -> str:
        """Wait until the server takes the stream: "" then, else the reason in a few words."""
        assert self._process.stdout is not None
        if not self.send(self._start):
            return "the sending process did not start"
        answer = self._process.stdout.readline().decode(errors="replace").strip()
        while answer.startswith(WAITING):
            say_waiting(answer.removeprefix(WAITING))
            answer = self._process.stdout.readline().decode(errors="replace").strip()
        if answer == "open":
            return ""
        return answer or f"the server accepts the connection but stays silent ({OPEN_SECONDS:.0f} s)"

    def send(self, data: bytes) -> bool:
        """Hand over packets; may wait as long as the child does (2 s). False once the child has ended."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except (OSError, ValueError):
            return False
        return True

    def finish(self) -> None:
        """Let it send what it has and leave the server; it ends itself where that takes too long."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
            self._process.wait(CLOSE_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            return

    def kill(self) -> None:
        """End it now; whoever waits for it is freed. Any number of times."""
        self._process.kill()

    def release(self) -> None:
        """End it if it still runs, and leave nothing of it behind."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what could not be sent is lost with the child
                    pipe.close()


def check() -> tuple[bool, str]:
    """Whether streams can be pushed, and what with."""
    present = "libx264" in av.codecs_available
    return present, "H.264 with AAC or MP3 sound, in a process of its own" if present else "PyAV here has no libx264"


def public_url(url: str) -> str:
    """The address for people and logs: no user, no query, and ``***`` for the last part of the path, the stream key.

    Raises `ConfigError` where the address is not rtmp[s]://HOST[:PORT]/APP/KEY.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    path = parts.path.strip("/").split("/")
    if parts.scheme not in ("rtmp", "rtmps") or not host or len(path) < 2:
        raise ConfigError("the push address must look like rtmp://HOST/APP/KEY (or rtmps://)")
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}/{'/'.join(path[:-1])}/***"


def length_prefixed(annex_b: bytes) -> bytes:
    """H.264 with a four-byte length before each unit, as MP4 and FLV want it, from start codes, as x264 writes it.

    Start codes cannot occur inside a unit (ITU-T H.264, annex B), so splitting at them is exact.
    """
    units = re.split(b"\0\0\0?\1", annex_b)[1:]
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)


def _pack(index: int, key: bool, pts: int, duration: int, data: bytes) -> bytes:
    return rtmp_child.PACKET.pack(index, key, pts, max(0, duration), len(data)) + data
