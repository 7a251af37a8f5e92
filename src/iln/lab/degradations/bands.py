"""Rows of a picture a few at a time, so that temporary arrays stay small beside the picture; and
what lies beyond its edges."""

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Pixels: TypeAlias = npt.NDArray[np.uint8]
Floats: TypeAlias = npt.NDArray[np.float32]
Kernel: TypeAlias = npt.NDArray[np.float64]
"""A small array of exact weights or places."""

Places: TypeAlias = npt.NDArray[np.intp]

_VALUES = 1 << 18


def bands(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices of rows that together are the picture; each holds about a quarter million values."""
    height, row = shape[0], int(np.prod(shape[1:]))
    rows = max(1, _VALUES // max(1, row))
    for top in range(0, height, rows):
        yield slice(top, min(height, top + rows))


def by_bands(picture: Pixels, function: Callable[[Floats, slice], Floats]) -> Pixels:
    """`function` of each band's values as float32, its result clipped to 0..255 and rounded."""
    result = np.empty_like(picture)
    for rows in bands(picture.shape):
        values = function(picture[rows].astype(np.float32), rows)
        np.clip(values, 0, 255, out=values)
        result[rows] = np.rint(values, out=values)
    return result


def blended(picture: Pixels, cover: Pixels, tones: Floats) -> Pixels:
    """The picture (H, W, C) where the cover (H, W) is 0, the tones (C,) where it is 255."""

    def mixed(x: Floats, rows: slice) -> Floats:
        x += cover[rows, :, None] * (tones - x) / np.float32(255)
        return x

    return by_bands(picture, mixed)


def reflected(places: Places, size: int) -> Places:
    """Indices, those outside 0..size reflected at the first and the last one."""
    period = max(1, 2 * (size - 1))
    inside = places % period
    return np.where(inside < size, inside, period - inside)
