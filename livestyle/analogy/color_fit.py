"""A colour look from corresponding colours: a smooth table that takes each colour of one picture to what it became.

The table is sought as displacements D of the colours at its nodes. With pairs (x, y) of colours, minimise

    mean of w·|x + D(x) - y|²  +  s·(|second differences|² + MEMBRANE·|differences|²)  +  IDENTITY·|D|²

(sums over nodes). D(x) is trilinear; w falls for pairs that the rest contradicts (Cauchy's weights), because some
matches of two pictures are wrong. Colours that no pair tells of follow their neighbours, and stay as they are far from
any.

For video the table must not enlarge noise or show bands, so s grows from `SMOOTH` until no difference between
neighbouring colours grows by more than `STEEPEST` and no grey becomes darker than a darker one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livestyle.looks import Table

NODES = 9  # per axis: cells of 32 grey levels, in which tables as smooth as these are as good as straight
SMOOTH, MEMBRANE, IDENTITY = 1e-4, 0.01, 1e-7  # of squared displacements in 0..1, beside a mean over pairs
GROWTH, TRIES = 2.0, 20  # of s
STEEPEST = 2.5  # in all but small corners of the table the growth is near 1
INVERTED = 0.01  # of luma, from one node to the next: a twelfth of the step between them
ROUNDS = 4  # of reweighting
CONTRADICTED = 0.06  # distance, of 1 from black to full, at which a pair counts half
BINS = 24  # per axis: pairs of one bin become one equation

Floats = NDArray[np.float64]
Colors = NDArray[np.float64]  # (n, 3), RGB in 0..1


@dataclass(frozen=True, slots=True)
class Fit:
    """A table and what is known of it.

    ``missed`` is the median distance between what a pair's colour became and what the table makes of it, of 1 from
    black to full; ``steepest`` the largest growth of a small difference of colours.
    """

    table: Table
    missed: float
    steepest: float


def fit_table(before: Colors, after: Colors) -> Fit:
    """The table from pairs of colours (n, 3)."""
    change = after - before
    corners, shares = _find_cell(before)
    roughness = _measure_roughness()
    smooth = SMOOTH
    for _ in range(TRIES):
        weight = np.ones(len(before))
        for _ in range(ROUNDS):
            displacement = _solve(before, change, weight, smooth * roughness + IDENTITY * np.eye(NODES**3))
            missed = np.linalg.norm(change - np.einsum("nk,nkc->nc", shares, displacement[corners]), axis=1)
            weight = 1.0 / (1.0 + (missed / CONTRADICTED) ** 2)
        table = np.clip(_identity() + displacement.reshape(NODES, NODES, NODES, 3), 0.0, 1.0)
        steepest = _measure_steepest(table)
        if steepest <= STEEPEST and _keeps_order(table):
            break
        smooth *= GROWTH
    return Fit(table.astype(np.float32), float(np.median(missed)), steepest)


def _solve(before: Colors, change: Colors, weight: Floats, penalty: Floats) -> Floats:
    """Displacements of the nodes (nodes³, 3)."""
    middle, mean, share = _gather(before, change, weight)
    corners, shares = _find_cell(middle)
    equations = np.zeros((len(middle), NODES**3))
    np.put_along_axis(equations, corners, shares, axis=1)
    weighted = equations.T * share
    return np.asarray(np.linalg.solve(weighted @ equations + penalty, weighted @ mean), np.float64)


def _gather(before: Colors, change: Colors, weight: Floats) -> tuple[Colors, Colors, Floats]:
    """One pair for each bin of colours: mean colour, mean change, and the root of its weight, the sum of all being 1.

    The root, because a large wall or sky is one thing that is known, however many pixels it has.
    """
    index = np.minimum((before * BINS).astype(np.int64), BINS - 1) @ np.array([1, BINS, BINS * BINS])
    total = np.bincount(index, weight, BINS**3)
    used = np.flatnonzero(total)
    columns = [np.bincount(index, weight * column, BINS**3)[used] / total[used] for column in (*before.T, *change.T)]
    root = np.sqrt(total[used])
    return np.stack(columns[:3], axis=1), np.stack(columns[3:], axis=1), root / root.sum()


def _find_cell(colors: Colors) -> tuple[NDArray[np.int64], Floats]:
    """The eight nodes round each colour, as indices into a flat table, and their trilinear shares: (n, 8) each."""
    at = np.clip(colors[:, ::-1], 0.0, 1.0) * (NODES - 1)  # blue, green, red, as tables are
    low = np.minimum(at.astype(np.int64), NODES - 2)
    high = (at - low)[:, None]
    corners = np.array([(blue, green, red) for blue in (0, 1) for green in (0, 1) for red in (0, 1)])
    shares = np.where(corners == 1, high, 1.0 - high).prod(axis=2)
    return (low[:, None] + corners) @ np.array([NODES * NODES, NODES, 1]), shares


def _measure_roughness() -> Floats:
    """The matrix of |second differences|² + MEMBRANE·|differences|² over flat tables."""
    unit = np.eye(NODES)
    first, second = np.diff(unit, axis=0), np.diff(unit, n=2, axis=0)
    line = second.T @ second + MEMBRANE * first.T @ first
    axes = [(line, unit, unit), (unit, line, unit), (unit, unit, line)]
    return np.asarray(sum(np.kron(np.kron(blue, green), red) for blue, green, red in axes))


def _identity() -> Floats:
    levels = np.linspace(0.0, 1.0, NODES)
    blue, green, red = np.meshgrid(levels, levels, levels, indexing="ij")
    return np.stack([red, green, blue], axis=-1)


def _measure_steepest(table: Floats) -> float:
    """The largest factor by which a small difference of colours grows anywhere: the norm of the table's derivative."""
    core = NODES - 1
    derivative = np.stack([np.diff(table, axis=axis)[:core, :core, :core] for axis in range(3)], axis=-1) * core
    return float(np.linalg.norm(derivative, ord=2, axis=(-2, -1)).max())


def _keeps_order(table: Floats) -> bool:
    """Whether greys stay in their order of luma."""
    greys = table[range(NODES), range(NODES), range(NODES)] @ np.array([0.299, 0.587, 0.114])
    return bool((np.diff(greys) >= -INVERTED).all())
