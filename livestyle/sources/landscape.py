"""The scene's layers in motion: every one is painted once and then stands where an affine function of time puts it.

Texture pixels, world and picture are joined by 3×3 matrices; pixel centres are at whole numbers in both pictures.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, cos, floor, pi, sin

import cv2
import numpy as np
from numpy.typing import NDArray

from livestyle.media import Pixels
from livestyle.sources import figures, scenery
from livestyle.sources.scenery import SHORE, Plot, Texture

Affine = NDArray[np.float64]  # (3, 3), texture pixels to picture pixels
Motion = Callable[[float], Affine]  # of the time in seconds

DENSEST = 1100.0  # texture pixels a unit: a 4K scene is scaled up, or its textures would take 500 MB
PAN = 0.36  # units, the furthest that the camera moves to either side
ZOOM = 0.08  # the most that the nearest layer grows
WATER_DEPTH = 2.0  # how much more the lake follows the camera per unit of Y towards the viewer


@dataclass(frozen=True)
class Layer:
    """One flat layer: a premultiplied RGBA texture and its motion.

    ``loop`` > 0: the texture repeats itself every so many of its pixels to the right and may be shown from any copy.
    """

    texture: Texture
    motion: Motion
    loop: int = 0

    def shown(self, seconds: float) -> Affine:
        """The motion as it is drawn: a looping texture is stepped back so that the picture stays inside it."""
        matrix = self.motion(seconds)
        if not self.loop:
            return matrix
        left = np.linalg.inv(matrix) @ (0.0, 0.0, 1.0)
        return matrix @ shift(floor(left[0] / self.loop) * self.loop, 0.0)


def shift(x: float, y: float) -> Affine:
    """A translation."""
    return np.array(((1.0, 0.0, x), (0.0, 1.0, y), (0.0, 0.0, 1.0)))


def scale(x: float, y: float) -> Affine:
    """A scaling about the origin."""
    return np.diag((x, y, 1.0))


def shear(x: float) -> Affine:
    """X grows by ``x`` times Y."""
    return np.array(((1.0, x, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))


def turn(angle: float) -> Affine:
    """A rotation, radians."""
    return np.array(((cos(angle), -sin(angle), 0.0), (sin(angle), cos(angle), 0.0), (0.0, 0.0, 1.0)))


def wave(seconds: float, period: float, phase: float = 0.0) -> float:
    """A sine of time."""
    return sin(2 * pi * seconds / period + phase)


def water_nearness(y: float) -> float:
    """How strongly the lake follows the camera at world Y: as the far shore there, as the near bank here."""
    return 0.45 + (y - SHORE) * WATER_DEPTH


class Landscape:
    """All layers of one seed at one picture size, back to front; knows nothing of frames, only of seconds."""

    def __init__(self, width: int, height: int, seed: int) -> None:
        self.width, self.height = width, height
        self.aspect = width / height
        self.density = min(height * (1 + ZOOM / 2), DENSEST)
        self._streams = iter(np.random.SeedSequence(seed).spawn(16))
        self._light = scenery.PALETTES[seed % len(scenery.PALETTES)]
        self._mirror: list[tuple[Texture, Plot]] = []
        self.layers = tuple(self._layers())

    def _random(self) -> np.random.Generator:
        return np.random.default_rng(next(self._streams))

    def _layers(self) -> list[Layer]:
        light, sun = self._light, (-0.27 * self.aspect, 0.17)
        plot = self._wide(0.05, -0.03, 0.61)
        back = [self._backdrop(scenery.sky(self._random(), plot, light, sun), plot, 0.05)]
        back.append(self._clouds())
        plot = self._wide(0.18, 0.24, 0.61)
        back.append(self._backdrop(scenery.peaks(self._random(), plot, light), plot, 0.18))
        plot = self._wide(0.30, 0.46, 0.64)
        back.append(self._backdrop(scenery.hills(self._random(), plot, light), plot, 0.30))
        back.append(self._balloon())
        plot = self._wide(0.45, 0.53, 0.65)
        shore = self._backdrop(scenery.woods(self._random(), plot, light), plot, 0.45)
        middle = [self._lake(sun[0]), shore, self._boat()]
        flock = ((0.0, 0.27, 1.0), (0.10, 0.22, 0.8), (0.19, 0.255, 0.65))
        gulls = [self._gull(*bird) for bird in flock]
        plot = self._wide(1.3, 0.83, 1.05)
        meadow = self._backdrop(scenery.meadow(self._random(), plot, light), plot, 1.3)
        return [*back, *middle, *gulls, meadow, self._tree()]

    def _wide(self, nearness: float, top: float, bottom: float) -> Plot:
        """A plot as wide as the camera ever sees at this nearness."""
        half = self.aspect / 2 + nearness * PAN + 0.03
        return Plot(-half, top, half, bottom, self.density)

    def _view(self, seconds: float, follow: float, grow: float) -> Affine:
        """World to picture pixels for things that follow the camera's pan by ``follow`` and its zoom by ``grow``.

        The camera looks left and right, a little up and down, and walks to and fro; the shore line is its horizon.
        """
        x = 0.30 * wave(seconds, 17.0) + 0.05 * wave(seconds, 7.3, 1.0)
        y = 0.008 * wave(seconds, 11.0)
        zoom = 1 + ZOOM * (0.25 + 0.75 * grow) / 1.25 * (1 - cos(2 * pi * seconds / 37.0)) / 2
        centre = shift(self.width / 2 - 0.5, SHORE * self.height - 0.5)
        return centre @ scale(zoom * self.height, zoom * self.height) @ shift(-follow * x, -SHORE - follow * y)

    @staticmethod
    def _ground(plot: Plot) -> Affine:
        """Texture pixels of a plot to its world."""
        return shift(plot.left, plot.top) @ scale(1 / plot.density, 1 / plot.density) @ shift(0.5, 0.5)

    def _backdrop(self, texture: Texture, plot: Plot, nearness: float) -> Layer:
        """A layer that only follows the camera; what stands above the shore is kept to be mirrored in the lake."""
        if plot.top < SHORE:
            self._mirror.append((texture, plot))
        ground = self._ground(plot)
        return Layer(texture, lambda t: self._view(t, nearness, nearness) @ ground)

    def _clouds(self) -> Layer:
        """Clouds drift for ever: their texture loops, and carries one picture's width more than its loop."""
        half = self.aspect / 2 + 0.4
        plot = Plot(-half, -0.03, half, 0.40, self.density)
        once = scenery.clouds(self._random(), plot, self._light)
        spare = ceil(self.aspect * self.density) + 8
        texture = np.concatenate((once, *[once] * ceil(spare / plot.width)), 1)[:, : plot.width + spare].copy()
        self._mirror.append((once, plot))
        ground = self._ground(plot)
        return Layer(texture, lambda t: self._view(t, 0.10, 0.10) @ shift(0.010 * t, 0) @ ground, loop=plot.width)

    def _crossing(self, seconds: float, start: float, speed: float, nearness: float, reach: float) -> float:
        """World X of a thing that crosses the picture and starts anew, out of sight; ``reach`` is its half width."""
        half = self.aspect / 2 + nearness * PAN + reach
        return (start * self.aspect + speed * seconds + half) % (2 * half) - half

    def _balloon(self) -> Layer:
        plot = Plot(-0.10, -0.16, 0.10, 0.12, self.density)
        ground = self._ground(plot)

        def motion(t: float) -> Affine:
            x = self._crossing(t, -0.09, -0.028, 0.35, 0.15)
            here = shift(x, 0.29 + 0.02 * wave(t, 13.0)) @ turn(0.03 * wave(t, 5.0))
            return self._view(t, 0.35, 0.35) @ here @ ground

        return Layer(figures.balloon(plot), motion)

    def _lake(self, sun: float) -> Layer:
        """The lake lies flat: near water passes faster than far water, which is a shear."""
        plot = self._wide(1.25, SHORE - 0.012, 1.0)
        ground = self._ground(plot)
        texture = scenery.lake(self._random(), plot, self._light, self._mirrored(plot), sun)

        def motion(t: float) -> Affine:
            still = self._view(t, 0.0, 0.7)
            x = (still - self._view(t, 1.0, 0.7))[0, 2] / still[0, 0]
            return still @ shear(-WATER_DEPTH * x) @ shift(-water_nearness(0.0) * x, 0.0) @ ground

        return Layer(texture, motion)

    def _mirrored(self, lake: Plot) -> NDArray[np.floating]:
        """What stands above the shore, upside down and stretched, as the lake's plot sees it: RGB (h, w, 3), 0..255."""
        flip = shift(0.0, SHORE) @ scale(1.0, -1 / 1.35) @ shift(0.0, -SHORE)
        picture: NDArray[np.floating] = np.zeros((lake.height, lake.width, 3), np.float32)
        for texture, plot in self._mirror:
            matrix = np.linalg.inv(self._ground(lake)) @ flip @ self._ground(plot)
            size = (lake.width, lake.height)
            patch = cv2.warpAffine(texture, matrix[:2], size, borderMode=cv2.BORDER_REFLECT).astype(np.float32)
            inside = (np.arange(lake.height) - matrix[1, 2]) / matrix[1, 1]
            patch[(inside < 0) | (inside > plot.height - 1)] = 0
            picture = patch[..., :3] + picture * (1 - patch[..., 3:] / 255)
        return picture

    def _boat(self) -> Layer:
        plot = Plot(-0.12, -0.23, 0.12, 0.12, self.density)
        ground = self._ground(plot)
        y = 0.775
        nearness = water_nearness(y)

        def motion(t: float) -> Affine:
            x = self._crossing(t, -0.22, 0.08, nearness, 0.14)
            here = shift(x, y + 0.003 * wave(t, 2.9)) @ turn(0.035 * wave(t, 4.1))
            return self._view(t, nearness, 0.7) @ here @ ground

        return Layer(figures.boat(self._random(), plot, self._light), motion)

    def _gull(self, behind: float, y: float, size: float) -> Layer:
        plot = Plot(-0.075, -0.07, 0.06, 0.02, self.density)
        ground = self._ground(plot)

        def motion(t: float) -> Affine:
            x = self._crossing(t, 0.22, -0.20, 0.8, 0.35) + behind
            rise = 0.025 * wave(t, 6.0, behind * 9)
            here = shift(x, y + rise) @ turn(0.10 * wave(t, 6.0, behind * 9 + 1.6)) @ scale(size, size)
            return self._view(t, 0.8, 0.8) @ here @ ground

        return Layer(figures.gull(plot), motion)

    def _tree(self) -> Layer:
        """The near tree leans in the wind about its foot."""
        plot = Plot(-0.26, -0.66, 0.26, 0.03, self.density)
        ground = self._ground(plot)
        foot = shift(0.36 * self.aspect, 0.965)

        def motion(t: float) -> Affine:
            lean = 0.010 * wave(t, 3.7) + 0.006 * wave(t, 9.1)
            return self._view(t, 1.3, 1.3) @ foot @ shear(lean) @ scale(1.15, 1.15) @ ground

        return Layer(figures.tree(self._random(), plot, self._light), motion)

    def draw(self, seconds: float) -> Pixels:
        """The picture at a time: (height, width, 3) RGB."""
        picture = np.zeros((self.height, self.width, 3), np.uint8)
        for layer in self.layers:
            lay(picture, layer, layer.shown(seconds))
        return picture

    def labels(self, seconds: float) -> NDArray[np.uint8]:
        """Which layer is seen in each pixel, (height, width): the topmost that covers at least half of it."""
        seen = np.zeros((self.height, self.width), np.uint8)
        for number, layer in enumerate(self.layers):
            matrix = layer.shown(seconds)
            alpha = cv2.warpAffine(layer.texture[..., 3], matrix[:2], (self.width, self.height))
            seen[alpha >= 128] = number
        return seen


def lay(picture: Pixels, layer: Layer, matrix: Affine) -> None:
    """Draw a layer over a picture, in place, touching only the rectangle that it can cover."""
    height, width = picture.shape[:2]
    rows, columns = layer.texture.shape[:2]
    corners = matrix[:2] @ np.array(((-1, columns, -1, columns), (-1, -1, rows, rows), (1, 1, 1, 1)), np.float64)
    left, top = np.maximum(np.floor(corners.min(axis=1)), 0).astype(int)
    right, bottom = np.minimum(np.ceil(corners.max(axis=1)).astype(int) + 1, (width, height))
    if left >= right or top >= bottom:
        return
    local = (shift(-float(left), -float(top)) @ matrix)[:2]
    patch = cv2.warpAffine(layer.texture, local, (int(right - left), int(bottom - top)))
    region = picture[top:bottom, left:right]
    keep = cv2.cvtColor(cv2.bitwise_not(cv2.extractChannel(patch, 3)), cv2.COLOR_GRAY2RGB)
    kept = cv2.multiply(region, keep, scale=1 / 255)
    region[...] = cv2.add(kept, cv2.cvtColor(patch, cv2.COLOR_RGBA2RGB))
