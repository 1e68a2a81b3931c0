"""Video from a file, or from the network: RTMP (pulled, or pushed to us), HTTP, RTSP.

The option set of network streams is measured (640×360, GOP 60, loopback, nginx-rtmp and node-media-server):
``fpsprobesize=0`` opens in 0.3 to 0.8 s with nothing lost and 17 ms behind; ``fflags=nobuffer`` throws away the first
key frame, ``analyzeduration=1`` opens without streams, and the defaults start 1.4 s behind.
"""

import socket
import stat
import threading
import time
from contextlib import closing
from errno import EACCES, EADDRINUSE, EADDRNOTAVAIL, ECONNRESET, EPERM, EPIPE
from pathlib import Path
from urllib.parse import urlsplit

import av
from av.container import InputContainer

from livestyle.errors import SourceError, SourceLost
from livestyle.media import AudioPacket, Frame, StreamInfo
from livestyle.sources.demux import MOST_PIXELS, Demuxer
from livestyle.sources.reader import Picture, Reader

OPEN_SECONDS = 5.0
READ_SECONDS = 5.0
REACH_SECONDS = 2.0  # for the host to answer: a lost packet is sent again after 1 s, then only after 2 more
LISTEN_SECONDS = 60.0  # a person has to start the publisher
ACCEPT_SECONDS = 1  # one turn of waiting for a publisher; FFmpeg knows whole seconds only
KEY_FRAME_SECONDS = 12.0  # a player that joins may wait this long for its first picture: OBS sends 250 frames a group
FILE_OPEN_SECONDS = 60.0  # a disk that has to spin up, a network share
METADATA_ERRORS = "replace"  # a title in another coding than UTF-8 is no reason to refuse a video
LISTEN = "rtmp-listen"
_PORTS = {"rtmp": 1935, "rtmps": 443, "rtsp": 554, "rtsps": 322}
SCHEMES = ("rtmp", "rtmps", LISTEN, "http", "https", "rtsp", "rtsps")

_MODEST = {"max_pixels": str(MOST_PIXELS)}  # FFmpeg decodes a picture to know its size

# A stream without sound is waited for as if it had some: FFmpeg's own 5 s would use up all the time there is to open.
_OPTIONS = {
    "rtmp": {
        "analyzeduration": "2000000",
        "fpsprobesize": "0",
        "rtmp_live": "live",
        "rtmp_buffer": "100",
        "tcp_nodelay": "1",
    },
    "rtsp": {"fpsprobesize": "0", "rtsp_transport": "tcp"},
    "http": {"fpsprobesize": "0"},
}


class StreamSource:
    """A video file or a network stream; opened, read, decoded and closed on a thread of its own.

    ``spec`` is a path or a URL of one of `SCHEMES`. ``rtmp-listen://host:port/app/key`` is an RTMP server for one
    publisher, which is waited for `LISTEN_SECONDS`; it takes any app and key. A network stream is live, except a
    video of known length over HTTP, which is read like a file. ``cancel``, set by any thread, ends a waiting open.

    Raises `SourceError` after ``open_seconds`` at the latest. In `read`, no data for ``read_seconds``, a publisher who
    leaves and the end of a live stream are `SourceLost`; the end of a file is None.
    """

    def __init__(
        self,
        spec: str,
        *,
        open_seconds: float = OPEN_SECONDS,
        read_seconds: float = READ_SECONDS,
        cancel: threading.Event | None = None,
    ) -> None:
        self._spec = spec
        self._name = public_name(spec)
        self._scheme = _scheme(spec)
        self._open_seconds = open_seconds
        self._read_seconds = read_seconds
        av.logging.set_level(None)  # FFmpeg would write to the terminal
        late = f"{self._name} did not answer within {open_seconds:g} s; is somebody publishing there?"
        if self._scheme == "":
            _check_file(Path(spec), self._name)
            open_seconds = FILE_OPEN_SECONDS
            late = f"{self._name} could not be opened within {open_seconds:g} s"
        else:
            _check_address(spec, self._name)
        if self._scheme == LISTEN:
            open_seconds += LISTEN_SECONDS
            late = f"nobody published to {self._name} within {LISTEN_SECONDS:g} s"
        self._late = late
        self._reader = Reader(self._name, self._produce)
        self._info = self._reader.opened(open_seconds, late, cancel)

    @property
    def info(self) -> StreamInfo:
        """Facts at the time of opening; a stream that changes size goes on with frames of the new one."""
        return self._info

    def read(self) -> Frame | AudioPacket | None:
        """Next frame or packet of sound, in stream order; of a live stream the newest frame and every packet."""
        # FFmpeg's own timeout comes first; this one is for what it does not reach.
        patience = self._read_seconds + KEY_FRAME_SECONDS if self._scheme else None
        item = self._reader.take(patience, SourceLost(f"{self._name} stopped: nothing came any more"))
        return item.frame() if isinstance(item, Picture) else item

    def interrupt(self) -> None:
        """Make `read` return None at once. The connection is let go within ``read_seconds``."""
        self._reader.interrupt()

    def close(self) -> None:
        """Let the stream go. May be called twice."""
        self._reader.close()

    def __enter__(self) -> "StreamSource":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # On the reader's thread.

    def _produce(self, reader: Reader) -> None:
        container = self._listen(reader) if self._scheme == LISTEN else self._open()
        if container is None:
            return
        finite_http = self._scheme.startswith("http") and bool(container.duration)
        live = bool(self._scheme) and not finite_http
        with container, closing(Demuxer(container, self._name, live=live)) as demuxer:
            reader.announce(demuxer.info)
            for item in demuxer:
                if not reader.offer(item):
                    return

    def _open(self) -> InputContainer:
        started = time.monotonic()
        try:
            if self._scheme == "":
                # "file:" because a path may hold a colon
                return av.open(f"file:{self._spec}", options=_MODEST, metadata_errors=METADATA_ERRORS)
            _reach(self._spec, self._scheme, self._name, min(REACH_SECONDS, self._open_seconds))
            options = _OPTIONS[self._scheme.removesuffix("s")] | _MODEST
            return av.open(
                self._spec,
                options=options,
                timeout=(self._open_seconds, self._read_seconds),
                metadata_errors=METADATA_ERRORS,
            )
        except av.FFmpegError as error:
            # A timeout comes as ExitError, over RTSP as InvalidDataError.
            timed_out = bool(self._scheme) and time.monotonic() - started > 0.9 * self._open_seconds
            raise SourceError(self._late if timed_out else _explain(error, self._name, self._scheme)) from error

    def _listen(self, reader: Reader) -> InputContainer | None:
        """Wait for a publisher; None when nobody wants one any more.

        In turns of `ACCEPT_SECONDS`, so that an abandoned listener frees its port; whoever connects and is no
        publisher (a port scan) does not end the wait.
        """
        url = "rtmp" + self._spec.removeprefix(LISTEN)
        options = _OPTIONS["rtmp"] | _MODEST | {"listen": "1", "timeout": str(ACCEPT_SECONDS)}
        timeout = (ACCEPT_SECONDS + self._open_seconds, self._read_seconds)
        started = time.monotonic()
        while not reader.stopping:
            try:
                return av.open(url, options=options, timeout=timeout, metadata_errors=METADATA_ERRORS)
            except av.FFmpegError as error:
                waited = time.monotonic() - started
                taken = (
                    error.errno == EADDRINUSE and waited > 2 * ACCEPT_SECONDS
                )  # before, by our predecessor's last turn
                if taken or error.errno in (EADDRNOTAVAIL, EACCES):
                    why = str(error.strerror).lower()
                    raise SourceError(f"cannot listen at {self._name}: {why}; choose another host or port") from error
                if waited > LISTEN_SECONDS:
                    raise SourceError(self._late) from error
                if not isinstance(error, av.error.TimeoutError):
                    reader.pause(0.2)
        return None


