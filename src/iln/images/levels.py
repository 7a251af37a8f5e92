"""Colours of a faded print, stretched back to their full range."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
        pixels: (H, W, C) of uint8, uint16 or float in [0, 1].

    Returns:
        A new array of the same kind.
    """
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
