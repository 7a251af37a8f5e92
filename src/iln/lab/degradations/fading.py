"""Fading of the colours of a print."""

import numpy as np

from iln.images import LUMA
from iln.lab.degradations.bands import Floats, Pixels, by_bands

_BLACK = np.array([1.0, 0.8, 0.6])
_WHITE = np.array([0.2, 0.5, 1.0])


def fade(picture: Pixels, strength: float, rng: np.random.Generator) -> Pixels:
    """A print whose dyes have bleached: paler, warmer, of less contrast; (H, W, 3) or (H, W, 1).

    y = b_c + (w_c - b_c) (x + a (l - x)), a desaturation by a towards the luma l, and then a
    straight line for each channel c: black rises to b_c, most of all in red, and white sinks to
    w_c, most of all in blue, as the cyan dye bleaches and the paper yellows. At strength 1, a <=
    0.7, b <= 70, w >= 165. Colour is never lost wholly, since no network could tell what it was.

    Args:
        strength: 0 (nothing changes) to 1.
    """
    amounts = rng.uniform(0, strength, 3)
    lift, sink, pale = (np.float32(amount) for amount in amounts)
    casts = rng.uniform(0.5, 1, (2, 3))
    channels = picture.shape[2]
    black, white = (_BLACK * casts[0], _WHITE * casts[1])
    if channels == 1:
        black, white = black.mean(keepdims=True), white.mean(keepdims=True)
    black = (70 * lift * black).astype(np.float32)
    white = (255 - 90 * sink * white).astype(np.float32)
    slope = (white - black) / np.float32(255)

    def faded(x: Floats, _: slice) -> Floats:
        if channels == 3:
            luma = _luma(x)
            x += np.float32(0.7) * pale * (luma - x)
        x *= slope
        x += black
        return x

    return by_bands(picture, faded)


def monochrome(picture: Pixels, rng: np.random.Generator) -> Pixels:
    """(H, W, 3) -> its luma, gray or toned: sepia by any amount, as black-and-white prints are."""
    amount = np.float32(max(0.0, rng.uniform(-0.5, 1)))
    tone = np.array([0.1, 0, -0.25], np.float32) * amount

    def toned(x: Floats, _: slice) -> Floats:
        luma = _luma(x)
        # Middle tones take the colour; black and white keep theirs.
        coloured: Floats = luma + tone * 4 * luma * (255 - luma) / np.float32(255)
        return coloured

    return by_bands(picture, toned)


def _luma(x: Floats) -> Floats:
    """(h, W, 3) -> (h, W, 1)."""
    r, g, b = LUMA
    luma: Floats = r * x[..., :1] + g * x[..., 1:2] + b * x[..., 2:]
    return luma