def public_name(spec: str) -> str:
    """``spec`` as messages and logs may show it: without user, password, query and, in RTMP, without the stream key."""
    scheme = _scheme(spec)
    if scheme == "":
        return spec
    address = spec.partition("://")[2].partition("?")[0].partition("#")[0]
    host, _, path = address.partition("/")
    if not scheme.startswith("http"):
        path = f"{path.rpartition('/')[0]}/…".removeprefix("/")
    return f"{scheme}://{host.rpartition('@')[2]}/{path}"


def _scheme(spec: str) -> str:
    """Lower-case scheme of a network stream, "" for a path."""
    scheme, found, _ = spec.partition("://")
    return scheme.lower() if found and scheme.lower() in SCHEMES else ""


def _check_file(path: Path, name: str) -> None:
    if "://" in name:
        raise SourceError(f"{name.partition('://')[0]}:// is not supported; sources are {', '.join(SCHEMES)} and files")
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise SourceError(f"cannot open {name}: {str(error.strerror).lower()}") from error
    if stat.S_ISDIR(mode):
        raise SourceError(f"{name} is a folder, not a video file")
    if not stat.S_ISREG(mode):
        raise SourceError(f"{name} is not a file; a camera is `camera:N`")
    if path.stat().st_size == 0:
        raise SourceError(f"{name} is empty (0 bytes)")


def _check_address(url: str, name: str) -> None:
    try:
        host, _ = urlsplit(url).hostname, urlsplit(url).port
    except ValueError as error:
        raise SourceError(f"{name} is not a valid address: {error}") from error
    if not host:
        raise SourceError(f"{name} is not a valid address: it names no host")


def _reach(url: str, scheme: str, name: str, seconds: float) -> None:
    """See that the host is known and answers: FFmpeg says only "Input/output error", and gives a lost one all its time.

    HTTP may go by a proxy, so there the name alone is looked up.
    """
    parts = urlsplit(url)
    host, port = parts.hostname, None if scheme not in _PORTS else parts.port or _PORTS[scheme]
    try:
        if port is None:
            socket.getaddrinfo(host, None)
        else:
            socket.create_connection((host or "", port), timeout=seconds).close()
    except socket.gaierror as error:
        raise SourceError(f"the host {host} cannot be found; check the address and the network") from error
    except TimeoutError as error:
        raise SourceError(f"{name} cannot be reached: no answer within {seconds:g} s") from error
    except ConnectionRefusedError as error:
        raise SourceError(f"nothing listens at {name} (connection refused)") from error
    except OSError as error:
        raise SourceError(f"{name} cannot be reached: {str(error.strerror).lower()}") from error


def _explain(error: av.FFmpegError, name: str, scheme: str) -> str:
    if isinstance(error, av.error.ConnectionRefusedError):
        return f"nothing listens at {name} (connection refused)"
    if isinstance(error, av.error.InvalidDataError):
        return f"{name} is not a video that can be read: damaged, cut off or not a video at all"
    if isinstance(error, av.error.HTTPError | av.error.HTTPClientError):
        return f"{name} cannot be had: {error.strerror}"
    # How nginx-rtmp refuses a stream that is not there: NetStream.Play.StreamNotFound is -1 in FFmpeg, or it hangs up.
    if scheme.startswith("rtmp") and error.errno in (EPERM, EPIPE, ECONNRESET):
        return f"nobody publishes at {name}"
    if scheme:
        return f"{name} does not give a stream ({str(error.strerror).lower()}); is somebody publishing there?"
    return f"cannot open {name}: {str(error.strerror).lower()}"
