"""Colour looks on live pictures: the table of a look spread out to every colour there is, then one look-up a pixel.

The spread table has an entry for each of the 2²⁴ colours, 64 MB, and takes 0.06 s to make when a look is chosen. The
look-up is then exact to the grey level, the same for every frame, and takes a third of a millisecond at 640×360,
because the colours of a picture lie together in it; three interpolations a pixel take four times as long.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from livestyle.controls import Controls
from livestyle.errors import LivestyleError
from livestyle.live.styling import Painter
from livestyle.looks import Looks, Table
from livestyle.media import Frame, Pixels
from livestyle.sources.scene import SceneSource

THUMBNAIL = 160  # pixels a side

Colors = NDArray[np.uint32]  # (2²⁴,): at blue·2¹⁶ + green·2⁸ + red what that colour becomes, in the same form

log = logging.getLogger(__name__)


class Grader:
    """A painter with the look of the controls laid over what another paints, or over the source where that is bypassed.

    A look whose file is gone or damaged stays as it was; one that cannot be had is left out, and the log says so.
    """

    def __init__(self, painter: Painter, looks: Looks) -> None:
        self._painter = painter
        self._looks = looks
        self._stages: dict[str, float] = {}
        self._name = ""
        self._table: Table | None = None
        self._colors: Colors | None = None

    @property
    def styles(self) -> Sequence[str]:
        """Those of the painter."""
        return self._painter.styles

    @property
    def stages(self) -> Mapping[str, float]:
        """Milliseconds of each stage that the last `paint` ran, ``look`` among them where there is one."""
        return self._stages

    def paint(self, frame: Frame, controls: Controls) -> Frame:
        """The painted and graded frame; ``bypass`` leaves out the painting only."""
        painted = frame if controls.bypass else self._painter.paint(frame, controls)
        self._stages = {} if controls.bypass else dict(self._painter.stages)
        if not controls.look:
            return painted
        self._choose(controls.look)
        if self._colors is None:
            return painted
        started = time.perf_counter()
        pixels = apply_colors(self._colors, painted.pixels)
        self._stages["look"] = (time.perf_counter() - started) * 1e3
        return replace(painted, pixels=pixels)

    def _choose(self, name: str) -> None:
        try:
            table = self._looks.read(name)
        except LivestyleError as error:
            if name != self._name:
                log.warning("the picture goes on without the look: %s", error)
                self._name, self._table, self._colors = name, None, None
            return
        if table is not self._table:
            self._name, self._table, self._colors = name, table, spread_table(table)

    def reset(self) -> None:
        """Looks have no past; the painter forgets its own."""
        self._painter.reset()

    def close(self) -> None:
        """Release the painter's backend and the table."""
        self._painter.close()
        self._name, self._table, self._colors = "", None, None


class LookThumbnails(Mapping[str, bytes]):
    """What each look makes of the rendered scene, as JPEG, drawn when asked for: ``look/NAME`` beside ``others``."""

    def __init__(self, looks: Looks, others: Mapping[str, bytes]) -> None:
        self._looks = looks
        self._others = others

    def __getitem__(self, key: str) -> bytes:
        folder, slash, name = key.partition("/")
        if folder != "look" or not slash:
            return self._others[key]
        try:
            graded = grade(self._looks.read(name), self._scene)
        except LivestyleError as error:
            raise KeyError(key) from error
        return bytes(cv2.imencode(".jpg", cv2.cvtColor(graded, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])[1])

    def __iter__(self) -> Iterator[str]:
        yield from self._others
        yield from (f"look/{name}" for name in self._looks.names())

    def __len__(self) -> int:
        return len(self._others) + len(self._looks.names())

    @cached_property
    def _scene(self) -> Pixels:
        with SceneSource(640, 360, live=False) as scene:
            middle = scene.scene_frame(0)[:, 140:500]
        return np.asarray(cv2.resize(middle, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA), np.uint8)


def grade(table: Table, pixels: Pixels) -> Pixels:
    """One picture, RGB (H, W, 3) uint8, in a look. For video, `spread_table` once and `apply_colors` to each frame."""
    nodes = len(table)
    at = pixels[..., ::-1] * np.float32((nodes - 1) / 255.0)  # blue, green, red
    low = np.minimum(at.astype(np.int64), nodes - 2)
    share = at - low
    graded = np.zeros(pixels.shape, np.float32)
    for corner in np.ndindex(2, 2, 2):
        weight = np.where(corner, share, 1.0 - share).prod(axis=-1, keepdims=True)
        graded += weight * table[tuple(np.moveaxis(low + corner, -1, 0))]
    return np.asarray(np.rint(graded * 255.0), np.uint8)


def spread_table(table: Table) -> Colors:
    """The table at each of the 2²⁴ colours, trilinear between its nodes, rounded to 8 bits."""
    nodes = len(table)
    weights = _interpolation(nodes)
    levels = np.zeros((nodes, nodes, 4, nodes), np.float32)  # blue, green, channel, red: a pixel is four bytes
    levels[:, :, :3] = table.transpose(0, 1, 3, 2) * np.float32(255.0)
    finer = levels @ weights.T  # red
    finer = (weights @ finer.reshape(nodes, nodes, -1)).reshape(nodes, 256, 4, 256)  # green
    planes = np.ascontiguousarray(finer.transpose(0, 1, 3, 2)).reshape(nodes, 256, 1024)
    colors = np.empty((256, 256, 1024), np.uint8)
    for blue, row in enumerate(weights):
        low = min(blue * (nodes - 1) // 255, nodes - 2)
        share = float(row[low + 1])
        cv2.addWeighted(planes[low], 1.0 - share, planes[low + 1], share, 0.0, colors[blue], cv2.CV_8U)
    return colors.reshape(-1).view("<u4").astype(np.uint32, copy=False)


def apply_colors(colors: Colors, pixels: Pixels) -> Pixels:
    """A picture, RGB (H, W, 3) uint8, with each colour replaced."""
    index = cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA).view("<u4")[..., 0] & 0xFFFFFF
    graded = np.take(colors, index, mode="clip")  # clip: no index can be wrong, and it is the fastest
    return np.asarray(cv2.cvtColor(graded.view(np.uint8).reshape(*index.shape, 4), cv2.COLOR_RGBA2RGB), np.uint8)


def _interpolation(nodes: int) -> NDArray[np.float32]:
    """Weights (256, nodes) of the nodes for each level, linear."""
    at = np.arange(256) * ((nodes - 1) / 255.0)
    return np.asarray(np.maximum(0.0, 1.0 - np.abs(at[:, None] - np.arange(nodes))), np.float32)
