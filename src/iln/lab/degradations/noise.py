"""Noise of sensors and of film."""

import numpy as np

from iln.images import LUMA
from iln.lab.degradations.bands import Floats, Pixels, bands, by_bands
from iln.lab.degradations.resizing import resized

_CONTRAST = np.float32(40)
"""Sigma of coarse noise while it is made, in 8-bit levels: few values are clipped."""


def unrounded_noise(picture: Pixels, sigma: float, rng: np.random.Generator) -> Floats:
    """y = x + n, n ~ N(0, sigma^2) for each value; (H, W, C) float32, neither clipped nor rounded.

    The result is in units of 255 levels, about [0, 1]. This is what papers on denoising add (Zhang
    et al., Beyond a Gaussian Denoiser, 2017).

    Args:
        sigma: in 8-bit levels, 0 and more.
    """
    result = np.empty(picture.shape, np.float32)
    for rows in bands(picture.shape):
        rng.standard_normal(dtype=np.float32, out=result[rows])
        result[rows] *= np.float32(sigma)
        result[rows] += picture[rows]
        result[rows] /= np.float32(255)
    return result


def gaussian_noise(
    picture: Pixels, sigma: float, rng: np.random.Generator, *, gray: bool = False
) -> Pixels:
    """y = x + n, n ~ N(0, sigma^2), clipped and rounded.

    Args:
        sigma: in 8-bit levels, 0 and more.
        gray: the same n in all channels of a pixel.
    """
    strength = np.float32(sigma)
    return by_bands(picture, lambda x, _: x + strength * _normal(x.shape, rng, gray))


def poisson_noise(
    picture: Pixels, scale: float, rng: np.random.Generator, *, gray: bool = False
) -> Pixels:
    """Shot noise: n ~ N(0, scale^2 * x), x and n in 8-bit levels, then clipped and rounded.

    With scale 1, white is made of 255 photons a pixel. Counts that large are close to normal, and
    the normal approximation (Foi et al., Practical Poissonian-Gaussian noise modeling, 2008) is
    used because Poisson samplers draw again depending on the signal: one value that differs in its
    last bit would change all the noise after it.

    Args:
        scale: 0 and more; 0.05..3 in Real-ESRGAN.
        gray: n is the same in all channels and belongs to their mean.
    """
    strength = np.float32(scale)

    def noisy(x: Floats, _: slice) -> Floats:
        signal = x.mean(axis=2, keepdims=True, dtype=np.float32) if gray else x
        return x + strength * np.sqrt(signal) * _normal(x.shape, rng, gray)

    return by_bands(picture, noisy)


def coarse_noise(
    picture: Pixels, sigma: float, speck: float, rng: np.random.Generator, *, gray: bool
) -> Pixels:
    """Noise with specks larger than a pixel: grain, paper, or blotches of colour.

    It is made with a value a speck, enlarged by bicubic interpolation, added, clipped and rounded.
    Denoisers of cameras, enlarged scans and JPEG leave such noise, whose neighbours are alike.

    Args:
        sigma: in the middle of the specks, in 8-bit levels, 0 and more.
        speck: pixels a side, 1 and more.
        gray: the same in all channels; else in the colours alone, with a luma of 0.
    """
    height, width, channels = picture.shape
    few = max(1, round(height / speck)), max(1, round(width / speck)), 1 if gray else channels
    drawn = np.rint(128 + _CONTRAST * rng.standard_normal(few, dtype=np.float32))
    noise = resized(np.clip(drawn, 0, 255).astype(np.uint8), (height, width), "bicubic")
    strength = np.float32(sigma) / _CONTRAST

    def noisy(x: Floats, rows: slice) -> Floats:
        n = noise[rows].astype(np.float32) - np.float32(128)
        if not gray and channels == 3:
            r, g, b = LUMA
            n -= r * n[..., :1] + g * n[..., 1:2] + b * n[..., 2:]
        return x + strength * n

    return by_bands(picture, noisy)


def _normal(shape: tuple[int, ...], rng: np.random.Generator, gray: bool) -> Floats:
    shape = (*shape[:2], 1) if gray else shape
    values: Floats = rng.standard_normal(shape, dtype=np.float32)
    return values
