"""Where a restored picture differs from the picture as it was, and restoring only there."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from iln.errors import InputError
from iln.images.libvips import libvips
from iln.images.sizing import resized

LEAST = 10 / 255
"""The change, of full scale, from which on a pixel counts as changed; from half of it on it counts
in part, lest a rounding decide."""
GROWN = 1
"""Pixels by which marks are enlarged: their edges change less than their middles."""
SOFT = 1.0
"""Standard deviation of the soft edge, in pixels."""
COLOURED = 64
"""Of 255: channels that differ by more are no mask's."""
_WHITE = 64
"""Of a mask of black and white that was resized: what still counts as white."""
_ROWS = 256
_HALO = 8
"""Rows around a row that its mask depends on, rounded up."""


def changed_mask(
    before: NDArray[Any],
    after: NDArray[Any],
    *,
    grown: int = GROWN,
    soft: float = SOFT,
) -> NDArray[np.uint8]:
    """Where two pictures of one size differ: the marks that a restoration took away.

    Pixels whose largest change in any channel reaches `LEAST` are taken, less and less down to half
    of that, enlarged by `grown` pixels on every side, and given a soft edge, which lies outside of
    what was taken.

    Args:
        before: (H, W, C), uint8, uint16 or float in [0, 1].
        after: of the same shape and type.
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
        share = change.max(2) * np.float32(2 / (LEAST * full)) - 1
        mask[rows] = np.rint(255 * share.clip(0, 1))
    if not mask.any():
        return mask
    return _with_soft_edges(mask, grown, soft)


def as_mask(
    array: NDArray[Any], height: int, width: int, *, soft: float = SOFT
) -> NDArray[np.uint8]:
    """A picture of a mask for a picture of a size: white counts, black does not.

    One of black and white alone gets a soft edge, which lies outside of the white; grays are taken
    as they are. Transparency counts as black.

    Args:
        array: (H, W) or (H, W, 1 to 4), uint8, uint16 or float in [0, 1], of any size of the same
            proportions.
        height: of the picture.
        width: of the picture.
        soft: standard deviation of the soft edge in pixels; 0 for a hard one.

    Returns:
        (height, width), 0 to 255.

    Raises:
        InputError: for one in colour, of whole numbers 0 and 1 alone, or of other proportions.
    """
    levels = array if array.ndim == 3 else array[..., None]
    if array.dtype.kind == "u" and levels[..., 0].max() == 1:
        raise InputError(
            f"holds 0 and 1 alone; white is {np.iinfo(array.dtype).max}, or True of bool"
        )
    full = 1.0 if array.dtype.kind == "f" else float(np.iinfo(array.dtype).max)
    colours = levels[..., : 3 if levels.shape[2] > 2 else 1]
    spread = (colours.max(2).astype(np.float32) - colours.min(2)).max() * 255 / full
    if spread > COLOURED:
        raise InputError("is in colour; a mask is white where the picture is restored, else black")
    rows, columns = levels.shape[:2]
    if abs(np.log(columns * height / (rows * width))) > 0.02 + 0.5 / rows + 0.5 / columns:
        raise InputError(
            f"is {columns} x {rows}, which are not the picture's proportions ({width}:{height})"
        )
    mask = colours.mean(2, dtype=np.float32) * (255 / full)
    if levels.shape[2] in (2, 4):
        mask *= levels[..., -1] / np.float32(full)
    own = np.rint(mask.clip(0, 255)).astype(np.uint8)
    found = resized(own[..., None], height, width)[..., 0]
    if not ((own == 0) | (own == 255)).all():
        return found
    # Resizing makes edges gray, and they would eat into the white.
    return _with_soft_edges(np.where(found >= _WHITE, 255, 0).astype(np.uint8), 0, soft)


def _with_soft_edges(mask: NDArray[np.uint8], grown: int, soft: float) -> NDArray[np.uint8]:
    """What is white stays white."""
    height, width = mask.shape
    margin = round(2 * soft)
    inner = _grown(_vips(mask), grown + margin)  # the blur takes the margin back
    if soft > 0:
        inner = (inner.gaussblur(soft) * 1.02).cast("uchar")
    found: NDArray[np.uint8] = inner.numpy().reshape(height, width)
    return found


def within_mask(before: NDArray[Any], after: NDArray[Any], mask: NDArray[np.uint8]) -> NDArray[Any]:
    """`after` where the mask is 255, `before` where it is 0, exactly; mixed in between.

    Args:
        before: (H, W) or (H, W, C).
        after: of the same shape and type.
        mask: (H, W).
    """
    if before.shape != after.shape or mask.shape != before.shape[:2]:
        raise ValueError(f"one size, not {before.shape}, {after.shape} and {mask.shape}")
    result = np.empty_like(after)
    for top in range(0, len(after), _ROWS):
        rows = slice(top, top + _ROWS)
        share = mask[rows].astype(np.float32) / 255
        share = share if before.ndim == 2 else share[..., None]
        precise = np.promote_types(after.dtype, np.float32)  # what is black stays, bit for bit
        old, new = before[rows].astype(precise), after[rows].astype(precise)
        mixed = old * (1 - share) + new * share
        result[rows] = (mixed if after.dtype.kind == "f" else np.rint(mixed)).astype(after.dtype)
    return result


def undo_small_changes(before: NDArray[Any], after: NDArray[Any]) -> None:
    """Take back, in place, what was changed elsewhere than in the marks (`changed_mask`).

    Args:
        before: as in `changed_mask`.
        after: as in `changed_mask`; it is written to.
    """
    height = len(before)
    above = after[:0].copy()  # rows of the last band, as they were
    for top in range(0, height, _ROWS):
        stop = min(height, top + _ROWS)
        changed = np.concatenate([above, after[top : stop + _HALO]])
        mask = changed_mask(before[top - len(above) : stop + _HALO], changed)
        own = mask[len(above) : len(above) + stop - top]
        above = after[max(top, stop - _HALO) : stop].copy()
        after[top:stop] = within_mask(before[top:stop], after[top:stop], own)


def take_smaller_changes(before: NDArray[Any], after: NDArray[Any], other: NDArray[Any]) -> None:
    """Put into `after`, pixel by pixel, that one of two results which changed the picture less.

    Args:
        before: (H, W, C), uint8, uint16 or float in [0, 1].
        after: of the same shape and type; it is written to.
        other: of the same shape and type. How much a pixel changed is how much its most changed
            channel did; all its channels come from one of the two.
    """
    if not before.shape == after.shape == other.shape:
        raise ValueError(f"one size, not {before.shape}, {after.shape} and {other.shape}")
    for top in range(0, len(before), _ROWS):
        rows = slice(top, top + _ROWS)
        base = before[rows].astype(np.float32)
        by_one, by_other = (np.abs(one[rows] - base).max(2) for one in (after, other))
        np.copyto(after[rows], other[rows], where=(by_other < by_one)[..., None])


def _vips(mask: NDArray[np.uint8]) -> Any:
    height, width = mask.shape
    data = np.ascontiguousarray(mask).data
    return libvips().Image.new_from_memory(data, width, height, 1, "uchar")


def _grown(image: Any, by: int) -> Any:
    """The largest of a square around each pixel, rows first: the same as of the square at once."""
    if by < 1:
        return image
    side, width, height = 2 * by + 1, image.width, image.height
    image = image.embed(by, by, width + 2 * by, height + 2 * by)  # rank takes no smaller ones
    return image.rank(side, 1, side - 1).rank(1, side, side - 1).crop(by, by, width, height)
