"""Nearest-neighbour fields by PatchMatch (Barnes et al. 2009) over feature maps, on as many cores as are given.

The jump-flood form of the official Deep Image Analogy code: in each pass a pixel tries what its neighbours at 8, 4, 2
and 1 pixels have found, moved by as much, then a few random places around its own best. Two things differ. Passes read
the field of the pass before, and random places come from a hash of seed, pixel and pass, so that a seed gives one field
whatever the number of threads. And sums over a column of a patch are kept while neighbours try the same offset, so a
coherent field costs a fifth of the arithmetic at 5×5.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]  # (h, w, c)
Field = NDArray[np.int32]  # (h, w, 2): row and column in the other map, always inside it
Costs = NDArray[np.float32]  # (h, w)
Start = Literal["clamped", "random"]

JUMPS = (8, 4, 2, 1)
_NOWHERE = np.int64(1) << 62  # no offset has this key

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _compiled(function: _Function) -> _Function:
    """Machine code that lets go of the interpreter's lock; order of sums is free, as no NaN ever enters."""
    return cast(_Function, numba.njit(nogil=True, cache=True, fastmath=True)(function))


def start_field(shape: tuple[int, int], other: tuple[int, int], start: Start = "clamped", seed: int = 0) -> Field:
    """A first field from a map of ``shape`` (h, w) into one of ``other``.

    "clamped" points each pixel at its own place, moved inside where the other map is smaller: the official code leaves
    such pixels outside, where every distance is 0/0 and no match is ever better. "random" is the paper's.
    """
    height, width = shape
    if start == "random":
        return np.random.default_rng(seed).integers((0, 0), other, (height, width, 2), np.int32)
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([np.minimum(rows, other[0] - 1), np.minimum(columns, other[1] - 1)], axis=2).astype(np.int32)


