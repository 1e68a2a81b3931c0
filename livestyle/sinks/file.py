"""Recording to a file: .mp4, .mov, .mkv or .flv, H.264, sound carried as it is.

While it runs, the recording lies beside its target as ``NAME.part.mp4``, playable at any moment (fragmented MP4, at
most two seconds behind), so that a run that is cut off leaves something to watch. A clean `FileSink.close` turns it
into an ordinary seekable file (FFmpeg's ``hybrid_fragmented``) and renames it over the target; until then an older file
of that name stays as it was. A ``.part`` file left by an earlier run is never overwritten: the next one is
``NAME.part2.mp4``.
"""

import errno
import logging
import os
from fractions import Fraction
from itertools import count
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.error import FFmpegError
from av.packet import Packet

from livestyle.errors import ConfigError, SinkError
from livestyle.media import AudioPacket, Frame, StreamInfo
from livestyle.sinks.carry import codec_name, open_template, payload
from livestyle.sinks.encode import add_h264, check_size, file_options, to_video_frame
from livestyle.sinks.timeline import Timeline

log = logging.getLogger(__name__)

TICK = Fraction(1, 90_000)  # holds 24, 25, 30, 30000/1001, 60 frames a second and milliseconds exactly

# suffix -> (FFmpeg muxer, its options)
# empty_moov beside hybrid_fragmented: without it nothing is written until every stream has packets, which a silent
# sound stream never has, and FFmpeg 8.1 crashes on finishing a file without packets.
_FRAGMENTED = {"movflags": "hybrid_fragmented+empty_moov+frag_keyframe+default_base_moof"}
CONTAINERS: dict[str, tuple[str, dict[str, str]]] = {
    ".mp4": ("mp4", _FRAGMENTED),
    ".mov": ("mov", _FRAGMENTED),
    ".mkv": ("matroska", {"cluster_time_limit": "2000"}),
    ".flv": ("flv", {}),
}
# Packets come in order already. Else the muxer would hold pictures back, 10 s of them, while the sound is silent.
_AT_ONCE = {"flush_packets": "1", "max_interleave_delta": "1"}
_SOUND = {"mp4": ("aac", "mp3", "opus", "ac3", "eac3", "flac"), "mov": ("aac", "mp3", "ac3"), "flv": ("aac", "mp3")}


