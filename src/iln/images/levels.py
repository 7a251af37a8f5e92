"""Colours of a faded print, stretched back to their full range."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iln.errors import InputError

DARKEST, BRIGHTEST = 70 / 255, 165 / 255
"""How far fading may have lifted black and sunk white, of full scale; `iln.lab.degradations.fade`
goes as far. A night stays a night, and a blue room blue, but for this much."""
OUTLIERS = 0.0005
"""Share of the pixels at each end that may be dust or a lamp."""
_BAND = 256


def unfade(pixels: NDArray[Any]) -> NDArray[Any]:
    """Undo what light did to a print: stretch its colours to black and to white.

    The dark end of a channel is the mean of its own darkest level and the darkest of all channels,
    so is the bright end: half of a cast is taken for the print's, half for the scene's. Black was
    nowhere above 70/255 and white nowhere below 165/255, or they are not taken for the print's.

    A picture whose channels reach both ends already hardly changes; one that never had black, white
    or some colour gains contrast, or a tint, that it should not have: so ask first.

    Args:
        pixels: (H, W) or (H, W, 1 to 4) of uint8, uint16 or float in [0, 1]. A second or fourth
            channel is transparency, and stays.

    Returns:
        A new array of the same kind.

    Raises:
        InputError: for other arrays, and floats that are not in [0, 1].
    """
    if pixels.ndim == 2:
        return unfade(pixels[..., None])[..., 0]
    known = pixels.dtype in (np.uint8, np.uint16) or pixels.dtype.kind == "f"
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 2, 3, 4) or not known:
        raise InputError(
            f"image is {pixels.dtype} of shape {pixels.shape}; accepted are (H, W) and "
            "(H, W, 1 to 4) of uint8, uint16 and float in [0, 1]"
        )
    if pixels.size == 0:
        raise InputError(f"image has shape {pixels.shape}: no pixels")
    if pixels.shape[2] in (2, 4):
        return np.concatenate([unfade(pixels[..., :-1]), pixels[..., -1:]], 2)
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise InputError("image holds values that are not finite; accepted are floats in [0, 1]")
    if pixels.dtype.kind == "f" and pixels.max() > 1.5:
        raise InputError("image holds values above 1; floats must be in [0, 1] (divide by 255?)")
    if pixels.dtype.kind == "f":
        # float16 ends at 65504.
        levels_16 = np.rint(pixels.astype(np.float32).clip(0, 1) * 65535).astype(np.uint16)
        stretched_16: NDArray[Any] = unfade(levels_16).astype(np.float32) / np.float32(65535)
        return stretched_16.astype(pixels.dtype)
    full = int(np.iinfo(pixels.dtype).max)
    ends = np.array([_ends(pixels[..., channel], full) for channel in range(pixels.shape[2])])
    blacks = (ends[:, 0] + ends[:, 0].min()) / 2
    whites = (ends[:, 1] + ends[:, 1].max()) / 2
    levels = np.arange(full + 1)
    result = np.empty_like(pixels)
    for channel, (black, white) in enumerate(zip(blacks, whites, strict=True)):
        stretched = np.rint((levels - black) * (full / (white - black)))
        table = stretched.clip(0, full).astype(pixels.dtype)
        for rows in _bands(len(pixels)):
            result[rows, :, channel] = table[pixels[rows, :, channel]]
    return result


def _ends(plane: NDArray[Any], full: int) -> tuple[float, float]:
    """The levels that stand for black and white in one channel, (H, W)."""
    counts = np.zeros(full + 1, np.int64)
    for rows in _bands(len(plane)):
        counts += np.bincount(plane[rows].ravel(), minlength=full + 1)
    below = np.cumsum(counts) / plane.size
    darkest, brightest = np.searchsorted(below, (OUTLIERS, 1 - OUTLIERS))
    return min(float(darkest), DARKEST * full), max(float(brightest), BRIGHTEST * full)


def _bands(height: int) -> Iterator[slice]:
    """A few rows at a time, so that large pictures need little memory beside themselves."""
    return (slice(top, top + _BAND) for top in range(0, height, _BAND))
