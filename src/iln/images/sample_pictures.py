"""The pictures to diagnose with: people's own, or one that is drawn here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from iln.atomic import printable
from iln.images import LUMA, read

CROP = 128
"""Side in pixels of what is taken from the middle of a picture, unless told otherwise: a few
seconds for a small network on one core."""


@dataclass(frozen=True)
class SamplePicture:
    """A picture as a network's input.

    Attributes:
        pixels: (H, W, 1 or 3) float32 in [0, 1].
        width: of the whole picture, which `pixels` may be the middle of.
        height: of the whole picture.
        synthetic: drawn by `draw_sample_picture`.
    """

    name: str
    pixels: npt.NDArray[np.float32]
    width: int
    height: int
    synthetic: bool = False

    @property
    def cropped(self) -> bool:
        return self.pixels.shape[:2] != (self.height, self.width)

    def image(self, channels: int) -> Tensor:
        """(1, channels, H, W): gray three times for RGB, luma (BT.601) of RGB for gray."""
        pixels = self.pixels
        if channels == 1 and pixels.shape[2] == 3:
            pixels = (pixels @ np.array(LUMA, np.float32))[..., None]
        elif channels == 3 and pixels.shape[2] == 1:
            pixels = np.repeat(pixels, 3, 2)
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None]


def sample_pictures_of(
    files: Sequence[str | os.PathLike[str]], crop: int = CROP
) -> list[SamplePicture]:
    """The files' pictures, or the built-in one if there are none. Raises InputError."""
    return [read_sample_picture(file, crop) for file in files] or [
        draw_sample_picture(crop or CROP)
    ]


def read_sample_picture(file: str | os.PathLike[str], crop: int = CROP) -> SamplePicture:
    """A picture file, without its transparency.

    Args:
        crop: as in `middle`.

    Raises:
        InputError: as `iln.images.read`.
    """
    pixels = read(file).pixels
    height, width, _ = pixels.shape
    full = np.float32(np.iinfo(pixels.dtype).max)
    piece = middle(pixels, crop).astype(np.float32) / full
    return SamplePicture(printable(Path(file).name), piece, width, height)


def draw_sample_picture(size: int = CROP) -> SamplePicture:
    """The built-in picture (size, size, 3): the same everywhere.

    From the top: smooth gradients, a zone plate (stripes from coarse to as fine as pixels are),
    hard edges at all angles, and coloured noise as texture.
    """
    y, x = np.mgrid[:size, :size] / max(1, size - 1)
    picture = np.stack([0.15 + 0.7 * x, 0.25 + 0.5 * y, 0.8 - 0.55 * x * y], -1)
    rings = 0.5 + 0.45 * np.cos(1.6 * np.pi * size * ((x - 0.3) ** 2 + (y - 0.3) ** 2))
    plate = (x - 0.3) ** 2 + (y - 0.3) ** 2 < 0.06
    picture[plate] = rings[plate, None]
    rays = np.floor(np.arctan2(y - 0.3, x - 0.74) * 12 / np.pi) % 2
    star = (x - 0.74) ** 2 + (y - 0.3) ** 2 < 0.045
    picture[star] = (0.05 + 0.9 * rays)[star, None]
    grain = np.random.Generator(np.random.PCG64(7)).random((size, size, 3))
    weave = 0.5 + 0.2 * np.sin(40 * x + 3 * np.sin(9 * y)) * np.cos(31 * y)
    cloth = (y > 0.62) & (x < 0.48)
    picture[cloth] = (0.75 * weave[..., None] + 0.25 * grain)[cloth]
    bars = np.floor(x * 40 * (1 + y)) % 2
    stripes = (y > 0.62) & (x > 0.56) & (x < 0.94) & (y < 0.92)
    colours = np.array([[0.9, 0.35, 0.1], [0.1, 0.3, 0.6]])
    picture[stripes] = colours[bars[stripes].astype(int)]
    levels = np.round(picture.clip(0, 1) * 255).astype(np.float32) / np.float32(255)
    return SamplePicture("built-in test picture", levels, size, size, synthetic=True)


def middle(pixels: npt.NDArray[np.generic], crop: int) -> npt.NDArray[np.generic]:
    """The central crop x crop pixels of (H, W, C), or what there is of them; 0: all."""
    height, width = (min(side, crop) if crop else side for side in pixels.shape[:2])
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]
