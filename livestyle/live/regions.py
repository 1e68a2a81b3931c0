"""Which styles paint where: the masks of `Region`s, brought to the features' grid and turned into covers.

Regions are put together after the banks and before the decoder, so any number of them takes one encode and one decode.
A mask is averaged over each feature, 4×4 pixels, and that is its feather: a hard edge stays as crisp as the decoder
draws it. Regions in the same mix share one run of the bank.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from livestyle.controls import SHAPES, Controls, Mix, Region, add_region, parse_region, read_rectangle
from livestyle.live.flow import Motion
from livestyle.media import Frame
from livestyle.pictures import check_input, read_mask

Floats = NDArray[np.float32]
CIRCLE = 0.42  # radius of the circle, of the picture's shorter side
FAINTEST = 1 / 512  # a mix that shows less than this anywhere is not painted


@dataclass(frozen=True, slots=True)
class Grid:
    """Where features lie: maps of ``width`` x ``height``, each feature ``stride`` pixels, ``margin`` pixels beyond."""

    width: int
    height: int
    stride: int
    margin: int


@dataclass(frozen=True, slots=True)
class Moment:
    """What a mask may be made of: a frame, the one seen before it, and how things moved between the two.

    ``motion`` lies on ``grid``, margin included; None after a cut, and where nobody looked for it.
    """

    frame: Frame
    grid: Grid
    before: Frame | None = None
    motion: Motion | None = None

    @property
    def features(self) -> tuple[int, int]:
        """Width and height of the picture alone, in features."""
        height, width = self.frame.pixels.shape[:2]
        return max(1, round(width / self.grid.stride)), max(1, round(height / self.grid.stride))


MaskSource = Callable[[Moment], Floats]  # float32 (H, W) in [0, 1], of any size; the same array again costs nothing


@dataclass(frozen=True, slots=True)
class Layer:
    """One mix, and how far it covers the layers before it: float32 (1, 1, h, w) in [0, 1], None for the first."""

    mix: Mix
    cover: Floats | None


class RegionMap:
    """Turns the regions of the controls into layers, and keeps what does not change from frame to frame."""

    def __init__(self, masks: Mapping[str, MaskSource]) -> None:
        """``masks`` gives the masks that are no shapes, by name."""
        self._masks = masks
        self._grid = Grid(0, 0, 1, 0)
        self._coarse: dict[str, tuple[Floats | None, Floats]] = {}  # name -> what the source gave, its coarse form
        self._made: tuple[Mix, Sequence[Region], Sequence[Floats]] | None = None  # what the layers were made of
        self._layers: list[Layer] = []

    def split(self, controls: Controls, moment: Moment) -> Sequence[Layer]:
        """The layers of a frame from the lowest up: each mix that shows somewhere, once."""
        if not controls.regions:
            return [Layer(controls.mix, None)]
        if moment.grid != self._grid:
            self._grid, self._coarse, self._made = moment.grid, {}, None
        masks = [self._fetch(region.mask, moment) for region in controls.regions]
        # a rectangle that is drawn anew is another name each time
        self._coarse = {region.mask: self._coarse[region.mask] for region in controls.regions}
        if not self._is_made_of(controls, masks):
            self._layers = stack(controls.mix, controls.regions, masks)
            self._made = controls.mix, controls.regions, masks
        return self._layers

    def _is_made_of(self, controls: Controls, masks: Sequence[Floats]) -> bool:
        if self._made is None or self._made[:2] != (controls.mix, controls.regions):
            return False
        return all(one is other for one, other in zip(self._made[2], masks, strict=True))

    def _fetch(self, name: str, moment: Moment) -> Floats:
        """A mask on the grid, float32 (h, w)."""
        height, width = moment.frame.pixels.shape[:2]
        source = self._masks[name](moment) if name in self._masks else None
        kept = self._coarse.get(name)
        if kept is None or kept[0] is not source:
            full = draw_shape(name, width, height) if source is None else source
            kept = self._coarse[name] = (source, to_grid(full, width, height, self._grid))
        return kept[1]


class DrawnMask:
    """A mask that is drawn while the stream runs, as the page does with a finger; empty at first. Any thread."""

    def __init__(self) -> None:
        self._mask: Floats = np.zeros((1, 1), np.float32)

    def draw(self, levels: bytes, width: int, height: int) -> None:
        """Replace it by ``height`` rows of ``width`` grey levels, 255 inside the region, stretched over the picture."""
        self._mask = np.frombuffer(levels, np.uint8).reshape(height, width).astype(np.float32) / np.float32(255.0)

    def __call__(self, moment: Moment) -> Floats:
        """The newest mask, as a `MaskSource`."""
        return self._mask


def read_regions(
    texts: Iterable[str], styles: Sequence[str], found: Mapping[str, MaskSource]
) -> tuple[tuple[Region, ...], dict[str, MaskSource]]:
    """Regions of ``MASK=STYLE`` texts, from the lowest up, and every mask: ``found`` ones and those of pictures.

    Raises `ConfigError` for a picture that cannot be read, an unknown mask or an unknown style.
    """
    regions: tuple[Region, ...] = ()
    masks = dict(found)
    for text in texts:
        name = text.rpartition("=")[0]
        if name not in found and _is_path(name):
            masks[name] = _hold(read_mask(Path(name)))
        regions = add_region(regions, parse_region(text, styles, tuple(masks)))
    return regions, masks


def _is_path(name: str) -> bool:
    """Whether a mask is a picture: a file that is there, or one that ought to be, which is then told."""
    if name in SHAPES or not name or read_rectangle(name) is not None:
        return False
    path = Path(name)
    if path.suffix or path.name != name:
        check_input(path)
    try:
        return path.is_file()
    except OSError:  # longer than a name may be
        return False


def _hold(mask: Floats) -> MaskSource:
    return lambda moment: mask


def stack(mix: Mix, regions: Sequence[Region], masks: Sequence[Floats]) -> list[Layer]:
    """Layers that lay ``regions`` over ``mix`` in their order; those of one mix become one layer.

    Where each mix shows in the end, Wₖ, sums to 1; laid one over the other, layer k covers Wₖ / (W₀ + … + Wₖ).
    """
    shows: dict[Mix, Floats] = {mix: np.ones_like(masks[0])}
    for region, mask in zip(regions, masks, strict=True):
        cover = mask * np.float32(region.share)
        shows = {other: weight * (1 - cover) for other, weight in shows.items()}
        shows[region.mix] = shows.get(region.mix, np.float32(0)) + cover
    shows = {mix: weight for mix, weight in shows.items() if weight.max() > FAINTEST}
    layers: list[Layer] = []
    total = np.zeros_like(masks[0])
    for mix, weight in shows.items():
        total = total + weight
        cover = np.divide(weight, total, out=np.zeros_like(weight), where=total > FAINTEST)
        layers.append(Layer(mix, np.ascontiguousarray(cover[None, None]) if layers else None))
    return layers


def draw_shape(name: str, width: int, height: int) -> Floats:
    """The mask of one of `livestyle.controls.SHAPES` or of a rectangle: float32 (height, width), 1 inside."""
    x, y = (np.arange(width) + 0.5) / width, ((np.arange(height) + 0.5) / height)[:, None]
    rectangle = read_rectangle(name)
    if rectangle is not None:
        left, top, across, down = rectangle
        inside = (x >= left) & (x <= left + across) & (y >= top) & (y <= top + down)
    elif name == "circle":
        side = min(width, height)
        inside = ((x - 0.5) * width) ** 2 + ((y - 0.5) * height) ** 2 <= (CIRCLE * side) ** 2
    else:
        halves = {"left": x < 0.5, "right": x >= 0.5, "top": y < 0.5, "bottom": y >= 0.5}
        inside = np.broadcast_to(halves[name], (height, width))
    return inside.astype(np.float32)


def to_grid(mask: Floats, width: int, height: int, grid: Grid) -> Floats:
    """The mean of a mask, stretched to ``width`` x ``height`` pixels, over each feature; float32 (h, w) in [0, 1]."""
    edge, stride = grid.margin // grid.stride, grid.stride
    whole = height % stride == width % stride == grid.margin % stride == 0
    if whole and mask.shape == (height // stride, width // stride):  # one value for each feature already
        right, below = grid.width - edge - mask.shape[1], grid.height - edge - mask.shape[0]
        return np.asarray(cv2.copyMakeBorder(mask, edge, below, edge, right, cv2.BORDER_REPLICATE), np.float32)
    if mask.shape != (height, width):
        shrinks = mask.shape[0] > height
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        mask = np.asarray(cv2.resize(mask, (width, height), interpolation=method), np.float32)
    right = grid.width * grid.stride - width - grid.margin
    below = grid.height * grid.stride - height - grid.margin
    padded = cv2.copyMakeBorder(mask, grid.margin, below, grid.margin, right, cv2.BORDER_REPLICATE)
    coarse = cv2.resize(padded, (grid.width, grid.height), interpolation=cv2.INTER_AREA)
    return np.clip(coarse, 0.0, 1.0).astype(np.float32)
