"""Pictures for the smoke scale, drawn by the program, so that it needs no data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from iln.atomic import make_folder
from iln.images import Picture, write
from iln.lab.tasks import generator

_SIDE = 96


def draw_data(root: Path) -> None:
    """Folders `Drawn` (8 pictures) and `DrawnTest` (2), where they are not there yet."""
    for folder, count in (("Drawn", 8), ("DrawnTest", 2)):
        make_folder(root / folder)
        for number in range(count):
            file = root / folder / f"{number}.png"
            if not file.exists():
                write(Picture(_drawn(len(folder), number)), file)


def _drawn(*words: int) -> npt.NDArray[np.uint8]:
    """(96, 96, 3): a smooth ground, discs and stripes."""
    rng = generator(*words)
    down, across = np.mgrid[0:_SIDE, 0:_SIDE] / _SIDE
    picture = rng.uniform(0.2, 0.8, 3) + np.stack([down, across, down * across], -1) * 0.3
    for _ in range(6):
        (y, x), radius, colour = rng.uniform(0, 1, 2), rng.uniform(0.05, 0.3), rng.uniform(0, 1, 3)
        picture[np.hypot(down - y, across - x) < radius] = colour
    stripes = np.sin(2 * np.pi * rng.uniform(4, 16) * (down + rng.uniform(-1, 1) * across))
    picture = picture + 0.1 * stripes[..., None]
    pixels: npt.NDArray[np.uint8] = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    return pixels
