"""An open FFmpeg container, through PyAV, into pictures and packets of sound with time stamps that can be trusted."""

from __future__ import annotations  # av.Packet is generic for type checkers only

import time
from collections.abc import Generator, Iterator
from fractions import Fraction
from functools import partial
from itertools import chain
from typing import cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from livestyle.errors import SourceError, SourceLost
from livestyle.media import AudioInfo, AudioPacket, Pixels, StreamInfo
from livestyle.sources.interleave import Interleave
from livestyle.sources.reader import Picture
from livestyle.sources.timeline import Timeline, Track

FALLBACK_FPS = Fraction(30)  # where the container does not say, or says 1000 as FLV without metadata does
HIGHEST_FPS = 240
MOST_PIXELS = 8192 * 8192  # of a picture; a file of 1 MB may claim more than the memory holds
BAD_PACKETS = 250  # one after another, without a picture between them: about 8 s of video that cannot be decoded


class Demuxer:
    """Iterates over the pictures and the sound of an open container, which it does not close.

    ``name`` is how messages call it, ``live`` as in `StreamInfo`. The first picture is at pts 0. Packets that cannot be
    decoded are passed over, `BAD_PACKETS` of them in a row end in `SourceLost`, as does a container that stops giving.
    ``lent`` says that packets lie in the device's memory, which goes when the container closes: they are copied as they
    come, and `close` has to let go of the last one before. Raises `SourceError` when there is no video in it.
    """

    def __init__(self, container: InputContainer, name: str, live: bool, *, lent: bool = False) -> None:
        self._container = container
        self._name = name
        self._live = live
        self._lent = lent
        self._bad = 0
        self._index = 0
        self._captured = 0.0
        self._video = _choose_video(container, name)
        self._video.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
        # SLICE: every thread of FRAME adds one frame of delay.
        self._video.thread_type = "SLICE" if live else "AUTO"
        fps = _frame_rate(self._video)
        self._timeline = Timeline(live)
        time_base = self._video.time_base or Fraction(1, 1000)
        self._track = Track(self._timeline, time_base, round(1 / fps / time_base))
        self._sound = next(iter(container.streams.audio), None)
        self._interleave: Interleave | None = None
        audio = _audio_info(self._sound)
        if audio is None:
            self._sound = None
        else:
            self._sound_track = Track(self._timeline, audio.time_base, round(Fraction(1, 50) / audio.time_base))
            if live and container.format.name == "flv":
                self._interleave = Interleave(self._timeline, self._track, self._sound_track)
        self._wanted = [stream for stream in (self._video, self._sound) if stream is not None]
        self._demuxed = self._demux()
        self._decoded = self._decode()
        self._items: Iterator[Picture | AudioPacket] = self._decoded
        frames = None if live else self._video.frames or None
        self.info = StreamInfo(*self._size(), fps, live, audio, frames)

    def __iter__(self) -> Iterator[Picture | AudioPacket]:
        return self._items

    def close(self) -> None:
        """Let go of the decoders and of what was read last; nothing more comes. May be called twice.

        Without it they stay: generators that have begun refer to this object and it to them, and Python looks for such
        circles once in hundreds of reopenings.
        """
        self._decoded.close()
        self._demuxed.close()

    def _size(self) -> tuple[int, int]:
        """(width, height), of a file after its rotation, for which the first picture has to be decoded."""
        if self._live and self._video.width and self._video.height:
            return self._video.width, self._video.height
        seen: list[Picture | AudioPacket] = []
        for item in self._items:
            seen.append(item)
            if isinstance(item, Picture):
                self._items = chain(seen, self._items)
                height, width = item.render().shape[:2]
                return width, height
        raise SourceError(
            f"{self._name} holds no picture that can be decoded, {MOST_PIXELS / 1e6:.0f} megapixels at most"
        )

    def _decode(self) -> Generator[Picture | AudioPacket, None, None]:
        early: list[av.Packet[AudioStream]] = []  # sound that came before the first picture, which sets the clock
        for packet in self._packets():
            if packet.stream is not self._video:
                sound = cast("av.Packet[AudioStream]", packet)
                if packet.size and self._timeline.shift is None:
                    early.append(sound)
                elif packet.size:
                    yield self._audio_packet(sound)
                continue
            for image in self._images(cast("av.Packet[VideoStream]", packet)):
                if self._timeline.shift is None:
                    self._timeline.start((_stamp(image) or 0) * self._track.time_base)
                    yield from self._audible(early)
                yield self._picture(image)

    def _demux(self) -> Generator[av.Packet[Stream], None, None]:
        return cast("Generator[av.Packet[Stream], None, None]", self._container.demux(*self._wanted))

    def _packets(self) -> Iterator[av.Packet[Stream]]:
        while True:
            try:
                packet = next(self._demuxed, None)
            except av.error.InvalidDataError as error:
                self._count_bad(error)
                self._demuxed = self._demux()  # the old one ended by raising
                continue
            except av.FFmpegError as error:
                reason = "was it unplugged?" if self._lent else _reason(error)
                raise SourceLost(f"{self._name} stopped: {reason}") from error
            except IndexError:  # PyAV 18 at the end, ours being flushed, where one more stream has turned up on the way
                packet = None
            self._captured = time.monotonic()
            if packet is None:
                break
            if self._lent:
                packet = _copy(packet)
            yield packet
        if self._live:
            raise SourceLost(f"{self._name} ended")

    def _images(self, packet: av.Packet[VideoStream]) -> list[av.VideoFrame]:
        try:
            images = packet.decode()
        except av.FFmpegError as error:
            self._count_bad(error)
            return []
        if images:
            self._bad = 0
        return images

    def _count_bad(self, error: av.FFmpegError) -> None:
        self._bad += 1
        if self._bad > BAD_PACKETS:
            raise SourceLost(f"{self._name} gave {self._bad} packets in a row that cannot be decoded") from error

    def _picture(self, image: av.VideoFrame) -> Picture:
        pts = self._track.mend(_stamp(image), image.duration, self._captured)
        if self._interleave is not None:
            self._interleave.see(pts)
        picture = Picture(partial(_to_rgb, image), self._index, pts, self._track.time_base, self._captured)
        self._index += 1
        return picture

    def _audible(self, early: list[av.Packet[AudioStream]]) -> Iterator[AudioPacket]:
        """The sound before the first picture: a file keeps it at negative pts, live nobody could ever show it."""
        for packet in early:
            sound = self._audio_packet(packet)
            if not self._live or sound.pts >= 0:
                yield sound

    def _audio_packet(self, packet: av.Packet[AudioStream]) -> AudioPacket:
        stamp = packet.dts if packet.pts is None else packet.pts
        pts = self._sound_track.mend(stamp, packet.duration, self._captured)
        if self._interleave is not None:
            self._interleave.hear(pts)
        return AudioPacket(bytes(packet), pts, packet.duration or 0, self._sound_track.time_base)


