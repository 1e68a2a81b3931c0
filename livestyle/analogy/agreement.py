"""Smooth fields out of the two of a pair: what both ways agree on, and what that says about the rest.

A nearest-neighbour field is right where a picture shows something and wanders where it does not: skies, walls, the
strokes of a painting. Matches that lead back to where they came from are seldom wrong, so those carry the others: at
each pixel an affine map is fitted to them by moving least squares, again without those that it contradicts.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from livestyle.analogy.patchmatch import Features, Field, improve_field

Offsets = NDArray[np.float32]  # (h, w, 2): how far right and down the match of a pixel lies
Plane = NDArray[np.float32]  # (h, w)
Both = tuple[Offsets, Offsets]  # from one map of a pair to the other, and back

RETURN = 0.01  # of the longest side, and at least a pixel: a round trip that ends so far off counts 1/e
ROUNDS = ((0.12, 0.1), (0.06, 0.05), (0.03, 0.02), (0.02, 0.01))  # of the longest side: σ of window, of contradiction
LITTLE = 1e-4  # weight under a window beside which nothing is known; the round before is kept
REACH, PASSES = 3, 2  # how far, in pixels of a map, and how often a smooth field is searched around


def settle(maps: Sequence[tuple[Features, Features]], fields: tuple[Field, Field], threads: int = 1) -> Both:
    """Smooth offsets between the last of ``maps``, from fields between the first, whichever way they came about.

    ``maps`` are feature maps of both pictures, each pair twice as fine as the one before. At each, the smooth field is
    improved by PatchMatch in its own neighbourhood and made smooth again.
    """
    both = smooth_both(find_offsets(fields[0]), find_offsets(fields[1]))
    for number, pair in enumerate(maps):
        improved = []
        for way in (0, 1):
            ours, theirs = pair[way], pair[1 - way]
            offsets = enlarge_offsets(both[way], ours.shape[:2], 2) if number else both[way]
            first = _to_field(offsets, theirs.shape[:2])
            patch = 5 if number == len(maps) - 1 else 3
            found = improve_field(ours, theirs, first, patch=patch, radius=REACH, passes=PASSES, threads=threads)
            improved.append(find_offsets(found))
        both = smooth_both(*improved)
    return both


def find_offsets(field: Field) -> Offsets:
    """How far right and down each pixel's match lies, (h, w, 2)."""
    rows, columns = np.mgrid[0 : field.shape[0], 0 : field.shape[1]]
    return np.stack([field[..., 1] - columns, field[..., 0] - rows], axis=2).astype(np.float32)


def enlarge_offsets(offsets: Offsets, shape: tuple[int, int], step: int) -> Offsets:
    """Offsets for a map of ``shape``, ``step`` times as fine."""
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    x, y = ((axis - (step - 1) / 2) / step for axis in (columns, rows))
    enlarged = cv2.remap(offsets, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(step * enlarged, np.float32)


def smooth_both(ours: Offsets, theirs: Offsets) -> Both:
    """The smooth versions of both fields of a pair, (h, w, 2) from one picture and (h', w', 2) from the other.

    For pictures of one thing, bent: a match across a step in depth comes out rounded.
    """
    return _smooth(ours, theirs), _smooth(theirs, ours)


def _smooth(ours: Offsets, theirs: Offsets) -> Offsets:
    longest = max(ours.shape[:2])
    trust = np.exp(-np.square(_round_trip(ours, theirs) / max(RETURN * longest, 1.0)))
    smooth = ours
    for number, (window, contradiction) in enumerate(ROUNDS):
        weight = trust
        if number:
            off = np.square(ours - smooth).sum(axis=2)
            weight = trust * np.exp(-off / max(contradiction * longest, 0.7) ** 2)
        smooth = _fit(ours, weight, window * longest, smooth if number else None)
    return smooth


def _round_trip(ours: Offsets, theirs: Offsets) -> Plane:
    """How far from each pixel one ends up by going there and back."""
    rows, columns = np.mgrid[0 : ours.shape[0], 0 : ours.shape[1]].astype(np.float32)
    x, y = columns + ours[..., 0], rows + ours[..., 1]
    back = cv2.remap(theirs, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(np.linalg.norm(ours + back, axis=2), np.float32)


def _fit(offsets: Offsets, weight: Plane, window: float, before: Offsets | None) -> Offsets:
    """At each pixel the affine map of the offsets around, weighted and under a Gaussian window of so many pixels."""
    rows, columns = np.mgrid[0 : weight.shape[0], 0 : weight.shape[1]].astype(np.float64)
    at = np.stack([np.ones_like(rows), columns / window, rows / window], axis=2)
    moments = _gather(weight, at[..., :, None] * at[..., None, :], window)
    moments += 1e-6 * np.eye(3) * (moments[..., :1, :1] + LITTLE)
    products = _gather(weight, at[..., :, None] * offsets[..., None, :], window)
    smooth = np.einsum("hwi,hwij->hwj", at, np.linalg.solve(moments, products))
    if before is not None:
        known = moments[..., 0, 0] / (moments[..., 0, 0] + LITTLE)
        smooth = before + known[..., None] * (smooth - before)
    return np.asarray(smooth, np.float32)


def _gather(weight: Plane, values: NDArray[np.float64], window: float) -> NDArray[np.float64]:
    """Sums of weighted values (h, w, i, j) under the window."""
    flat = (values * weight[..., None, None]).reshape(*weight.shape, -1)
    blurred = [
        cv2.GaussianBlur(np.ascontiguousarray(flat[..., number]), (0, 0), window, borderType=cv2.BORDER_CONSTANT)
        for number in range(flat.shape[2])
    ]
    return np.asarray(np.stack(blurred, axis=2).reshape(values.shape), np.float64)


def _to_field(offsets: Offsets, other: tuple[int, int]) -> Field:
    rows, columns = np.mgrid[0 : offsets.shape[0], 0 : offsets.shape[1]]
    y = np.clip(np.rint(rows + offsets[..., 1]), 0, other[0] - 1)
    x = np.clip(np.rint(columns + offsets[..., 0]), 0, other[1] - 1)
    return np.stack([y, x], axis=2).astype(np.int32)
