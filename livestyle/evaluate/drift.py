"""``livestyle evaluate drift``: a still scene under sensor noise, for as long as a call lasts."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from livestyle.artifacts import Model
from livestyle.controls import Controls, find_name
from livestyle.errors import ConfigError
from livestyle.evaluate.footage import follow
from livestyle.live.stylizer import Stylizer
from livestyle.media import Frame, Pixels
from livestyle.sources.scene import SceneSource

SIZE = (320, 184)
START = 30  # frames: the mean colour is compared with that of this one
SPAN = 100  # frames at the end whose deviation is taken


@dataclass(frozen=True, slots=True)
class Drift:
    """``deviation`` over time of the last frames, mean over pixels, 0..255, and that of frames painted one by one.

    ``shift`` is the largest change of a colour's mean between frame `START` and the last frames.
    """

    frames: int
    deviation: float
    deviation_alone: float
    shift: float

    @property
    def ratio(self) -> float:
        """Below 1: steadier than frame by frame."""
        return self.deviation / self.deviation_alone


def evaluate_drift(model: Model, *, style: str = "", frames: int = 9000, noise: float = 5.0) -> Drift:
    """Paint ``frames`` frames of the scene standing still under noise of sigma ``noise`` (0..255).

    Raises `ConfigError` for an unknown style or too few frames.
    """
    if frames < START + SPAN:
        raise ConfigError(f"--frames {frames}: at least {START + SPAN} are needed")
    name = find_name(style, model.styles, "style") if style else model.default_style
    with SceneSource(*SIZE, live=False) as scene:
        still = scene.scene_frame(300).astype(np.float32)
    painter = Stylizer(model)
    controls = Controls(((name, 1.0),))
    last: list[Pixels] = []
    start = np.zeros(3)
    for n in follow(range(frames), "painting"):
        painted = painter.paint(_shake(still, noise, n), controls).pixels
        if n == START:
            start = painted.mean(axis=(0, 1))
        if n >= frames - SPAN:
            last.append(painted)
    alone = Controls(((name, 1.0),), coherence=False)
    ones = [painter.paint(_shake(still, noise, n), alone).pixels for n in range(frames - SPAN, frames)]
    painter.close()
    end = np.mean([picture.mean(axis=(0, 1)) for picture in last], axis=0)
    return Drift(frames, _deviation(last), _deviation(ones), float(np.abs(end - start).max()))


def _shake(still: np.ndarray[tuple[int, ...], np.dtype[np.float32]], noise: float, n: int) -> Frame:
    grain = np.random.default_rng(n).standard_normal(still.shape, np.float32)
    pixels = np.clip(np.rint(still + noise * grain), 0, 255).astype(np.uint8)
    return Frame(pixels, n, n, Fraction(1, 30), n / 30)


def _deviation(pictures: list[Pixels]) -> float:
    return float(np.stack(pictures).std(axis=0, dtype=np.float32).mean())