def enlarge_field(field: Field, shape: tuple[int, int], other: tuple[int, int]) -> Field:
    """The field for maps of ``shape`` and ``other``, some halvings finer, by the offset of the pixel above; inside.

    Halving drops an odd last row or column, so a coarse pixel is exactly 2, 4 or 8 … fine ones, whatever the ratio of
    the sizes (the official code takes the ratio, which shears the field by up to half a coarse pixel).
    """
    height, width = shape
    step = 1 << (height // field.shape[0]).bit_length() - 1
    rows, columns = np.mgrid[0:height, 0:width]
    coarse_y = np.minimum(rows // step, field.shape[0] - 1)
    coarse_x = np.minimum(columns // step, field.shape[1] - 1)
    found = field[coarse_y, coarse_x]
    y = np.clip(rows + (found[..., 0] - coarse_y) * step, 0, other[0] - 1)
    x = np.clip(columns + (found[..., 1] - coarse_x) * step, 0, other[1] - 1)
    return np.stack([y, x], axis=2).astype(np.int32)


def field_costs(ours: Features, theirs: Features, field: Field, patch: int, threads: int = 1) -> Costs:
    """D(p, q) of each pixel's match: minus the mean scalar product over those pixels of the patch inside both maps."""
    costs = np.empty(field.shape[:2], np.float32)
    _over_rows(_measure, field.shape[0], threads, ours, theirs, field, costs, patch // 2)
    return costs


def improve_field(
    ours: Features,
    theirs: Features,
    field: Field,
    *,
    patch: int,
    radius: int,
    passes: int,
    seed: int = 0,
    threads: int = 1,
    advance: Callable[[float], None] = lambda _: None,
) -> Field:
    """The field after ``passes`` of propagation and random search within ``radius``; no pixel's match gets worse.

    ``ours`` (h, w, c) and ``theirs`` (h', w', c) are contiguous float32 without NaN; for the two-sided distance of Deep
    Image Analogy both carry two unit vectors a pixel, one after the other. ``advance`` hears 1.0 in all.
    """
    height, field = field.shape[0], field.copy()
    costs = field_costs(ours, theirs, field, patch, threads)
    spare_field, spare_costs = np.empty_like(field), np.empty_like(costs)
    for number in range(passes):
        for jump in JUMPS:
            if jump >= max(field.shape[:2]):
                continue
            arguments = (ours, theirs, field, costs, spare_field, spare_costs, patch // 2, jump)
            _over_rows(_propagate, height, threads, *arguments)
            field, spare_field = spare_field, field
            costs, spare_costs = spare_costs, costs
        _over_rows(_search, height, threads, ours, theirs, field, costs, patch // 2, radius, seed, number)
        advance(1.0 / passes)
    return field


def vote(theirs: Features, field: Field, patch: int, threads: int = 1) -> Features:
    """What our map would look like made of theirs (h', w', c): each pixel the mean of all patches laid over it."""
    height, width = field.shape[:2]
    result = np.empty((height, width, theirs.shape[2]), np.float32)
    _over_rows(_vote, height, threads, np.ascontiguousarray(theirs), field, result, patch // 2)
    return result


def _over_rows(kernel: Callable[..., None], height: int, threads: int, *arguments: object) -> None:
    """Run a kernel over all rows, in as many blocks as there are threads."""
    count = max(1, min(threads, height))
    if count == 1:
        kernel(*arguments, 0, height)
        return
    edges = [height * number // count for number in range(count + 1)]
    with ThreadPoolExecutor(count, "patchmatch") as pool:
        for done in [pool.submit(kernel, *arguments, edges[n], edges[n + 1]) for n in range(count)]:
            done.result()


@_compiled
def _product(ours: Any, theirs: Any, y: int, x: int, v: int, u: int) -> Any:
    total = np.float32(0.0)
    for channel in range(ours.shape[2]):
        total += ours[y, x, channel] * theirs[v, u, channel]
    return total


@_compiled
def _distance(ours: Any, theirs: Any, y: int, x: int, v: int, u: int, half: int) -> Any:
    total, count = np.float32(0.0), 0
    for dy in range(max(-half, -y, -v), min(half, ours.shape[0] - 1 - y, theirs.shape[0] - 1 - v) + 1):
        for dx in range(max(-half, -x, -u), min(half, ours.shape[1] - 1 - x, theirs.shape[1] - 1 - u) + 1):
            total += _product(ours, theirs, y + dy, x + dx, v + dy, u + dx)
            count += 1
    return -total / np.float32(count)


@_compiled
def _measure(ours: Any, theirs: Any, field: Any, costs: Any, half: int, top: int, bottom: int) -> None:
    for y in range(top, bottom):
        for x in range(field.shape[1]):
            costs[y, x] = _distance(ours, theirs, y, x, field[y, x, 0], field[y, x, 1], half)


@_compiled
def _propagate(
    ours: Any,
    theirs: Any,
    field: Any,
    costs: Any,
    new_field: Any,
    new_costs: Any,
    half: int,
    jump: int,
    top: int,
    bottom: int,
) -> None:
    height, width = field.shape[:2]
    other_height, other_width = theirs.shape[:2]
    keys = np.empty((4, width), np.int64)  # the offset that a column's sum was made for
    sums = np.empty((4, width), np.float32)
    for y in range(top, bottom):
        keys[:] = _NOWHERE
        for x in range(width):
            best_y, best_x, best = field[y, x, 0], field[y, x, 1], costs[y, x]
            own_y, own_x = best_y, best_x
            last_y, last_x = best_y, best_x
            for side in range(4):
                from_y = y + (jump if side == 1 else -jump if side == 0 else 0)
                from_x = x + (jump if side == 3 else -jump if side == 2 else 0)
                if from_y < 0 or from_y >= height or from_x < 0 or from_x >= width:
                    continue
                v = field[from_y, from_x, 0] + y - from_y
                u = field[from_y, from_x, 1] + x - from_x
                if v < 0 or v >= other_height or u < 0 or u >= other_width:
                    continue
                if (v == own_y and u == own_x) or (v == last_y and u == last_x):
                    continue
                last_y, last_x = v, u
                first = max(-half, -y, -v)
                last = min(half, height - 1 - y, other_height - 1 - v)
                left = max(-half, -x, -u)
                right = min(half, width - 1 - x, other_width - 1 - u)
                key = (np.int64(v - y) << 32) + np.int64(u - x)
                total = np.float32(0.0)
                for dx in range(left, right + 1):
                    column = x + dx
                    if keys[side, column] != key:
                        part = np.float32(0.0)
                        for dy in range(first, last + 1):
                            part += _product(ours, theirs, y + dy, column, v + dy, u + dx)
                        keys[side, column] = key
                        sums[side, column] = part
                    total += sums[side, column]
                cost = -total / np.float32((last - first + 1) * (right - left + 1))
                if cost < best:
                    best_y, best_x, best = v, u, cost
            new_field[y, x, 0] = best_y
            new_field[y, x, 1] = best_x
            new_costs[y, x] = best


@_compiled
def _hash(value: Any) -> Any:
    """The finisher of splitmix64."""
    mixed = np.uint64(value)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


@_compiled
def _search(
    ours: Any,
    theirs: Any,
    field: Any,
    costs: Any,
    half: int,
    radius: int,
    seed: int,
    number: int,
    top: int,
    bottom: int,
) -> None:
    width = field.shape[1]
    other_height, other_width = theirs.shape[:2]
    for y in range(top, bottom):
        for x in range(width):
            state = _hash((np.uint64(seed) << np.uint64(32)) + np.uint64(number))
            state = _hash(state + np.uint64(y * width + x))
            best_y, best_x, best = field[y, x, 0], field[y, x, 1], costs[y, x]
            reach = radius
            while reach >= 1:
                state = _hash(state + np.uint64(0x9E3779B97F4A7C15))
                first, last = max(best_y - reach, 0), min(best_y + reach, other_height - 1)
                left, right = max(best_x - reach, 0), min(best_x + reach, other_width - 1)
                v = first + np.int64(state >> np.uint64(33)) % (last - first + 1)
                u = left + np.int64(state & np.uint64(0x7FFFFFFF)) % (right - left + 1)
                if v != best_y or u != best_x:
                    cost = _distance(ours, theirs, y, x, v, u, half)
                    if cost < best:
                        best_y, best_x, best = v, u, cost
                reach //= 2
            field[y, x, 0] = best_y
            field[y, x, 1] = best_x
            costs[y, x] = best


@_compiled
def _vote(theirs: Any, field: Any, result: Any, half: int, top: int, bottom: int) -> None:
    height, width = field.shape[:2]
    for y in range(top, bottom):
        for x in range(width):
            result[y, x] = 0.0
            count = 0
            for dy in range(max(-half, -y), min(half, height - 1 - y) + 1):
                for dx in range(max(-half, -x), min(half, width - 1 - x) + 1):
                    v = field[y + dy, x + dx, 0] - dy
                    u = field[y + dy, x + dx, 1] - dx
                    if v < 0 or v >= theirs.shape[0] or u < 0 or u >= theirs.shape[1]:
                        continue
                    count += 1
                    for channel in range(theirs.shape[2]):
                        result[y, x, channel] += theirs[v, u, channel]
            for channel in range(theirs.shape[2]):
                result[y, x, channel] /= np.float32(count)
