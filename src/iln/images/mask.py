"""Where a restored picture differs from the picture as it was, and restoring only there."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from iln.images.libvips import libvips

LEAST = 10 / 255
"""The change, of full scale, from which on a pixel counts as changed."""
GROWN = 1
"""Pixels by which marks are enlarged: their edges change less than their middles."""
SOFT = 1.0
"""Standard deviation of the soft edge, in pixels."""
_ROWS = 256


def changed_mask(
    before: NDArray[Any],
    after: NDArray[Any],
    *,
    least: float = LEAST,
    grown: int = GROWN,
    soft: float = SOFT,
) -> NDArray[np.uint8]:
    """Where two pictures of one size differ: the marks that a restoration took away.

    Pixels whose largest change in any channel reaches `least` are taken, enlarged by `grown`
    pixels on every side, and given a soft edge, which lies outside of what was taken.

    Args:
        before, after: (H, W, C), one shape; both uint8, uint16 or float in [0, 1].
        least: share of full scale.
        grown: pixels.
        soft: standard deviation of the edge in pixels; 0 for a hard one.

    Returns:
        (H, W): 255 where it changed, 0 where it did not, in between at the edges.
    """
    if before.shape != after.shape:
        raise ValueError(f"pictures of one size, not {before.shape} and {after.shape}")
    full = 1.0 if before.dtype.kind == "f" else float(np.iinfo(before.dtype).max)
    height, width = before.shape[:2]
    mask = np.empty((height, width), np.uint8)
    for top in range(0, height, _ROWS):
        rows = slice(top, top + _ROWS)
        change = np.abs(after[rows].astype(np.float32) - before[rows].astype(np.float32))
        mask[rows] = np.where(change.max(2) >= least * full, 255, 0)
    if not mask.any():
        return mask
    margin = round(2 * soft)
    inner = _grown(_vips(mask), grown + margin)  # the blur takes the margin back
    if soft > 0:
        inner = (inner.gaussblur(soft) * 1.02).cast("uchar")
    found: NDArray[np.uint8] = inner.numpy().reshape(height, width)
    return found


def within_mask(before: NDArray[Any], after: NDArray[Any], mask: NDArray[np.uint8]) -> NDArray[Any]:
    """`after` where the mask is 255, `before` where it is 0, exactly; mixed in between.

    Args:
        before, after: (H, W) or (H, W, C), one shape and type.
        mask: (H, W).
    """
    if before.shape != after.shape or mask.shape != before.shape[:2]:
        raise ValueError(f"one size, not {before.shape}, {after.shape} and {mask.shape}")
    result = np.empty_like(after)
    for top in range(0, len(after), _ROWS):
        rows = slice(top, top + _ROWS)
        share = mask[rows].astype(np.float32) / 255
        share = share if before.ndim == 2 else share[..., None]
        old, new = before[rows].astype(np.float32), after[rows].astype(np.float32)
        mixed = old * (1 - share) + new * share
        result[rows] = (mixed if after.dtype.kind == "f" else np.rint(mixed)).astype(after.dtype)
    return result


def _vips(mask: NDArray[np.uint8]) -> Any:
    height, width = mask.shape
    return libvips().Image.new_from_memory(mask.data, width, height, 1, "uchar")


def _grown(image: Any, by: int) -> Any:
    """The largest of a square around each pixel, rows first: the same as of the square at once."""
    if by < 1:
        return image
    side = 2 * by + 1
    return image.rank(side, 1, side - 1).rank(1, side, side - 1)
