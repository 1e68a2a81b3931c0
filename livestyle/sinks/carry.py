"""Sound that is carried, not decoded: what a muxer needs to know about it, made from an `AudioInfo`.

FFmpeg copies a stream by a template stream of an open input. There is none here (the sound came from another room), so
the template is the smallest Matroska file that describes it: a header, one track, no packets.
"""

import io
import re
import struct

import av
from av.audio.stream import AudioStream
from av.error import FFmpegError

from livestyle.media import AudioInfo

# FFmpeg codec name -> Matroska codec id, https://www.matroska.org/technical/codec_specs.html
_MATROSKA_IDS = {
    "aac": "A_AAC",
    "mp3": "A_MPEG/L3",
    "mp2": "A_MPEG/L2",
    "opus": "A_OPUS",
    "vorbis": "A_VORBIS",
    "ac3": "A_AC3",
    "eac3": "A_EAC3",
    "flac": "A_FLAC",
}
_AAC_RATES = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350)
_DECODER_NAMES = {"mp3float": "mp3", "mp2float": "mp2", "libopus": "opus", "libvorbis": "vorbis"}
_LAYOUT_CHANNELS = {"mono": 1, "stereo": 2, "2.1": 3, "3.0": 3, "quad": 4, "4.0": 4, "5.0": 5, "5.1": 6, "7.1": 8}


def codec_name(audio: AudioInfo) -> str:
    """The codec's plain name; a decoder's name such as ``mp3float`` is understood."""
    return _DECODER_NAMES.get(audio.codec, audio.codec)


def channels(layout: str) -> int:
    """Number of channels of an FFmpeg layout name: ``stereo``, ``5.1(side)``, ``3 channels``. 2 where unknown."""
    if counted := re.match(r"(\d+) channels", layout):
        return int(counted[1])
    return _LAYOUT_CHANNELS.get(layout.split("(")[0], 2)


def open_template(audio: AudioInfo) -> AudioStream | None:
    """A stream to hand to ``add_stream_from_template``; None for a codec that cannot be carried."""
    matroska_id = _MATROSKA_IDS.get(codec_name(audio))
    if matroska_id is None:
        return None
    private = audio.extradata or (_low_complexity(audio) if codec_name(audio) == "aac" else b"")
    try:
        return av.open(io.BytesIO(_describe(matroska_id, audio, private)), format="matroska").streams.audio[0]
    except (FFmpegError, IndexError):  # extradata that is not what the codec asks for
        return None


def payload(audio: AudioInfo, data: bytes) -> bytes:
    """A packet for the muxer: AAC loses the ADTS header (ISO/IEC 13818-7, 6.2) that packets from MPEG-TS have."""
    if codec_name(audio) != "aac" or len(data) < 7 or data[0] != 0xFF or data[1] & 0xF6 != 0xF0:
        return data
    return data[7 if data[1] & 1 else 9 :]


def _low_complexity(audio: AudioInfo) -> bytes:
    """AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1) of AAC-LC, which AAC without extradata is."""
    if audio.sample_rate not in _AAC_RATES:
        return b""
    rate = _AAC_RATES.index(audio.sample_rate)
    return (2 << 11 | rate << 7 | channels(audio.layout) << 3).to_bytes(2, "big")


def _describe(matroska_id: str, audio: AudioInfo, extradata: bytes) -> bytes:
    sound = _element("E1", _element("B5", struct.pack(">d", audio.sample_rate)) + _number("9F", channels(audio.layout)))
    private = _element("63A2", extradata) if extradata else b""
    track = _number("D7", 1) + _number("73C5", 1) + _number("83", 2) + _element("86", matroska_id.encode())
    head = _number("4286", 1) + _number("42F7", 1) + _number("42F2", 4) + _number("42F3", 8)
    head += _element("4282", b"matroska") + _number("4287", 4) + _number("4285", 2)
    body = _element("1549A966", _number("2AD7B1", 1_000_000) + _element("4D80", b"-") + _element("5741", b"-"))
    body += _element("1654AE6B", _element("AE", track + private + sound))
    body += _element("1F43B675", _number("E7", 0))  # the reader goes on to the first cluster, so there is an empty one
    return _element("1A45DFA3", head) + _element("18538067", body)


def _element(name: str, data: bytes) -> bytes:
    """One EBML element (RFC 8794) with its size in eight bytes."""
    return bytes.fromhex(name) + (len(data) | 1 << 56).to_bytes(8, "big") + data


def _number(name: str, value: int) -> bytes:
    return _element(name, value.to_bytes(8, "big"))
