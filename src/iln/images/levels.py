"""Colours of a faded print, stretched back to their full range."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

DARKEST, BRIGHTEST = 70 / 255, 165 / 255
"""How far fading may have lifted black and sunk white, of full scale; `iln.degradations.fade`
goes as far. A night stays a night, and a blue room blue, but for this much."""
OUTLIERS = 0.0005
"""Share of the pixels at each end that may be dust or a lamp."""
_BAND = 256


def unfade(pixels: NDArray[Any]) -> NDArray[Any]:
    """Undo what light did to a print: every channel's darkest becomes black, its brightest white.

    pixels: (H, W, C) of uint8 or uint16; the result is a new array of the same kind. Black was
    nowhere above 70/255 and white nowhere below 165/255, or they are not taken for the print's.
    A picture whose channels reach both ends already hardly changes; one that never had black,
    white or some colour gains contrast, or a tint, that it should not have: so ask first.
    """
    full = int(np.iinfo(pixels.dtype).max)
    levels = np.arange(full + 1)
    result = np.empty_like(pixels)
    for channel in range(pixels.shape[2]):
        counts = np.zeros(full + 1, np.int64)
        for top in range(0, len(pixels), _BAND):
            band = pixels[top : top + _BAND, :, channel]
            counts += np.bincount(band.ravel(), minlength=full + 1)
        black, white = _ends(counts / counts.sum(), full)
        stretched = np.rint((levels - black) * (full / (white - black)))
        table = stretched.clip(0, full).astype(pixels.dtype)
        for top in range(0, len(pixels), _BAND):
            rows = slice(top, top + _BAND)
            result[rows, :, channel] = table[pixels[rows, :, channel]]
    return result


def _ends(shares: NDArray[np.float64], full: int) -> tuple[float, float]:
    """The levels that are black and white, from the share of pixels at each level."""
    below = np.cumsum(shares)
    darkest, brightest = np.searchsorted(below, (OUTLIERS, 1 - OUTLIERS))
    return min(float(darkest), DARKEST * full), max(float(brightest), BRIGHTEST * full)
