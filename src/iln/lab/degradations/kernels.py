"""Kernels of lenses, resizers and shaking cameras: (size, size) float64, size odd, the sum 1."""

import math
from functools import lru_cache

import numpy as np

from iln.lab.degradations.bands import Kernel

_ANGLES = 64
_STEPS = 64
_BEND = 0.12
"""Standard deviation of the change of direction per step, in radians."""


def gaussian(
    size: int,
    sigma: tuple[float, float],
    angle: float = 0.0,
    *,
    power: float = 1.0,
    plateau: bool = False,
) -> Kernel:
    """exp(-q^power / 2) or, with a plateau, 1 / (1 + q^power), where q = (u/s)^2 + (v/t)^2.

    Liu et al., Estimating generalized Gaussian blur kernels for out-of-focus image deblurring,
    2020; used as in Wang et al., Real-ESRGAN, 2021.

    Args:
        sigma: (s, t) in pixels, above 0, along the axes u and v.
        angle: by which u and v are x and y turned, in radians, from x to y.
        power: above 0; 1 is the Gaussian, below it peaks, above it is flatter.
    """
    y, x = _grid(size)
    u = math.cos(angle) * x + math.sin(angle) * y
    v = math.cos(angle) * y - math.sin(angle) * x
    q = ((u / sigma[0]) ** 2 + (v / sigma[1]) ** 2) ** power
    return _normalised(1 / (1 + q) if plateau else np.exp(-q / 2))


def unsharp(sigma: float, amount: float) -> Kernel:
    """Sharpening by an unsharp mask, x + amount * (x - blurred x): edges get halos.

    Args:
        sigma: of the Gaussian blur in pixels, above 0.
        amount: 0 (nothing changes) and more; programs for photographs mostly take up to 1.5.
    """
    size = 2 * math.ceil(3 * sigma) + 1
    kernel = -amount * gaussian(size, (sigma, sigma))
    kernel[size // 2, size // 2] += 1 + amount
    return kernel


def sinc(size: int, cutoff: float) -> Kernel:
    """The ideal low pass without directions: cutoff / (2 pi r) * J1(cutoff r), which rings.

    It makes the overshoot of sharpening and the ringing of strong compression (Wang et al.,
    Real-ESRGAN, 2021).

    Args:
        cutoff: radians a pixel, above 0, at most pi.
    """
    y, x = _grid(size)
    # Of the few distances on the grid each is computed once; r -> 0 has the limit cutoff^2 / 4 pi.
    squares, where = np.unique((x * x + y * y).astype(np.int64), return_inverse=True)
    distance = np.sqrt(squares[1:])
    ring = cutoff / (2 * math.pi * distance) * _bessel(cutoff * distance)
    return _normalised(np.concatenate([[cutoff**2 / (4 * math.pi)], ring])[where].reshape(x.shape))


def disc(radius: float) -> Kernel:
    """A lens out of focus: an evenly lit disc, its rim smoothed over one pixel.

    Args:
        radius: in pixels, above 0; below about 0.5 only the centre is left.
    """
    y, x = _grid(2 * math.ceil(radius) + 1)
    return _normalised(np.clip(radius + 0.5 - np.sqrt(x * x + y * y), 0, 1))


def trajectory(length: float, rng: np.random.Generator) -> Kernel:
    """A camera that shakes: the light that a point leaves on a smooth random path.

    A particle moves at a varying speed and turns a little, by inertia, at each of 64 steps; now and
    then it is pushed in a new direction, as in Boracchi and Foi, Modeling the performance of image
    restoration from motion blur, 2012. Its light is spread over the four pixels around each
    position.

    Args:
        length: of the path in pixels, 0 and more; the kernel has at most 2 * ceil(length / 2) + 3
            pixels a side.
    """
    turns = _BEND * rng.standard_normal(_STEPS)
    pushes = np.where(rng.random(_STEPS) < 0.01, rng.uniform(-2, 2, _STEPS), 0)
    curve = rng.uniform(-0.03, 0.03)
    direction = rng.uniform(0, 2 * np.pi) + np.cumsum(turns + pushes + curve)
    speed = np.clip(1 + np.cumsum(0.15 * rng.standard_normal(_STEPS)), 0.2, 2.5)
    path = np.cumsum(speed * np.exp(1j * direction)) * (length / speed.sum())
    # The middle of its bounding box lies on the middle of the kernel: the picture does not move.
    x, y = (part - (part.min() + part.max()) / 2 for part in (path.real, path.imag))
    reach = int(np.ceil(max(np.abs(x).max(), np.abs(y).max()))) + 1
    kernel: Kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    left, top = np.floor(x), np.floor(y)
    for dy, wy in ((0, top + 1 - y), (1, y - top)):
        for dx, wx in ((0, left + 1 - x), (1, x - left)):
            place = (top.astype(int) + reach + dy, left.astype(int) + reach + dx)
            np.add.at(kernel, place, wy * wx)
    return _normalised(kernel)


def _bessel(x: Kernel) -> Kernel:
    """J1 by Bessel's integral, mean of cos(t - x sin t): exact to 1e-12 for x below 40."""
    t = (np.arange(_ANGLES) + 0.5) * (math.pi / _ANGLES)
    integral: Kernel = np.cos(t - x[:, None] * np.sin(t)).mean(axis=1)
    return integral


@lru_cache(maxsize=64)
def _grid(size: int) -> tuple[Kernel, Kernel]:
    offsets = np.arange(size, dtype=np.float64) - size // 2
    return offsets[:, None] + 0 * offsets, offsets + 0 * offsets[:, None]


def _normalised(kernel: Kernel) -> Kernel:
    normalised: Kernel = kernel / kernel.sum()
    return normalised
