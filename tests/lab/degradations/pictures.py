"""Pictures to damage."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


def flat(value: int, height: int = 200, width: int = 200, channels: int = 3) -> Pixels:
    return np.full((height, width, channels), value, np.uint8)


def waves(height: int, width: int, channels: int = 3) -> Pixels:
    """Smooth, all channels different, no symmetry, nearly the whole range."""
    y, x = np.mgrid[:height, :width]
    planes = [
        127 + 120 * np.sin(x / (4 + c) + c) * np.cos(y / 5 + x / 31 + c) for c in range(channels)
    ]
    return np.stack(planes, -1).astype(np.uint8)
