"""The path of a camera that shakes while the shutter is open."""

from __future__ import annotations

import numpy as np

from iln.lab.degradations.bands import Kernel

_STEPS = 64
_BEND = 0.12
"""Standard deviation of the change of direction per step, in radians."""


def trajectory(length: float, rng: np.random.Generator) -> Kernel:
    """The light that a point leaves on a smooth random path: an odd square, with the sum 1.

    A particle moves at a varying speed and turns a little, by inertia, at each of 64 steps; now and
    then it is pushed in a new direction, as in Boracchi and Foi, Modeling the performance of image
    restoration from motion blur, 2012. Its light is spread over the four pixels around each
    position. length: of the path in pixels, 0 and more; the kernel has at most
    2 * ceil(length / 2) + 3 pixels a side.
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
    kernel /= kernel.sum()
    return kernel
