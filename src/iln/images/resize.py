"""Bicubic resizing exactly as MATLAB's `imresize`, which super-resolution is measured with.

Cubic convolution with a = -0.5 (Keys, 1981), widened by the scale when shrinking so that it
does not alias, symmetric padding at the edges, float64 throughout.
"""

import math
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from iln.errors import InputError

T = TypeVar("T", bound=np.generic)

# Values a tap is applied to at a time: a few rows that stay in the processor's cache.
_CHUNK = 1 << 16


def resize(array: NDArray[T], scale: float | Fraction, *, antialias: bool = True) -> NDArray[T]:
    """The array, `scale` times as high and wide: ceil(size * scale), as MATLAB counts.

    Args:
        array: (H, W) or (H, W, C), uint8, uint16 or floating. Integers are rounded (halves up) and
            clipped after each of the two passes, as MATLAB does; floats are neither.
        scale: above 0. For thirds give Fraction(1, 3).
        antialias: widen the kernel when shrinking; False is MATLAB's 'Antialiasing', false.

    Raises:
        InputError: if scale is not a positive number.
    """
    if not (math.isfinite(scale) and scale > 0):
        raise InputError(f"scale {scale}: must be a positive number")
    height, width = array.shape[:2]
    size = math.ceil(height * scale), math.ceil(width * scale)
    return _resize(array, size, (float(scale), float(scale)), antialias)


def resize_to(array: NDArray[T], size: tuple[int, int]) -> NDArray[T]:
    """The array at `size` (height, width); see `resize`. Each side has its own scale.

    Raises:
        InputError: if a side is below 1.
    """
    if min(size) < 1:
        raise InputError(f"size {size[0]} x {size[1]}: must be at least 1 x 1")
    scales = size[0] / array.shape[0], size[1] / array.shape[1]
    return _resize(array, size, scales, antialias=True)


def _resize(
    array: NDArray[T], size: tuple[int, int], scales: tuple[float, float], antialias: bool
) -> NDArray[T]:
    if array.ndim not in (2, 3):
        raise ValueError(f"array must be (H, W) or (H, W, C), got {array.shape}")
    if array.dtype not in (np.uint8, np.uint16) and array.dtype.kind != "f":
        raise ValueError(f"array must be uint8, uint16 or floating, got {array.dtype}")
    # The side that shrinks most goes first, height if equal: with rounding in between, the
    # order shows.
    first, second = (0, 1) if scales[0] <= scales[1] else (1, 0)
    for axis in (first, second):
        taps = _taps(array.shape[axis], size[axis], scales[axis], antialias)
        array = _apply(array, axis, *taps)
    return array


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' kernel with a = -0.5, zero from |x| = 2 on."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0))


def _taps(
    length: int, new_length: int, scale: float, antialias: bool
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """For each new position the old ones it is made of, and their weights: (new, taps) each."""
    shrink = min(scale, 1.0) if antialias else 1.0
    width = 4 / shrink
    # Pixel centres lie at whole numbers from 1 on, as in MATLAB.
    centre = np.arange(1, new_length + 1) / scale + 0.5 * (1 - 1 / scale)
    left = np.floor(centre - width / 2)
    positions = left[:, None] + np.arange(math.ceil(width) + 2)
    weights = shrink * _cubic(shrink * (centre[:, None] - positions))
    weights /= weights.sum(axis=1, keepdims=True)
    # Mirrored with the edge repeated, again and again for pictures smaller than the kernel.
    wrapped = (positions.astype(np.intp) - 1) % (2 * length)
    indices = np.minimum(wrapped, 2 * length - 1 - wrapped)
    used = np.any(weights != 0, axis=0)
    return indices[:, used], weights[:, used]


def _apply(
    array: NDArray[T], axis: int, indices: NDArray[np.intp], weights: NDArray[np.float64]
) -> NDArray[T]:
    """One pass along `axis`, tap after tap, so that sums round as MATLAB's do."""
    source = np.moveaxis(array, axis, 0)
    shape = list(array.shape)
    shape[axis] = len(indices)
    result = np.empty(shape, array.dtype)
    target = np.moveaxis(result, axis, 0)
    rows = max(1, _CHUNK // max(1, source[0].size))
    for top in range(0, len(indices), rows):
        part = slice(top, top + rows)
        total = np.zeros((len(indices[part]), *source.shape[1:]))
        for tap in range(indices.shape[1]):
            weight = weights[part, tap].reshape(-1, *[1] * (source.ndim - 1))
            picked: NDArray[Any] = source[indices[part, tap]]
            total += weight * picked
        if array.dtype.kind == "u":
            # Halves go up, as in MATLAB; np.rint would send them to the even neighbour.
            total = np.clip(np.floor(total + 0.5), 0, np.iinfo(array.dtype.name).max)
        target[part] = total
    return result
