"""Moving pictures whose motion is known exactly: photos laid over each other, each on its way, and the rendered scene.

A layer is a plane that a homography carries from frame to frame; the upper ones are cut-outs. So what is hidden, and
where everything has gone, follows from arithmetic. Light and sensor noise change on top.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from livestyle.media import Pixels
from livestyle.sources.scene import SceneSource

Floats = NDArray[np.float32]
Motion = tuple[Floats, NDArray[np.bool_]]  # flow (h, w, 2) in pixels, and what is visible in both frames (h, w)

CUT_OUTS = (0, 1, 1, 2)  # how many, drawn evenly
SPEED = 6.0  # pixels a frame, sigma, of a layer
TURN, ZOOM, TILT = 0.006, 0.006, 2e-5  # radians, share, and perspective per pixel, a frame, sigma
LIGHT = 0.03  # change of the light a frame, share, sigma
NOISE = 6.0  # sigma of the sensor noise at most, 0..255


@dataclass(frozen=True, slots=True)
class Moving:
    """Frames uint8 (S, S, 3), and ``motion(n, m)`` between two of them: what is at x in n lies at x + flow in m."""

    frames: list[Pixels]
    motion: Callable[[int, int], Motion]


def draw_layers(
    photos: Sequence[Pixels], size: int, count: int, random: np.random.Generator, pace: float = 1.0
) -> Moving:
    """``count`` frames of ``size`` × ``size`` pixels: a photo with cut-outs of others moving over it.

    They move ``pace`` times as far from frame to frame as the sigmas above say.
    """
    drawn = range(1 + random.choice(CUT_OUTS))
    layers = [_draw_layer(photos, size, count, random, number > 0, pace) for number in drawn]
    light, noise = random.normal(0.0, LIGHT), random.uniform(0.0, NOISE)
    frames, labels = [], []
    for n in range(count):
        picture, label = np.zeros((size, size, 3), np.float32), np.zeros((size, size), np.int32)
        for number, (photo, cover, ways) in enumerate(layers):
            seen, alpha = _look(photo, ways[n], size), _look(cover, ways[n], size)
            picture += (seen - picture) * alpha[..., None]
            label[alpha > 0.5] = number
        picture = picture * (1.0 + light * n) + noise * random.standard_normal(picture.shape, np.float32)
        frames.append(np.clip(np.rint(picture), 0, 255).astype(np.uint8))
        labels.append(label)

    def motion(here: int, there: int) -> Motion:
        steps = [ways[there] @ np.linalg.inv(ways[here]) for _, _, ways in layers]
        return follow_layers(labels[here], labels[there], steps)

    return Moving(frames, motion)


def draw_scene(scene: SceneSource, count: int, random: np.random.Generator) -> Moving:
    """``count`` frames of the rendered scene from anywhere in its first ten minutes."""
    start = int(random.integers(18_000))
    frames = [scene.scene_frame(start + n) for n in range(count)]
    return Moving(frames, lambda here, there: scene.scene_flow(start + here, start + there))


def follow_layers(here: NDArray[np.int32], there: NDArray[np.int32], steps: Sequence[NDArray[np.float64]]) -> Motion:
    """Motion between two frames of labels (h, w), label n moving by the homography ``steps[n]``."""
    height, width = here.shape
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float64)
    flow = np.zeros((height, width, 2), np.float64)
    for number, step in enumerate(steps):
        mine = here == number
        flow[mine] = cv2.perspectiveTransform(grid[mine][None], step)[0] - grid[mine] if mine.any() else 0.0
    where = grid + flow
    x, y = where[..., 0], where[..., 1]
    visible = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
    x, y = (np.where(visible, a, 0.0).round(3) for a in (x, y))  # a pixel's own place is not half the next one's
    left, top, right, bottom = (a.astype(int) for a in (np.floor(x), np.floor(y), np.ceil(x), np.ceil(y)))
    for rows, columns in ((top, left), (top, right), (bottom, left), (bottom, right)):
        visible &= there[rows, columns] == here
    return flow.astype(np.float32), visible


def _draw_layer(
    photos: Sequence[Pixels], size: int, count: int, random: np.random.Generator, cut_out: bool, pace: float
) -> tuple[Floats, Floats, list[NDArray[np.float64]]]:
    """A photo float32 (h, w, 3), what of it is there (h, w), and its way: homographies from it to each frame."""
    photo = photos[int(random.integers(len(photos)))]
    height, width = photo.shape[:2]
    middle = np.array([random.uniform(0.3, 0.7) * width, random.uniform(0.3, 0.7) * height])
    cover: Floats = np.ones((height, width), np.float32)
    if cut_out:
        angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        waves = sum(random.normal(0, 0.25 / k) * np.cos(k * angles + random.uniform(0, 6.3)) for k in range(1, 5))
        radii = size * random.uniform(0.12, 0.3) * np.clip(1.0 + waves, 0.3, 2.0)
        outline = middle + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
        filled = cv2.fillPoly(np.zeros((height, width), np.float32), [np.rint(outline).astype(np.int32)], 1.0)
        cover = np.asarray(filled, np.float32)
    place = np.array([0.5, 0.5]) * size if not cut_out else random.uniform(0.15, 0.85, 2) * size
    speed = random.normal(0.0, SPEED * pace, 2) * (random.random() > 0.2)  # one in five stands still
    turn, zoom = random.normal(0.0, TURN * pace), random.normal(0.0, ZOOM * pace)
    tilt = np.zeros(2) if cut_out else random.normal(0.0, TILT * pace, 2)
    first_turn, first_zoom = random.uniform(-0.2, 0.2), random.uniform(0.8, 1.25)
    ways = []
    for n in range(count):
        angle, scale = first_turn + turn * n, first_zoom * (1.0 + zoom) ** n
        cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
        there = place + speed * n
        back = np.array([[1.0, 0.0, -middle[0]], [0.0, 1.0, -middle[1]], [0.0, 0.0, 1.0]])
        placed = np.array([[cosine, -sine, there[0]], [sine, cosine, there[1]], [*(tilt * n), 1.0]])
        ways.append(placed @ back)
    return photo.astype(np.float32), cover, ways


def _look(plane: Floats, way: NDArray[np.float64], size: int) -> Floats:
    """What of a plane is seen; beyond its border a photo is mirrored, and of a cut-out there is nothing."""
    border = cv2.BORDER_REFLECT_101 if plane.ndim == 3 or plane.min() > 0 else cv2.BORDER_CONSTANT
    return np.asarray(
        cv2.warpPerspective(plane, way, (size, size), flags=cv2.INTER_LINEAR, borderMode=border), np.float32
    )
