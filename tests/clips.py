"""Videos that the tests make for themselves: the grey of every picture says which one it is."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

SOUND_RATE = 48_000
STEP, LEVELS = 4, 56  # H.264 keeps a flat grey to about 1


def picture(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """A flat grey that `number_of` reads back."""
    return np.full((height, width, 3), 16 + number % LEVELS * STEP, np.uint8)


def number_of(pixels: NDArray[np.uint8]) -> int:
    """The number that `picture` painted, modulo `LEVELS`."""
    return round((float(pixels.mean()) - 16) / STEP)


class ClipWriter:
    """Writes numbered pictures, and a tone beside them, into a file or a stream."""

    def __init__(
        self,
        where: Path | str,
        size: tuple[int, int] = (320, 240),
        *,
        fps: int = 30,
        sound: bool = True,
        format: str | None = None,
        pix_fmt: str = "yuv420p",
        options: dict[str, str] | None = None,
        timeout: float | None = None,
    ) -> None:
        self.size, self.fps = size, fps
        self._container = av.open(str(where), "w", format=format, options=options or {}, timeout=timeout)
        settings = {"preset": "ultrafast", "tune": "zerolatency", "crf": "18"}
        self._video = self._container.add_stream("libx264", rate=fps, options=settings)
        self._video.width, self._video.height, self._video.pix_fmt = *size, pix_fmt
        self._video.gop_size = fps // 2
        self._video.codec_context.time_base = Fraction(1, 90_000)
        self._sound: Any = self._container.add_stream("aac", rate=SOUND_RATE) if sound else None
        self._samples = 0

    def write(self, number: int, seconds: Fraction | float | None = None) -> None:
        """Picture ``number`` at ``seconds`` (by default number / fps) and the tone up to there."""
        moment = Fraction(number, self.fps) if seconds is None else Fraction(seconds).limit_denominator(90_000)
        frame = av.VideoFrame.from_ndarray(picture(number, *self.size), format="rgb24")
        frame.time_base = Fraction(1, 90_000)
        frame.pts = round(moment * 90_000)
        self._container.mux(self._video.encode(frame))
        self._write_sound(round((moment + Fraction(1, self.fps)) * SOUND_RATE))

    def _write_sound(self, until: int) -> None:
        if self._sound is None or until <= self._samples:
            return
        time = np.arange(self._samples, until) / SOUND_RATE
        tone = (np.sin(2 * np.pi * 440 * time) * 8000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.repeat(tone, 2)[None], format="s16", layout="stereo")
        frame.rate, frame.pts, frame.time_base = SOUND_RATE, self._samples, Fraction(1, SOUND_RATE)
        self._container.mux(self._sound.encode(frame))
        self._samples = until

    def close(self) -> None:
        self._container.mux(self._video.encode())
        if self._sound is not None:
            self._container.mux(self._sound.encode())
        self._container.close()


def make_clip(where: Path, frames: int = 30, size: tuple[int, int] = (320, 240), **settings: Any) -> Path:
    """A finished clip of ``frames`` numbered pictures."""
    writer = ClipWriter(where, size, **settings)
    for number in range(frames):
        writer.write(number)
    writer.close()
    return where
