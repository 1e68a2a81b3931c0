"""Pictures to calibrate on: from a folder, a video, or the rendered scene."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from livestyle.errors import ConfigError
from livestyle.media import Frame, Pixels
from livestyle.pictures import read_picture
from livestyle.sources.scene import SceneSource
from livestyle.sources.stream import StreamSource
from livestyle.train.data import list_pictures

SIZE = (320, 184)  # width, height; the scales of half the size are those of the whole
PICTURES = 16
EVERY = 15  # frames of a video from one picture to the next
LEAST = 2  # pictures: one to learn from and one to judge on


def gather_stills(spec: str) -> list[Pixels]:
    """`PICTURES` pictures of `SIZE` (fewer where there are not so many): the same for the same ``spec``.

    ``scene`` draws other places and lights of the rendered scene; a folder gives its pictures, evenly spaced by name;
    a video every `EVERY`-th frame. Raises `ConfigError` or `SourceError`.
    """
    if spec == "scene":
        return list(_draw_scenes())
    path = Path(spec)
    found = _read_folder(path) if path.is_dir() else _read_video(spec)
    pictures = [_fill(picture) for picture in islice(found, PICTURES)]
    if len(pictures) < LEAST:
        raise ConfigError(f"{spec} has too few pictures: {LEAST} are needed, {PICTURES} are better")
    return pictures


def _draw_scenes() -> Iterator[Pixels]:
    for seed in range(PICTURES):
        with SceneSource(*SIZE, live=False, seed=seed) as scene:
            yield scene.scene_frame(37 * seed)


def _read_folder(folder: Path) -> Iterator[Pixels]:
    paths = list_pictures(folder)
    for index in range(min(PICTURES, len(paths))):
        yield read_picture(paths[index * len(paths) // min(PICTURES, len(paths))])


def _read_video(spec: str) -> Iterator[Pixels]:
    with StreamSource(spec) as source:
        count = 0
        while (item := source.read()) is not None:
            if isinstance(item, Frame):
                if count % EVERY == 0:
                    yield item.pixels
                count += 1


def _fill(picture: Pixels) -> Pixels:
    """The middle of a picture, `SIZE`."""
    height, width = picture.shape[:2]
    scale = max(SIZE[0] / width, SIZE[1] / height)
    size = (max(SIZE[0], round(width * scale)), max(SIZE[1], round(height * scale)))
    scaled = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    left, top = (size[0] - SIZE[0]) // 2, (size[1] - SIZE[1]) // 2
    return np.ascontiguousarray(scaled[top : top + SIZE[1], left : left + SIZE[0]], np.uint8)
