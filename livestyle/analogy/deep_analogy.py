"""Deep Image Analogy (Liao, Yao, Yuan, Hua and Kang, SIGGRAPH 2017): two pictures, matched by what they show.

Given A and B', finds for each pixel of one its counterpart in the other from VGG's features, coarse to fine, and makes
A' (A in the looks of B') and B (B' in the looks of A). What the paper (P) and the official code (C) do differently:

- blending by α · sigmoid(300 (response - 0.05)), P; C has a hard threshold. The response is |F|² stretched to 0..1, C
- the first field points straight across, moved inside the other picture; C forgets the latter, P begins at random. Mean
  cost at relu5_1 after 2 passes -0.269 and -0.271 (random), after all 10 -0.274 either way, mean error then 21 and 23
  pixels (the four pairs below, two seeds): no matter, and this one is the same for every seed
- features are reconstructed two layers down, C, with 6 evaluations for the 100 iterations of C. On a photo and its
  warped, recoloured and smoothed copy the end-point error does not fall with more, and rises when going one layer
  down as in P (3.2, 3.2, 3.4 pixels with 6, 12 and 40 evaluations; 3.1 two layers down)
- patches of 3×3 vote for the final pixels, C
- the first matching, at relu5_1, is of features whose every channel has mean 0 and deviation 1 over its picture, which
  takes out most of what a look is (Aberman et al., Neural Best-Buddies, 2018, match such features). Mean error on four
  bent photos, painted or recoloured (`livestyle evaluate correspondence`): 26, 8, 46, 64 pixels as published, 17, 8,
  30, 46 so
- smooth fields besides, from the same features: `livestyle.analogy.agreement`
- VGG-16 in place of VGG-19: the same layers up to relu3_1, one convolution less before relu4_1 and relu5_1
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor

from livestyle.analogy.agreement import Offsets, enlarge_offsets, settle
from livestyle.analogy.patchmatch import (
    Features,
    Field,
    Start,
    enlarge_field,
    improve_field,
    start_field,
    vote,
)
from livestyle.analogy.reconstruct import PICTURE, forward_between, reconstruct
from livestyle.media import Pixels
from livestyle.train.vgg import VGG16

LEVELS = 5
SHORTEST = 16  # pixels: a side below has no relu5_1
SHARPNESS, THRESHOLD = 300.0, 0.05  # κ and τ of the blending's sigmoid
NOT_ZERO = 1e-6  # beside squared feature values of 1 and far more: keeps blank pictures finite
FINAL_PATCH = 3
SETTLED = (4, 3, 2)  # levels that the smooth fields come from; relu1_1 says too little by itself
PASSES = 10
MACS = (1, 2, 2, 4, 3)  # rough relative costs of the layers that a reconstruction goes back through, by level

_T = TypeVar("_T")
Advance = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Weights:
    """How much of a picture's own features each blend keeps, from relu4_1 to relu1_1 (α; 1.0 at relu5_1)."""

    relu4: float
    relu3: float
    relu2: float
    relu1: float

    def of(self, level: int) -> float:
        return (self.relu1, self.relu2, self.relu3, self.relu4, 1.0)[level - 1]


WEIGHTS = {1: Weights(0.7, 0.6, 0.5, 0.0), 2: Weights(0.8, 0.7, 0.6, 0.1), 3: Weights(0.9, 0.8, 0.7, 0.2)}


@dataclass(frozen=True, slots=True)
class Settings:
    """``levels``: how many to run from relu5_1 on. ``span``: layers that a reconstruction goes down, 1 (P) or 2 (C)."""

    weights: Weights = WEIGHTS[3]
    levels: int = LEVELS
    seed: int = 0
    one_way: bool = False
    start: Start = "clamped"
    span: Literal[1, 2] = 2
    evaluations: int = 6
    threads: int = 1


@dataclass(slots=True)
class Analogy:
    """A' and B as RGB uint8, fields at the pictures' size, and where the time went; one way only, the rest is None.

    ``field_ab`` and ``field_ba`` are what A' and B are made by; ``smooth_ab`` and ``smooth_ba`` are truer where the
    pictures show one scene.
    """

    a_prime: Pixels
    field_ab: Field
    b: Pixels | None = None
    field_ba: Field | None = None
    smooth_ab: Offsets | None = None
    smooth_ba: Offsets | None = None
    seconds: dict[str, float] = field(default_factory=dict)


