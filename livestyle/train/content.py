"""Photos for a new style to learn on, when its user names a folder, has a camera, or neither."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from livestyle.errors import ConfigError, SourceError
from livestyle.media import Frame, Source
from livestyle.sources.camera import CameraSource
from livestyle.sources.scene import SceneSource
from livestyle.train.data import PHOTO_SIDE, list_pictures, load_photos, resize_short_side, split_photos

PHOTOS_MOST = 300  # photos of a folder that are used, evenly spaced: 180 MB in memory
CAMERA_FRAMES = 24
CAMERA_EVERY = 0.4  # s between two of them, so that something has moved
SCENES = 24  # pictures of the rendered scene: other places and lights, not moments of one

Photos = Sequence[NDArray[np.uint8]]

log = logging.getLogger(__name__)


def gather_photos(folder: Path | None) -> tuple[Photos, str]:
    """(pictures at short side `PHOTO_SIDE`, what they are for people).

    Those of ``folder``; without one, frames of the camera and the rendered scene, or the scene alone. Raises
    `ConfigError` for a folder without a photo that can be read.
    """
    if folder is not None:
        photos = read_folder(folder)
        return photos, f"{len(photos)} photos of {folder}"
    scenes = draw_scenes()
    try:
        with CameraSource(None) as camera:
            frames = capture_frames(camera)
    except SourceError as error:
        log.info("no camera: %s", error)
        return scenes, "the rendered scene: no camera can be opened (--photos DIR gives better ones)"
    return [*frames, *scenes], f"{len(frames)} frames of your camera and the rendered scene"


def read_folder(folder: Path) -> Photos:
    """At most `PHOTOS_MOST` photos, evenly spaced by name; one that cannot be read is left out with a warning.

    Those that ``livestyle train`` keeps for measuring are kept here too.
    """
    paths, _ = split_photos(list_pictures(folder))
    photos: list[NDArray[np.uint8]] = []
    for path in paths[:: -(-len(paths) // PHOTOS_MOST)]:
        try:
            photos += load_photos([path])
        except ConfigError as error:
            log.warning("a photo is left out: %s", error)
    if not photos:
        raise ConfigError(f"none of the {len(paths)} pictures in {folder} can be read")
    return photos


def capture_frames(camera: Source, every: float = CAMERA_EVERY) -> Photos:
    """`CAMERA_FRAMES` pictures of an open camera, ``every`` seconds. Raises `SourceError` when it gives none."""
    photos: list[NDArray[np.uint8]] = []
    due = time.monotonic() + every  # the first pictures are dark: exposure settles
    while len(photos) < CAMERA_FRAMES and (item := camera.read()) is not None:
        if isinstance(item, Frame) and time.monotonic() >= due:
            photos.append(resize_short_side(item.pixels, PHOTO_SIDE))
            due += every
    if not photos:
        raise SourceError("the camera gave no picture")
    return photos


def draw_scenes() -> Photos:
    """`SCENES` pictures of the rendered scene, each of another seed."""
    photos: list[NDArray[np.uint8]] = []
    for seed in range(SCENES):
        with SceneSource(PHOTO_SIDE * 4 // 3, PHOTO_SIDE, live=False, seed=seed) as scene:
            photos.append(scene.scene_frame(37 * seed))
    return photos
