"""What stability is measured on: filmed clips, or the rendered scene, whose motion is known exactly."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from livestyle.errors import ConfigError
from livestyle.evaluate.stability import LONG, SHORT, Mask, Pair, filmed_pairs, hidden_pixels, scene_pairs
from livestyle.media import Frame, Pixels
from livestyle.sources import open_source
from livestyle.sources.scene import SceneSource

WIDTH, HEIGHT = 640, 360  # of the measured frames, pixels; a smaller clip stays as small
MULTIPLE = 8  # of the sides, as the networks want them
START = 300  # first frame of the scene: by then a balloon, a boat and a gull are in the picture
SUFFIXES = (".mp4", ".mkv", ".mov", ".flv", ".webm", ".avi", ".gif")


@dataclass(frozen=True, slots=True)
class Footage:
    """Frames uint8 (h, w, 3), motion by step (pair n is of frames n and n + step), and what each frame uncovers.

    ``hidden[n]`` (h, w) marks the pixels of frame n + 1 that were not to be seen in frame n: where ghosts would be.
    """

    name: str
    frames: list[Pixels]
    pairs: dict[int, list[Pair]]
    hidden: list[Mask]


def open_footage(given: str, count: int, noise: float = 0.0, every: int = 1) -> list[Footage]:
    """The first ``count`` frames of ``scene``, of a video, or of every video in a folder.

    Of a video the largest 16:9 part round the middle is taken, at most 640×360. ``noise`` is the sigma of the sensor
    noise on the scene, 0..255. Of ``every`` so many frames only one is taken, as if the others were dropped. Raises
    `ConfigError` for what is none of these or too short, `SourceError` for a video that cannot be read.
    """
    if count < LONG + 2:
        raise ConfigError(f"--frames {count}: at least {LONG + 2} are needed")
    if every < 1:
        raise ConfigError(f"--every {every}: it must be at least 1")
    if given == "scene":
        return [_render(count, noise, every)]
    if noise:
        raise ConfigError("--noise is for the scene: a clip has its own")
    path = Path(given)
    if not path.is_dir():
        return [_film(path, count, every)]
    videos = sorted(entry for entry in path.iterdir() if entry.suffix.lower() in SUFFIXES)
    if not videos:
        raise ConfigError(f"no videos in {path} (looked for {', '.join(SUFFIXES)})")
    return [_film(video, count, every) for video in videos]


def fit_frame(pixels: Pixels) -> Pixels:
    """The largest 16:9 part round the middle, scaled down to 640×360 where it is larger, sides multiples of 8."""
    height, width = pixels.shape[:2]
    inner = min(width, height * WIDTH // HEIGHT), min(height, width * HEIGHT // WIDTH)
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    part = pixels[top : top + inner[1], left : left + inner[0]]
    if inner[0] > WIDTH:
        part = cv2.resize(part, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA).astype(np.uint8)
    return np.ascontiguousarray(part[: part.shape[0] // MULTIPLE * MULTIPLE, : part.shape[1] // MULTIPLE * MULTIPLE])


def follow(items: Sequence[int], what: str) -> Sequence[int]:
    """The same with a progress bar on a terminal."""
    console = Console(stderr=True)
    return track(items, what, console=console, transient=True, disable=not console.is_terminal)  # type: ignore[return-value]


def _film(path: Path, count: int, every: int) -> Footage:
    frames: list[Pixels] = []
    source = open_source(str(path.absolute()))
    try:
        while len(frames) < count and (item := source.read()) is not None:
            if isinstance(item, Frame) and item.index % every == 0:
                frames.append(fit_frame(item.pixels))
    finally:
        source.close()
    if len(frames) < LONG + 2 or any(frame.shape != frames[0].shape for frame in frames):
        raise ConfigError(f"{path} has {len(frames)} frames of one size: at least {LONG + 2} are needed")
    if min(frames[0].shape[:2]) < 64:
        raise ConfigError(f"{path} is smaller than 64 pixels")
    pairs = {step: list(filmed_pairs(frames, step)) for step in (SHORT, LONG)}
    back = filmed_pairs(frames[::-1], SHORT)
    return Footage(path.stem, frames, pairs, [hidden_pixels(pair) for pair in back][::-1])


def _render(count: int, noise: float, every: int) -> Footage:
    with SceneSource(WIDTH, HEIGHT, live=False, noise=noise) as scene:
        indices = range(START, START + count * every, every)
        frames = [scene.scene_frame(index) for index in follow(indices, "rendering")]
        pairs = {step: list(scene_pairs(scene, indices, step)) for step in (SHORT, LONG)}
        hidden = [hidden_pixels(Pair(*scene.scene_flow(index, index - every))) for index in indices[1:]]
    name = f"scene, noise {noise:g}" if noise else "scene"
    return Footage(name, frames, pairs, hidden)