class Matcher:
    """One analogy between A and B', RGB (h, w, 3) uint8 with sides of at least `SHORTEST`."""

    def __init__(self, vgg: VGG16, a: Pixels, b_prime: Pixels, settings: Settings, advance: Advance = lambda _: None):
        if min(*a.shape[:2], *b_prime.shape[:2]) < SHORTEST:
            raise ValueError(f"sides of at least {SHORTEST} pixels are needed")
        self._vgg = vgg
        self._settings = settings
        self._advance = advance
        self._seconds: dict[str, float] = {}
        self._pictures = (a, b_prime)
        with self._timed("features"):
            self._own = (self._describe(a), self._describe(b_prime))

    def run(self) -> Analogy:
        """The analogy. ``advance`` hears 1.0 in all; the same seed gives the same result, whatever the threads."""
        settings, last = self._settings, LEVELS - self._settings.levels + 1
        ways = (0,) if settings.one_way else (0, 1)
        works = {level: self._works(level) for level in range(last, LEVELS + 1)}
        works[last] = works[last][0], 0.0
        total = len(ways) * sum(map(sum, works.values()))
        made = [self._own[0][LEVELS], self._own[1][LEVELS]]  # A' and B at this level, where that is known
        fields: list[Field | None] = [None, None]
        coarse = fields
        for level in range(LEVELS, last - 1, -1):
            matching, reconstructing = (self._share(work / total) for work in works[level])
            fields = self._match(level, made, fields, matching)
            if level >= SETTLED[0]:
                coarse = list(fields)  # the last ones are replaced below
            if level > last:
                made = [self._go_down(level, way, fields[way], reconstructing) for way in ways]
        result: list[Pixels | None] = [None, None]
        for way in ways:
            with self._timed("vote"):
                found = enlarge_field(_present(fields[way]), _size(self._own[way][0]), _size(self._own[1 - way][0]))
                voted = vote(self._pictures[1 - way].astype(np.float32), found, FINAL_PATCH, settings.threads)
                fields[way] = found
                result[way] = np.clip(np.rint(voted), 0, 255).astype(np.uint8)
        smooth: tuple[Offsets | None, Offsets | None] = (None, None)
        if not settings.one_way:
            smooth = self._settle(_present(coarse[0]), _present(coarse[1]))
        return Analogy(
            _present(result[0]), _present(fields[0]), result[1], fields[1], smooth[0], smooth[1], self._seconds
        )

    def _settle(self, field_ab: Field, field_ba: Field) -> tuple[Offsets, Offsets]:
        """Smooth offsets at the pictures' size, from fields of the coarsest settled level or a coarser one."""
        with self._timed("settle"):
            maps = [(_stack(_even(self._own[0][level])), _stack(_even(self._own[1][level]))) for level in SETTLED]
            shapes = [_size(self._own[way][SETTLED[0]]) for way in (0, 1)]
            fields = enlarge_field(field_ab, *shapes), enlarge_field(field_ba, *reversed(shapes))
            both = settle(maps, fields, self._settings.threads)
            step = 2 ** (SETTLED[-1] - 1)
            shapes = [_size(own[0]) for own in self._own]
            return enlarge_offsets(both[0], shapes[0], step), enlarge_offsets(both[1], shapes[1], step)

    def _works(self, level: int) -> tuple[float, float]:
        """Rough costs of matching and of reconstructing at a level, one way, for the progress only."""
        height, width = self._shape(0, level)
        matching = height * width * min(512, 32 << level) * (25 if level <= 2 else 9)
        return matching, MACS[level - 1] * 600 * _area(self._own[0][0]) * max(self._settings.evaluations, 1)

    def _share(self, share: float) -> Advance:
        return lambda part: self._advance(part * share)

    def _match(
        self, level: int, made: list[Tensor], fields: list[Field | None], advance: Advance
    ) -> list[Field | None]:
        settings = self._settings
        patch = 5 if level <= 2 else 3
        maps = [self._features(way, level) for way in (0, 1)]
        shapes = [_size(features) for features in maps]
        alpha = settings.weights.of(level)
        if level == LEVELS:  # A' is still A, and B still B'
            maps = made = [_even(features) for features in maps]
        with self._timed("blend"):
            if settings.one_way:  # nothing is known of B: half of the distance
                described = [_stack(_blend(maps[0], made[0], alpha)), _stack(maps[1])]
            else:  # (A', A) against (B', B): one scalar product is the two-sided distance, either way
                described = [
                    _stack(_blend(maps[0], made[0], alpha), maps[0]),
                    _stack(maps[1], _blend(maps[1], made[1], alpha)),
                ]
        found: list[Field | None] = [None, None]
        radius = {5: max(*shapes[0], *shapes[1]), 4: 6, 3: 6}.get(level, 4)
        for way in (0,) if settings.one_way else (0, 1):
            coarse = fields[way]
            with self._timed(f"match relu{level}_1"):
                if coarse is None:
                    first = start_field(shapes[way], shapes[1 - way], settings.start, settings.seed + way)
                else:
                    first = enlarge_field(coarse, shapes[way], shapes[1 - way])
                found[way] = improve_field(
                    described[way],
                    described[1 - way],
                    first,
                    patch=patch,
                    radius=radius,
                    passes=PASSES,
                    seed=2 * (settings.seed * LEVELS + level) + way,
                    threads=settings.threads,
                    advance=advance,
                )
        return found

    def _go_down(self, level: int, way: int, found: Field | None, advance: Advance) -> Tensor:
        """What A' (way 0) or B (way 1) should be one level finer, from what the field makes of the other picture."""
        settings = self._settings
        other = 1 - way
        below = level - settings.span
        first, last = _layer(below), _layer(level)
        with self._timed("vote"):
            target = self._vote(self._features(other, level), _present(found), 5 if level <= 2 else 3)
            finer = enlarge_field(_present(found), self._shape(way, below), self._shape(other, below))
        with self._timed(f"reconstruct relu{level}_1"):
            made = reconstruct(
                self._vgg,
                target,
                self._vote(self._features(other, below), finer, 5 if below <= 2 else 3),  # not kept: 50 MB at 448×448
                first=first,
                last=last,
                iterations=settings.evaluations,
                advance=advance,
            )
            return made if settings.span == 1 else forward_between(self._vgg, made, first, _layer(level - 1))

    def _vote(self, features: Tensor, found: Field, patch: int) -> Tensor:
        voted = vote(_channels_last(features), found, patch, self._settings.threads)
        return torch.from_numpy(voted).permute(2, 0, 1)[None]

    def _describe(self, pixels: Pixels) -> dict[int, Tensor]:
        """Features (1, C, h, w) by level: 0 is the picture as VGG takes it, 2 to 5 are relu2_1 to relu5_1."""
        rgb = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
        maps = {0: (rgb.flip(1).float() - self._vgg.mean).contiguous(memory_format=torch.channels_last)}
        for level in range(2, LEVELS + 1):
            above = level - 1 if level > 2 else 0
            maps[level] = forward_between(self._vgg, maps[above], _layer(above), _layer(level))
        return maps

    def _features(self, way: int, level: int) -> Tensor:
        """A map of `_describe`; relu1_1, as large as all others together, is made afresh whenever it is wanted."""
        own = self._own[way]
        return forward_between(self._vgg, own[0], PICTURE, _layer(1)) if level == 1 else own[level]

    def _shape(self, way: int, level: int) -> tuple[int, int]:
        height, width = _size(self._own[way][0])
        return height >> max(level - 1, 0), width >> max(level - 1, 0)

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        begin = time.monotonic()
        yield
        self._seconds[part] = self._seconds.get(part, 0.0) + time.monotonic() - begin


