"""The screen of dots that a printing press makes of tones."""

import numpy as np

from iln.lab.degradations.bands import Floats, Kernel, Pixels, by_bands

_TURN = np.pi / 6
"""Between the screens of two inks, so that their dots do not beat against each other."""
_STEPS = np.float32(256)


def halftone(picture: Pixels, period: float, strength: float, angle: float) -> Pixels:
    """y_c = x_c + strength * 4 x_c (255 - x_c) / 255 * s_c / 2, clipped and rounded.

    s_c is a wave in two directions at right angles, from -1 to 1, turned differently in each
    channel c. Middle tones become dots, black and white stay, and the mean of each tone is kept: a
    printed picture, as a scanner sees it.

    Args:
        period: pixels from dot to dot, at least 2.
        strength: 0 (nothing changes) to 1.
        angle: of the first channel's screen, in radians.
    """
    height, width, channels = picture.shape
    y, x = np.arange(height, dtype=np.float64), np.arange(width, dtype=np.float64)
    turns = [angle + c * _TURN for c in range(channels)]
    half = np.float32(2 * strength / 255)

    def screened(values: Floats, rows: slice) -> Floats:
        screen = np.stack([_waves(y[rows], x, period, turn) for turn in turns], axis=2)
        values += half * values * (np.float32(255) - values) * screen
        return values

    return by_bands(picture, screened)


def _waves(y: Kernel, x: Kernel, period: float, angle: float) -> Floats:
    """(len(y), len(x)), from -1 to 1, in steps that are the same on every machine."""
    along, across = np.cos(angle) * 2 * np.pi / period, np.sin(angle) * 2 * np.pi / period
    first = np.cos(along * x + across * y[:, None])
    second = np.cos(along * y[:, None] - across * x)
    waves: Floats = np.rint(_STEPS / 2 * (first + second)).astype(np.float32) / _STEPS
    return waves
