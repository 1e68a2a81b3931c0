"""A clip whose picture and sound say when they were made: a white flash and a beep at the same instant, once a second.

The flash is a checkerboard of black and white cells that lasts `FLASH` pictures and carries its second (modulo
`SECONDS`) and its place in the flash, so that a lost first picture is not taken for a late one; the pitch of the beep
carries the second too. Cells are read by comparing them with a black and a white one, so they outlive painting. The
clip loops without a seam: `SECONDS` is a whole number of AAC packets.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from livestyle.evaluate.clip import Clip
from livestyle.media import Pixels

FPS = 30
SECONDS = 64  # of the clip: 3000 packets of 1024 samples
RATE = 48_000  # Hz
FLASH = 3  # pictures
BEEP = 0.08  # s
LOWEST, STEP = 600.0, 40.0  # Hz, the pitch of second 0 and the way to the next
CELLS = 4  # rows and columns
CONTRAST = 40.0  # of 255, between the white cell and the black one
NEAR = 0.35  # of the contrast, how far a cell may be off: the codes of painted scenes are not that clean
HOP = 120  # samples, 2.5 ms
MISSING = 0.015  # s; less than a packet
LOUD, QUIET_SECONDS = 0.1, 0.3  # amplitude of a beep (made with 0.5), and the silence before it


class Flash(NamedTuple):
    """What a picture of a flash says: ``second`` 0 to 63, ``place`` 0 to 2 in the flash."""

    second: int
    place: int

    @property
    def moment(self) -> float:
        """Seconds on the clip's clock at which this picture was made."""
        return self.second + self.place / FPS


class Beep(NamedTuple):
    """A beep: when it began, on the clock of its packets in seconds, and which second its pitch says."""

    began: float
    second: int


def write_beacon(path: Path, width: int, height: int, seconds: int = SECONDS) -> None:
    """Encode the clip (any container that holds H.264 and AAC), with two key pictures a second, one at each flash.

    It loops without a seam if ``seconds`` is `SECONDS`.
    """
    scene = Clip(width, height)
    settings = {"preset": "ultrafast", "tune": "zerolatency", "crf": "20", "bf": "0", "g": str(FPS // 2)}
    settings |= {"sc_threshold": "0"}
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FPS, options=settings)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        audio = container.add_stream("aac", rate=RATE, layout="stereo")
        for number in range(FPS * (seconds + 1)):  # a second more of sound, whose end is encoded late
            second, place = divmod(number, FPS)
            plain = 64 + scene.next().pixels // 2
            pixels = draw_flash(Flash(second % SECONDS, place), width, height) if place < FLASH else plain
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, FPS)
            if second < seconds:
                container.mux(video.encode(picture))
            if place == 0:
                sound = av.AudioFrame.from_ndarray(make_sound(second)[None], format="s16", layout="stereo")
                sound.rate, sound.pts, sound.time_base = RATE, second * RATE, Fraction(1, RATE)
                container.mux(audio.encode(sound))
        container.mux(video.encode())
        container.mux(audio.encode())


def draw_flash(flash: Flash, width: int, height: int) -> Pixels:
    """The picture of a flash, uint8 (height, width, 3)."""
    cells = np.array(_bits(flash), np.uint8).reshape(CELLS, CELLS) * 255
    rows, columns = np.arange(height) * CELLS // height, np.arange(width) * CELLS // width
    return np.repeat(cells[rows][:, columns, None], 3, axis=2)


def _bits(flash: Flash) -> list[int]:
    """White, six bits of the second, two of the place, the six inverted, black."""
    second = [flash.second >> bit & 1 for bit in range(6)]
    return [1, *second, flash.place & 1, flash.place >> 1, *(1 - bit for bit in second), 0]


def read_flash(luma: Pixels) -> Flash | None:
    """What a picture, uint8 (height, width), says if it is one of a flash."""
    height, width = luma.shape[0] // CELLS, luma.shape[1] // CELLS
    inner = [
        luma[row * height + height // 4 : row * height + 3 * height // 4, column * width + width // 4 :][
            :, : width // 2
        ]
        for row in range(CELLS)
        for column in range(CELLS)
    ]
    means = [float(cell.mean()) for cell in inner]
    white, black = means[0], means[-1]
    if abs(white - black) < CONTRAST:
        return None
    levels = [(mean - black) / (white - black) for mean in means]
    bits = [int(level > 0.5) for level in levels]
    if any(abs(level - bit) > NEAR for level, bit in zip(levels, bits, strict=True)):
        return None
    flash = Flash(sum(bit << n for n, bit in enumerate(bits[1:7])), bits[7] | bits[8] << 1)
    return flash if bits == _bits(flash) and flash.place < FLASH else None


def make_sound(second: int) -> NDArray[np.int16]:
    """One second of stereo, interleaved: a beep and silence."""
    time = np.arange(RATE) / RATE
    tone = np.where(time < BEEP, 0.5 * np.sin(2 * np.pi * (LOWEST + STEP * (second % SECONDS)) * time), 0.0)
    return np.repeat((32767 * tone).astype(np.int16), 2)


class Ear:
    """Finds beeps in decoded sound that comes in pieces."""

    def __init__(self) -> None:
        self._samples: NDArray[np.float32] = np.zeros(0, np.float32)
        self._began = 0.0  # s, of the first sample kept
        self._quiet = 0.0  # s of silence before it

    def hear(self, samples: NDArray[np.float32], at: float) -> Iterator[Beep]:
        """``samples`` in -1..1, one channel at `RATE`, whose first is at ``at`` seconds; yields beeps that are over."""
        if abs(at - (self._began + len(self._samples) / RATE)) > MISSING:  # begin anew
            self._samples, self._began, self._quiet = samples, at, 0.0
        else:  # stamps of milliseconds, or packets left out: the newest is right
            self._began = at - len(self._samples) / RATE
            self._samples = np.concatenate((self._samples, samples))
        while len(self._samples) >= HOP:
            if np.abs(self._samples[:HOP]).max() < LOUD:
                self._skip(HOP, quiet=True)
                continue
            needed = HOP + int(0.75 * BEEP * RATE)
            if len(self._samples) < needed:
                return
            if self._quiet >= QUIET_SECONDS:
                onset = int(np.argmax(np.abs(self._samples[:HOP]) >= LOUD))
                second = round((_pitch(self._samples[onset : onset + needed - HOP]) - LOWEST) / STEP)
                if 0 <= second < SECONDS:
                    yield Beep(self._began + onset / RATE, second)
            self._skip(HOP, quiet=False)

    def _skip(self, count: int, quiet: bool) -> None:
        self._samples = self._samples[count:]
        self._began += count / RATE
        self._quiet = self._quiet + count / RATE if quiet else 0.0


def _pitch(samples: NDArray[np.float32]) -> float:
    """Hz of the loudest tone."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 8192))
    return float(np.argmax(spectrum)) * RATE / 8192