def fit_picture(pixels: Pixels, longest: int, ratio: float = 1.0) -> Pixels:
    """The picture with no side above ``longest`` pixels, then scaled by ``ratio``; never enlarged."""
    height, width = pixels.shape[:2]
    scale = min(1.0, longest / max(height, width)) * ratio
    if scale == 1.0:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _blend(own: Tensor, made: Tensor, alpha: float) -> Tensor:
    """The picture's own features where they say something, the other's looks elsewhere."""
    energy = own.square().sum(dim=1, keepdim=True)
    span = energy.max() - energy.min()
    response = (energy - energy.min()) / span.clamp(min=NOT_ZERO)
    weight = alpha * torch.sigmoid(SHARPNESS * (response - THRESHOLD))
    return weight * own + (1.0 - weight) * made


def _even(features: Tensor) -> Tensor:
    """Every channel with mean 0 and deviation 1 over the map; channels that hardly change stay small."""
    centred = features - features.mean(dim=(2, 3), keepdim=True)
    deviation = centred.square().mean(dim=(2, 3), keepdim=True).sqrt()
    return centred / (deviation + 1e-3 * deviation.mean() + NOT_ZERO)


def _stack(*features: Tensor) -> Features:
    """Unit vectors, one map's after the other's."""
    height, width = _size(features[0])
    stacked = np.empty((height, width, sum(map(_channels, features))), np.float32)
    first = 0
    for each in features:
        unit = each / (each.square().sum(dim=1, keepdim=True) + NOT_ZERO).sqrt()
        stacked[..., first : first + _channels(each)] = unit[0].permute(1, 2, 0).numpy()
        first += _channels(each)
    return stacked


def _channels_last(features: Tensor) -> Features:
    array: Features = features[0].permute(1, 2, 0).contiguous().numpy()
    return array


def _channels(features: Tensor) -> int:
    return features.shape[1]


def _size(features: Tensor) -> tuple[int, int]:
    return features.shape[2], features.shape[3]


def _area(features: Tensor) -> int:
    return features.shape[2] * features.shape[3]


def _layer(level: int) -> str:
    return f"relu{level}_1" if level else PICTURE


def _present(value: _T | None) -> _T:
    assert value is not None
    return value
