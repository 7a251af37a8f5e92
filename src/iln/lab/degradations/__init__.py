"""Synthetic degradations: noise, blur, compression, resizing, rain and aging of prints.

Pure functions of (picture, parameters, generator). Pictures are (H, W, C) uint8, C = 1 or 3, and
are not modified; sizes stay unless a function says otherwise. All randomness comes from the
NumPy generator handed in.

The same numbers come out on every machine, or nearly: one pixel that rounds the other way can
change a whole JPEG block by several levels. So each step takes and gives whole numbers; what
touches pixels is exactly rounded (+ - * / sqrt) or a convolution in whole numbers, and weights
that need exp or cos, whose last bits differ between processors, are rounded to a coarse grid.
"""

from iln.lab.degradations.blur import convolve
from iln.lab.degradations.codec import JPEG_UNIT, Subsampling, jpeg
from iln.lab.degradations.fading import fade, monochrome
from iln.lab.degradations.halftone import halftone
from iln.lab.degradations.noise import (
    coarse_noise,
    gaussian_noise,
    poisson_noise,
    unrounded_noise,
)
from iln.lab.degradations.rain import rain
from iln.lab.degradations.resizing import Method, resized

__all__ = [
    "JPEG_UNIT",
    "Method",
    "Subsampling",
    "coarse_noise",
    "convolve",
    "fade",
    "gaussian_noise",
    "halftone",
    "jpeg",
    "monochrome",
    "poisson_noise",
    "rain",
    "resized",
    "unrounded_noise",
]
