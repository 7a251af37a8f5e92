"""Noise of sensors and of film."""

import numpy as np

from iln.lab.degradations.bands import Floats, Pixels, bands, by_bands


def unrounded_noise(picture: Pixels, sigma: float, rng: np.random.Generator) -> Floats:
    """y = x + n, n ~ N(0, sigma^2) for each value; (H, W, C) float32, neither clipped nor rounded.

    sigma: in 8-bit levels, 0 and more. The result is in units of 255 levels, about [0, 1]. This is
    what papers on denoising add (Zhang et al., Beyond a Gaussian Denoiser, 2017).
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
    scale: 0 and more; 0.05..3 in Real-ESRGAN. gray: n is the same in all channels and belongs
    to their mean.
    """
    strength = np.float32(scale)

    def noisy(x: Floats, _: slice) -> Floats:
        signal = x.mean(axis=2, keepdims=True, dtype=np.float32) if gray else x
        return x + strength * np.sqrt(signal) * _normal(x.shape, rng, gray)

    return by_bands(picture, noisy)


def _normal(shape: tuple[int, ...], rng: np.random.Generator, gray: bool) -> Floats:
    shape = (*shape[:2], 1) if gray else shape
    values: Floats = rng.standard_normal(shape, dtype=np.float32)
    return values