def _copy(packet: av.Packet[Stream]) -> av.Packet[Stream]:
    """The same in memory of its own: libavdevice's v4l2 hands out the driver's, of which pictures would be made too.

    What is left of it when the container closes is given back to a device that is gone: SIGSEGV, seen with vivid.
    """
    copy: av.Packet[Stream] = av.Packet(packet.size)
    if packet.size:
        copy.update(bytes(packet))
    copy.stream, copy.time_base = packet.stream, packet.time_base
    copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
    return copy


def _choose_video(container: InputContainer, name: str) -> VideoStream:
    kind = container.format.name
    if kind == "tty":  # FFmpeg draws any .txt as the screen of a terminal
        raise SourceError(f"{name} is a text, not a video")
    if kind == "image2" or kind.endswith("_pipe"):
        raise SourceError(f"{name} is a picture, not a video; paint it with `livestyle stylize`")
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic and stream.codec_context is not None:
            return stream
    if container.streams.audio:
        raise SourceError(f"{name} has sound but no video that can be decoded")
    raise SourceError(f"{name} has no video that can be decoded")


def _frame_rate(stream: VideoStream) -> Fraction:
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and 0 < rate <= HIGHEST_FPS:
            return Fraction(rate)
    return FALLBACK_FPS


def _audio_info(stream: AudioStream | None) -> AudioInfo | None:
    if stream is None or stream.codec_context is None or not stream.codec_context.sample_rate:
        return None
    context = stream.codec_context
    extradata = bytes(context.extradata) if context.extradata else None
    time_base = stream.time_base or Fraction(1, context.sample_rate)
    return AudioInfo(context.codec.canonical_name, context.sample_rate, context.layout.name, extradata, time_base)


def _stamp(image: av.VideoFrame) -> int | None:
    return image.dts if image.pts is None else image.pts


def _to_rgb(image: av.VideoFrame) -> Pixels:
    pixels = cast(Pixels, image.to_ndarray(format="rgb24"))
    # The display matrix of phones, in degrees anticlockwise; it never says anything but quarter turns.
    turns = round(image.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def _reason(error: av.FFmpegError) -> str:
    """Why a running stream broke, in words. The read timeout is `ExitError`, which is not an `OSError`."""
    if isinstance(error, av.error.ExitError | av.error.TimeoutError):
        return "nothing came any more"
    # How nginx-rtmp and a publisher in `listen` say goodbye: EIO or EPIPE, never an end of file.
    if isinstance(error, av.error.OSError | av.error.BrokenPipeError | av.error.ConnectionResetError):
        return "the other side hung up"
    return str(error.strerror).lower()
