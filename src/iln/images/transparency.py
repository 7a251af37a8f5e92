"""Colours under full transparency, which nobody sees but a network; and opacity that stays."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_ROWS = 64
_AROUND = 2
"""Pixels on every side of one that have to be as clear, or as opaque, for it to stay so."""


def grow_colours(colours: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """The picture with the colours of its visible parts grown under the transparent ones.

    Programs leave any colour where alpha is 0, often black. A network looks at the neighbours of
    each pixel, and would draw this colour into the edge as a fringe. The colours that replace it
    are means over ever larger squares, weighted by alpha (a pyramid, gone down and up again).

    Args:
        colours: (H, W, C), integers or floats; not changed.
        alpha: (H, W), 0 where nothing is seen.

    Returns:
        (H, W, C) of the same dtype; pixels with an alpha above 0 are as they were.
    """
    hidden = alpha == 0
    if not hidden.any() or hidden.all():
        return colours
    coarse, _ = _halved(colours, alpha)
    grown = colours.copy()
    for top in range(0, len(grown), _ROWS):
        rows = slice(top, top + _ROWS)
        from_coarse = _doubled(coarse[top // 2 : (top + _ROWS) // 2], grown[rows].shape[:2])
        if colours.dtype.kind != "f":
            from_coarse = np.rint(from_coarse)
        np.copyto(grown[rows], from_coarse.astype(colours.dtype), where=hidden[rows, :, None])
    return grown


def keep_clear_and_opaque(alpha: NDArray[Any], restored: NDArray[Any]) -> None:
    """Where a picture was clear all around, or opaque, its restored alpha is, exactly; in place.

    A network leaves faint traces there, by which a cutout would be a little transparent, and its
    background not empty.

    Args:
        alpha: (H, W), integers, or floats in [0, 1].
        restored: (scale H, scale W), of the same dtype.
    """
    full = 1.0 if alpha.dtype.kind == "f" else np.iinfo(alpha.dtype).max
    height, scale = len(alpha), len(restored) // len(alpha)
    for top in range(0, height, _ROWS):
        bottom = min(top + _ROWS, height)
        first = max(top - _AROUND, 0)
        part = alpha[first : bottom + _AROUND]
        for value in (0, full):
            same = _all_around(part == value)[top - first : bottom - first]
            if same.any():
                where = same.repeat(scale, 0).repeat(scale, 1)
                np.putmask(restored[top * scale : bottom * scale], where, value)


def _all_around(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether a flag and all of the pixels around it are set; beyond the edges nothing counts."""
    for axis in (0, 1):
        width = [(_AROUND, _AROUND) if axis == side else (0, 0) for side in (0, 1)]
        padded = np.pad(flags, width, constant_values=True)
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _AROUND + 1, axis)
        flags = np.logical_and.reduce(windows, -1)
    return flags


def _halved(
    colours: NDArray[Any], weights: NDArray[Any]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Means of 2 x 2 pixels by weight, filled from larger squares where there is no weight."""
    height, width = (-(-side // 2) for side in weights.shape)
    means = np.zeros((height, width, colours.shape[2]), np.float32)
    sums = np.zeros((height, width), np.float32)
    for top in range(0, len(colours), _ROWS):
        part = weights[top : top + _ROWS].astype(np.float32)
        weighted = colours[top : top + _ROWS].astype(np.float32) * part[..., None]
        rows = slice(top // 2, top // 2 + -(-len(part) // 2))
        for y in (0, 1):
            for x in (0, 1):
                piece, weight = weighted[y::2, x::2], part[y::2, x::2]
                means[rows][: len(piece), : piece.shape[1]] += piece
                sums[rows][: len(weight), : weight.shape[1]] += weight
    empty = sums == 0
    means /= np.where(empty, 1, sums)[..., None]
    if empty.any() and max(height, width) > 1:
        larger, _ = _halved(means, sums)
        np.copyto(means, _doubled(larger, sums.shape), where=empty[..., None])
    return means, sums


def _doubled(colours: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float32]:
    return colours.repeat(2, 0)[: size[0]].repeat(2, 1)[:, : size[1]]
