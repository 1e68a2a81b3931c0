"""The flow network, taught on sequences whose motion is exact: the first stage of ``livestyle train-motion``.

An example is three lumas at a quarter of the size, as the live program sees them, and the motion between them. The
network starts from nothing on the first pair and from its own answer on the second, as it does live. Drawing a sequence
takes as long as learning from it, so each is kept for a while and comes back turned and mirrored.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from livestyle.live.flow import STRIDE, FlowEstimator
from livestyle.media import Pixels
from livestyle.model.flow import FlowNetwork
from livestyle.sources.scene import SceneSource
from livestyle.train.sequences import Moving, draw_layers, draw_scene

SIDE = 192  # pixels of an example, before it is made a quarter
SCENE_EVERY = 6  # one example in so many is of the rendered scene
SCENE_SEED = 101  # not the scene that is measured
SLOWEST, FASTEST = 0.05, 2.5  # of a sequence's pace, drawn evenly on a log scale: 0.3 to 15 pixels a frame, sigma
BATCH = 4
FRESH = 1  # new example a step
KEPT = 320  # examples, 20 MB
BLUR = 0.02  # feature pixels: error below which the loss no longer falls steeply
HIDDEN = 0.1  # weight of what cannot be seen: the layer's motion is still the best answer


@dataclass(frozen=True, slots=True)
class Example:
    """``lumas`` uint8 (3, h, w); ``flows`` float32 (2, 2, h, w), backward, in feature pixels, and ``shares`` (2, h, w),
    the part of each pixel that one visible motion explains: from the second frame to the first, and the third to it.
    """

    lumas: NDArray[np.uint8]
    flows: NDArray[np.float32]
    shares: NDArray[np.float32]


class Examples:
    """The examples of a run. The n-th is always the same, whatever was drawn before it."""

    def __init__(self, photos: Sequence[Pixels], seed: int) -> None:
        self._photos = photos
        self._seed = seed
        self._scene = SceneSource(SIDE, SIDE, live=False, seed=SCENE_SEED, noise=2.0)
        self._views = FlowEstimator()
        self._kept: dict[int, Example] = {}

    def draw(self, number: int) -> Example:
        """The n-th example."""
        if number % SCENE_EVERY != SCENE_EVERY - 1:
            return self.draw_photos(number)
        random = np.random.default_rng([self._seed, number])
        step = int(random.integers(1, 4))
        return make_example(draw_scene(self._scene, 2 * step + 1, random), step, self._views)

    def draw_photos(self, number: int) -> Example:
        """One of photos in layers."""
        random = np.random.default_rng([self._seed, number])
        pace = float(np.exp(random.uniform(np.log(SLOWEST), np.log(FASTEST))))
        return make_example(draw_layers(self._photos, SIDE, 3, random, pace), 1, self._views)

    def batch(self, step: int, random: np.random.Generator) -> list[Example]:
        """`BATCH` of the newest examples at a step of the run, each turned and mirrored at random."""
        end = BATCH + step * FRESH
        self._kept = {n: self._kept.get(n) or self.draw(n) for n in range(max(0, end - KEPT), end)}
        chosen = random.choice(len(self._kept), BATCH, replace=False)
        numbers = list(self._kept)
        return [turn(self._kept[numbers[index]], *random.integers(0, 2, 3)) for index in chosen]


def make_example(moving: Moving, step: int, views: FlowEstimator) -> Example:
    """An example of frames 0, ``step`` and 2 ``step`` of a sequence."""
    lumas = np.stack([views.view(moving.frames[n * step]).luma for n in range(3)])
    flows, shares = zip(*(shrink(*moving.motion(n * step, (n - 1) * step)) for n in (1, 2)), strict=True)
    return Example(lumas, np.stack(flows).transpose(0, 3, 1, 2), np.stack(shares))


def shrink(flow: NDArray[np.float32], visible: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """An exact flow (H, W, 2) in pixels at a quarter of the size, and the share that one visible motion explains.

    The mean of two motions is neither: a pixel that holds both counts for less.
    """
    size = flow.shape[1] // STRIDE, flow.shape[0] // STRIDE
    small = cv2.resize(flow, size, interpolation=cv2.INTER_AREA) / STRIDE
    square = cv2.resize((flow / STRIDE) ** 2, size, interpolation=cv2.INTER_AREA)
    spread = np.maximum(0.0, square - small**2).sum(axis=2)
    share = cv2.resize(visible.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32), np.asarray(share / (1.0 + 25.0 * spread), np.float32)


def turn(example: Example, across: int, down: int, transposed: int) -> Example:
    """The example mirrored across or down, and turned over its diagonal."""
    lumas, flows, shares = example.lumas, example.flows, example.shares
    if across:
        lumas, flows, shares = lumas[..., ::-1], flows[..., ::-1] * _signs(-1, 1), shares[..., ::-1]
    if down:
        lumas, flows, shares = lumas[..., ::-1, :], flows[..., ::-1, :] * _signs(1, -1), shares[..., ::-1, :]
    if transposed:
        lumas, shares = lumas.swapaxes(-1, -2), shares.swapaxes(-1, -2)
        flows = flows.swapaxes(-1, -2)[:, ::-1]
    return Example(lumas, flows, shares)


def _signs(x: int, y: int) -> NDArray[np.float32]:
    return np.array([x, y], np.float32)[:, None, None]


def measure_flow(network: FlowNetwork, batch: Sequence[Example]) -> dict[str, Tensor]:
    """``flow``, the robust end-point error on all levels, and ``error``, the plain mean of what is visible."""
    lumas = torch.from_numpy(np.stack([each.lumas for each in batch])).float()
    flows = torch.from_numpy(np.stack([each.flows for each in batch]))
    shares = torch.from_numpy(np.stack([each.shares for each in batch]))
    guess = torch.zeros_like(flows[:, 0])
    sums = {"flow": lumas.new_zeros(()), "error": lumas.new_zeros(())}
    for n in (0, 1):
        found = network.search(lumas[:, n + 1 : n + 2], lumas[:, n : n + 1], guess)
        truth, share = flows[:, n], shares[:, n : n + 1]
        guess = found[-1].detach()
        apart = _length(guess - truth)
        sums["error"] = sums["error"] + (share * apart).sum() / share.sum()
        weight = HIDDEN + (1.0 - HIDDEN) * share
        part = 1.0
        for flow in reversed(found):
            apart = _length(flow - truth)
            sums["flow"] = sums["flow"] + part * (weight * (apart + BLUR).sqrt()).mean()
            truth = 0.5 * F.avg_pool2d(truth * weight, 2, ceil_mode=True, count_include_pad=False)
            weight = F.avg_pool2d(weight, 2, ceil_mode=True, count_include_pad=False)
            truth = truth / weight
            part *= 0.5
    return {name: 0.5 * value for name, value in sums.items()}


def _length(vectors: Tensor) -> Tensor:
    """(N, 1, h, w) of (N, 2, h, w), with a slope at zero."""
    return (vectors.square().sum(dim=1, keepdim=True) + 1e-8).sqrt()