class FileSink:
    """Writes one recording. Frames keep their pts (to 1/90000 s), gaps included; time 0 is the first frame."""

    def __init__(self, spec: str, info: StreamInfo) -> None:
        """Open ``spec``, a path that ends in one of `CONTAINERS`. Raises `ConfigError` or `SinkError`."""
        self.path = Path(spec)
        self._info = info
        if self.path.suffix.lower() not in CONTAINERS:
            known = ", ".join(CONTAINERS)
            raise ConfigError(f"cannot tell the format of {spec!r} from its ending: give one of {known}")
        if self.path.is_dir():
            raise SinkError(f"cannot write {spec}: it is a folder")
        if not os.access(self.path.parent, os.W_OK) and self.path.parent.is_dir():
            raise SinkError(f"cannot write {spec}: no permission to write in the folder {self.path.parent}")
        self.part = _claim_part(self.path)
        self.frames = 0
        self._closed = False
        self._failure: str | None = None
        self._timeline = Timeline(info.live, TICK)
        muxer, options = CONTAINERS[self.path.suffix.lower()]
        try:
            self._file = PartFile(self.part)
            self._container = av.open(self._file, "w", format=muxer, container_options={**options, **_AT_ONCE})
            self._video = add_h264(self._container, info, file_options(info), TICK)
            self._sound = self._add_sound(muxer)
            self._container.start_encoding()
        except (FFmpegError, OSError, ValueError) as error:
            self.part.unlink(missing_ok=True)
            raise SinkError(f"cannot write {spec}: {_say(error)}") from error

    def _add_sound(self, muxer: str) -> AudioStream | None:
        audio = self._info.audio
        if audio is None:
            return None
        template = open_template(audio)
        if template is None or codec_name(audio) not in _SOUND.get(muxer, (codec_name(audio),)):
            log.warning("%s is written without sound: %s does not fit in %s", self.path, codec_name(audio), muxer)
            return None
        stream = self._container.add_stream_from_template(template, opaque=True)
        stream.time_base = Fraction(1, audio.sample_rate)
        return stream

    def write(self, frame: Frame) -> None:
        """Encode and write one frame. Raises `SinkError` when the disk is full, once closed, or at a wrong size."""
        self._check_open()
        check_size(frame.pixels, self._info)
        picture = to_video_frame(frame.pixels)
        picture.pts, picture.time_base = int(self._timeline.place(frame) / TICK), TICK
        try:
            self._container.mux(self._video.encode(picture))
        except (FFmpegError, OSError) as error:
            self._fail(error)
        self._write_sound(self._timeline.due())
        if self._file.failure is not None:
            self._fail(self._file.failure)
        self.frames += 1

    def write_audio(self, packet: AudioPacket) -> None:
        """Write one packet of sound, in step with the pictures; ignored where the format cannot hold it."""
        self._check_open()
        if self._sound is not None:
            self._timeline.hold(packet)

    def interrupt(self) -> None:
        """Nothing to do: `write` waits for the disk only."""

    def close(self) -> None:
        """Finish the file and put it in its place. Raises `SinkError`, once, if it cannot be finished."""
        if self._closed:
            return
        self._closed = True
        if self._failure is not None:
            self._abandon()
            return
        try:
            self._container.mux(self._video.encode(None))
            self._write_sound(self._timeline.flush())
            self._container.close()
            self._file.finish()
            if self.frames:
                os.replace(self.part, self.path)
            else:
                self.part.unlink(missing_ok=True)
        except (FFmpegError, OSError) as error:
            self._abandon()
            self._fail(error)

    def _write_sound(self, placed: list[tuple[Fraction, AudioPacket]]) -> None:
        audio = self._info.audio
        if self._sound is None or audio is None:
            return
        try:
            for at, sound in placed:
                packet = Packet(payload(audio, sound.data))
                packet.stream = self._sound
                packet.time_base = Fraction(1, audio.sample_rate)
                packet.pts = packet.dts = round(at / packet.time_base)
                packet.duration = round(sound.duration * sound.time_base / packet.time_base)
                packet.is_keyframe = True
                self._container.mux(packet)
        except (FFmpegError, OSError) as error:
            self._fail(error)

    def _check_open(self) -> None:
        if self._closed:
            raise SinkError(f"{self.path} is closed")
        if self._failure is not None:
            raise SinkError(self._failure)

    def _fail(self, error: Exception) -> None:
        kept = f"what was recorded until now is in {self.part}" if self.frames else "nothing was recorded"
        self._failure = f"cannot write {self.path}: {_say(error)}; {kept}"
        raise SinkError(self._failure) from error

    def _abandon(self) -> None:
        """Leave what is there as it is: a trailer half written would spoil it. PyAV writes none to a closed file."""
        self._file.close()
        self._container.close()


class PartFile:
    """The file that FFmpeg writes through: keeps the first ``failure``, which FFmpeg may not tell before the end."""

    def __init__(self, path: Path) -> None:
        """Opens ``path``, which exists and is empty. Raises `OSError`."""
        self._file = open(path, "r+b", buffering=0)  # noqa: SIM115 (closed by `close`)
        self.failure: OSError | None = None
        self.seek = self._file.seek
        self.tell = self._file.tell
        self.close = self._file.close

    @property
    def closed(self) -> bool:
        """PyAV asks this before it writes a trailer."""
        return self._file.closed

    def write(self, data: bytes) -> int:
        """Write all of it. Raises `OSError`."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) or 0 :]
        except OSError as error:
            self.failure = self.failure or error
            raise
        return len(data)

    def finish(self) -> None:
        """Have it on the disk, then close."""
        os.fsync(self._file.fileno())
        self._file.close()


def check() -> tuple[bool, str]:
    """Whether recordings can be made, and what with."""
    present = "libx264" in av.codecs_available
    return present, f"H.264 in {' '.join(CONTAINERS)}" if present else "this build of PyAV has no libx264"


def _claim_part(path: Path) -> Path:
    """Make an empty file of a new name beside ``path``, so that no recording of an earlier run is touched."""
    for number in count(1):
        part = path.with_name(f"{path.stem}.part{number if number > 1 else ''}{path.suffix}")
        try:
            part.touch(exist_ok=False)
        except FileExistsError:
            continue
        except OSError as error:
            raise SinkError(f"cannot write {path}: {_say(error)}") from error
        return part
    raise AssertionError("unreachable")


_SAID = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your disk quota is used up",
    errno.EFBIG: "the file is larger than the system allows",
    errno.EACCES: "no permission to write there",
    errno.EPERM: "no permission to write there",
    errno.EROFS: "the folder is read-only",
    errno.ENOENT: "the folder does not exist",
    errno.ENOTDIR: "the folder does not exist",
}


def _say(error: Exception) -> str:
    number = getattr(error, "errno", None)
    text = getattr(error, "strerror", None) or str(error)
    return _SAID.get(number, text) if isinstance(number, int) else text
