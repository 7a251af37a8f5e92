"""Small shapes scattered over a picture."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Stamp: TypeAlias = npt.NDArray[np.uint8]
"""(h, w), both odd: how strongly the shape shows at each pixel."""
Plane: TypeAlias = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


def scatter(
    plane: Plane, stamps: Sequence[Stamp], number: int, rng: np.random.Generator, join: np.ufunc
) -> None:
    """Put `number` of the shapes anywhere on the plane (H, W), in place, cut off at its edges.

    Where shapes meet, `join` (np.add or np.maximum) makes one value of two. Middles lie up to
    half of the largest shape outside the plane, in proportion to the area there, so that edges get
    their share.
    """
    height, width = plane.shape
    reach = max(max(stamp.shape) for stamp in stamps) // 2
    spread = (height + 2 * reach) * (width + 2 * reach) / (height * width)
    total = round(number * spread)
    rows = rng.integers(-reach, height + reach, total)
    columns = rng.integers(-reach, width + reach, total)
    kinds = rng.integers(len(stamps), size=total)
    for y, x, kind in zip(rows.tolist(), columns.tolist(), kinds.tolist(), strict=True):
        stamp = stamps[kind]
        top, left = y - stamp.shape[0] // 2, x - stamp.shape[1] // 2
        bottom, right = top + stamp.shape[0], left + stamp.shape[1]
        if bottom <= 0 or right <= 0 or top >= height or left >= width:
            continue
        inside = plane[max(0, top) : bottom, max(0, left) : right]
        above, before = max(0, -top), max(0, -left)
        part = stamp[above : above + inside.shape[0], before : before + inside.shape[1]]
        join(inside, part, out=inside)
