"""Networks whose output is known, and folders of small pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

import iln
from iln.backbones import SwinIRSpec, from_spec

SPEC: dict[str, Any] = {
    "embed_dim": 12,
    "depths": (2,),
    "num_heads": (2,),
    "window": 4,
    "norm": "i-ln",
    "eps": 1e-4,
    "input_stats": "none",
}
UPSAMPLERS = {1: "", 2: "pixelshuffledirect", 4: "pixelshuffledirect"}


def network(
    file: Path, add: float | None = 0.0, *, scale: int = 1, channels: int = 3, **about: Any
) -> Path:
    """A file with a network of that scale; at scale 1 one that adds so many 8-bit levels.

    add: None leaves it as it was drawn. about: `task` and `training`, as training writes them.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = from_spec(
            SwinIRSpec(**SPEC, scale=scale, in_chans=channels, upsampler=UPSAMPLERS[scale])
        )
    if scale == 1 and add is not None:  # x + conv_last(...)
        model.get_parameter("conv_last.weight").data.zero_()
        model.get_parameter("conv_last.bias").data.fill_(add / 255)
    file.parent.mkdir(parents=True, exist_ok=True)
    iln.save(model, file, **about)
    return file


def photo(height: int = 20, width: int = 24, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth colours, not symmetric, the whole range in use."""
    y, x = np.mgrid[:height, :width] / 7
    planes = [np.sin(x + c + seed) * np.cos(y - 2 * c) for c in range(3)]
    return np.rint((np.stack(planes, -1) + 1) * 127.5).astype(np.uint8)


def flat(level: int, height: int = 16, width: int = 12) -> NDArray[np.uint8]:
    return np.full((height, width, 3), level, np.uint8)


def folder(place: Path, **pictures: NDArray[np.uint8]) -> Path:
    """PNG files by their names without suffix."""
    place.mkdir(parents=True, exist_ok=True)
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(place / f"{name}.png")
    return place


def pairs(place: Path, **pictures: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> Path:
    """Each picture is (input, target)."""
    folder(place / "input", **{name: both[0] for name, both in pictures.items()})
    folder(place / "target", **{name: both[1] for name, both in pictures.items()})
    return place
