"""Edge-preserving smoothing by weighted least squares (Farbman et al. 2008), for results that should stay photographs.

Exactly the system of the official Deep Image Analogy code, (I + L) x = colour with a Laplacian over the four neighbours
weighted 0.8 / (|difference of the guide's grey| + 1e-4), solved by conjugate gradients with a modified incomplete
Cholesky factor in place of its sparse direct solver.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

from livestyle.media import Pixels

STRENGTH = 0.8
NOT_ZERO = 1e-4
TOLERANCE = 1e-4  # of the right side's norm: far below one grey level
MOST_STEPS = 400

Plane = NDArray[np.float64]  # (h, w)

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _compiled(function: _Function) -> _Function:
    return cast(_Function, numba.njit(nogil=True, cache=True)(function))


def refine(photo: Pixels, result: Pixels) -> Pixels:
    """``photo`` with the colours of ``result``, both RGB (h, w, 3) uint8: the photo's own detail, the result's tones.

    photo + smooth(result) - smooth(photo) of the paper; as smoothing is linear, photo + smooth(result - photo).
    """
    difference = result.astype(np.float64) - photo
    smoothed = np.stack([smooth(difference[..., channel], photo) for channel in range(3)], axis=2)
    return np.clip(np.rint(photo + smoothed), 0, 255).astype(np.uint8)


def smooth(plane: Plane, guide: Pixels) -> Plane:
    """A plane (h, w) smoothed everywhere but across the edges of ``guide``, RGB (h, w, 3) uint8."""
    grey = guide @ np.array([0.299, 0.587, 0.114]) / 255.0
    right, down = np.zeros_like(grey), np.zeros_like(grey)
    right[:, :-1] = STRENGTH / (np.abs(np.diff(grey, axis=1)) + NOT_ZERO)
    down[:-1] = STRENGTH / (np.abs(np.diff(grey, axis=0)) + NOT_ZERO)
    diagonal = 1.0 + right + down
    diagonal[:, 1:] += right[:, :-1]
    diagonal[1:] += down[:-1]
    inverse = _factor(diagonal, right, down)
    return np.asarray(_solve(diagonal, right, down, inverse, np.ascontiguousarray(plane)))


@_compiled
def _factor(diagonal: Any, right: Any, down: Any) -> Any:
    """1 / diagonal of the modified incomplete Cholesky factor MIC(0), after Bridson's book on fluids."""
    height, width = diagonal.shape
    inverse = np.zeros_like(diagonal)
    for y in range(height):
        for x in range(width):
            value = diagonal[y, x]
            if x > 0:
                above = right[y, x - 1] * inverse[y, x - 1]
                value -= above * above + 0.97 * right[y, x - 1] * down[y, x - 1] * inverse[y, x - 1] ** 2
            if y > 0:
                above = down[y - 1, x] * inverse[y - 1, x]
                value -= above * above + 0.97 * down[y - 1, x] * right[y - 1, x] * inverse[y - 1, x] ** 2
            if value < 0.25 * diagonal[y, x]:
                value = diagonal[y, x]
            inverse[y, x] = 1.0 / np.sqrt(value)
    return inverse


@_compiled
def _precondition(inverse: Any, right: Any, down: Any, residual: Any, result: Any) -> None:
    height, width = residual.shape
    for y in range(height):
        for x in range(width):
            value = residual[y, x]
            if x > 0:
                value += right[y, x - 1] * inverse[y, x - 1] * result[y, x - 1]
            if y > 0:
                value += down[y - 1, x] * inverse[y - 1, x] * result[y - 1, x]
            result[y, x] = value * inverse[y, x]
    for y in range(height - 1, -1, -1):
        for x in range(width - 1, -1, -1):
            value = result[y, x]
            if x + 1 < width:
                value += right[y, x] * inverse[y, x] * result[y, x + 1]
            if y + 1 < height:
                value += down[y, x] * inverse[y, x] * result[y + 1, x]
            result[y, x] = value * inverse[y, x]


@_compiled
def _multiply(diagonal: Any, right: Any, down: Any, plane: Any, result: Any) -> None:
    height, width = plane.shape
    for y in range(height):
        for x in range(width):
            value = diagonal[y, x] * plane[y, x]
            if x > 0:
                value -= right[y, x - 1] * plane[y, x - 1]
            if x + 1 < width:
                value -= right[y, x] * plane[y, x + 1]
            if y > 0:
                value -= down[y - 1, x] * plane[y - 1, x]
            if y + 1 < height:
                value -= down[y, x] * plane[y + 1, x]
            result[y, x] = value


@_compiled
def _solve(diagonal: Any, right: Any, down: Any, inverse: Any, plane: Any) -> Any:
    """Preconditioned conjugate gradients from zero."""
    result = np.zeros_like(plane)
    residual = plane.copy()
    conditioned, product = np.zeros_like(plane), np.zeros_like(plane)
    limit = TOLERANCE**2 * np.sum(residual * residual)
    _precondition(inverse, right, down, residual, conditioned)
    direction = conditioned.copy()
    energy = np.sum(conditioned * residual)
    for _ in range(MOST_STEPS):
        if np.sum(residual * residual) <= limit:
            break
        _multiply(diagonal, right, down, direction, product)
        step = energy / np.sum(direction * product)
        result += step * direction
        residual -= step * product
        _precondition(inverse, right, down, residual, conditioned)
        fresh = np.sum(conditioned * residual)
        direction = conditioned + fresh / energy * direction
        energy = fresh
    return result
