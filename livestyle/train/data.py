"""Photos and paintings for training, from any two folders."""

import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from livestyle.errors import ConfigError
from livestyle.pictures import read_picture

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
PHOTO_SIDE = 384  # short side at which photos are kept in memory, pixels
STYLE_SIDE = 384  # short side of a painting when its statistics are taken, as in the quality metric
STYLE_LEAST = 64  # short side of a painting that has any texture to learn, pixels
STYLE_SHAPE = 4  # long side of a painting over its short side, at most
METRIC_SIDE = 256  # of the square photos that are measured and sampled, pixels
HOLD_OUT = 8  # one photo in so many is kept out of training, for measuring

Window = tuple[NDArray[np.uint8], int, int, int, bool]  # photo, top, left, side in it, whether to mirror


def resize_short_side(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Scale so that the short side is ``side`` pixels, keeping the aspect ratio."""
    height, width = picture.shape[:2]
    scale = side / min(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(picture, size, interpolation=how).astype(np.uint8)


def list_pictures(folder: Path) -> list[Path]:
    """All pictures directly in a folder, sorted by name. Raises `ConfigError` when there are none."""
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder of pictures")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise ConfigError(f"no pictures in {folder} (looked for {', '.join(sorted(SUFFIXES))})")
    return found


def split_photos(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """(training, held out): every eighth photo by sorted order is held out when there are at least 64."""
    if len(paths) < 8 * HOLD_OUT:
        return list(paths), []
    held = [path for index, path in enumerate(paths) if index % HOLD_OUT == 0]
    return [path for index, path in enumerate(paths) if index % HOLD_OUT], held


def load_style(path: Path) -> Tensor:
    """A painting as (1, 3, H, W) float32 in [0, 1], short side `STYLE_SIDE`; grey and alpha as in `read_picture`.

    Raises `ConfigError` for one that is tiny, or so long that its short side shows nothing.
    """
    picture = read_picture(path)
    short, long = sorted(picture.shape[:2])
    size = f"{picture.shape[1]}x{picture.shape[0]}"
    if short < STYLE_LEAST:
        raise ConfigError(f"{path} is only {size}: a painting needs at least {STYLE_LEAST}x{STYLE_LEAST} pixels")
    if long > STYLE_SHAPE * short:
        raise ConfigError(f"{path} is {size}: crop it to at most {STYLE_SHAPE} times as long as wide")
    return to_tensor(resize_short_side(picture, STYLE_SIDE))[None]


def load_square(path: Path) -> NDArray[np.uint8]:
    """The part of a photo that is measured and sampled: short side `METRIC_SIDE`, then the top left square."""
    return np.ascontiguousarray(resize_short_side(read_picture(path), METRIC_SIDE)[:METRIC_SIDE, :METRIC_SIDE])


def load_photos(paths: Sequence[Path]) -> list[NDArray[np.uint8]]:
    """Photos to crop from, at short side `PHOTO_SIDE`. Raises `ConfigError` for one that cannot be read."""
    return [resize_short_side(read_picture(path), PHOTO_SIDE) for path in paths]


def to_tensor(picture: NDArray[np.uint8]) -> Tensor:
    """(H, W, 3) uint8 to (3, H, W) float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1).float() / 255.0


def to_picture(tensor: Tensor) -> NDArray[np.uint8]:
    """(3, H, W) in [0, 1] to (H, W, 3) uint8."""
    scaled = tensor.detach().clamp(0.0, 1.0).mul(255.0).add(0.5)
    return scaled.byte().permute(1, 2, 0).contiguous().cpu().numpy()


class Crops:
    """Random square crops of photos, at random scale and mirrored, drawn from one generator (exactly resumable)."""

    def __init__(
        self, photos: Sequence[NDArray[np.uint8]], generator: np.random.Generator, device: torch.device | None = None
    ) -> None:
        """``photos`` as from `load_photos`; crops are made on the processor and given on ``device``."""
        self._generator = generator
        self._photos = photos
        self._device = device or torch.device("cpu")
        self._pool = ThreadPoolExecutor(thread_name_prefix="crops")  # OpenCV lets go of the interpreter

    def draw(self, count: int, size: int, ring: int = 0) -> Tensor:
        """(count, 3, size + 2 ring, size + 2 ring) float32 in [0, 1].

        The photos' short side is between max(size, 256) and 384 pixels. The ``ring`` shows what lies round the crop,
        mirrored where the photo ends: so a crop may be the whole photo.
        """
        windows = [self._choose(size) for _ in range(count)]  # in order: threads must not share the generator
        crops = torch.from_numpy(np.stack(list(self._pool.map(functools.partial(_cut, size=size, ring=ring), windows))))
        if self._device.type == "cuda":  # not pinned, the copy would wait for all that the card still has to do
            crops = crops.pin_memory()
        return crops.to(self._device, non_blocking=True).permute(0, 3, 1, 2).float() / 255.0

    def _choose(self, size: int) -> Window:
        draw = self._generator
        photo = self._photos[int(draw.integers(len(self._photos)))]
        side = draw.uniform(max(size, METRIC_SIDE), PHOTO_SIDE)
        window = min(round(size * PHOTO_SIDE / side), PHOTO_SIDE)
        top = int(draw.integers(photo.shape[0] - window + 1))
        left = int(draw.integers(photo.shape[1] - window + 1))
        return photo, top, left, window, draw.random() < 0.5


def _cut(window: Window, size: int, ring: int) -> NDArray[np.uint8]:
    photo, top, left, side, mirrored = window
    border = round(ring * side / size)
    high, low = max(0, top - border), min(photo.shape[0], top + side + border)
    west, east = max(0, left - border), min(photo.shape[1], left + side + border)
    missing = (border - top + high, border - low + top + side, border - left + west, border - east + left + side)
    crop = cv2.copyMakeBorder(photo[high:low, west:east], *missing, cv2.BORDER_REFLECT_101)
    crop = cv2.resize(crop, (size + 2 * ring, size + 2 * ring), interpolation=cv2.INTER_AREA)
    return np.asarray(crop[:, ::-1] if mirrored else crop, np.uint8)
