"""Small pictures in files, and what a command did."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from iln.backbones import SwinIRSpec

TINY = SwinIRSpec(
    embed_dim=12,
    depths=(2,),
    num_heads=(2,),
    window=4,
    scale=2,
    upsampler="pixelshuffledirect",
    norm="i-ln",
    eps=1e-4,
    input_stats="mean+std",
)


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """Of standard error."""
        return self.err.splitlines()


Command = Callable[..., Outcome]


def photo(height: int = 12, width: int = 16, channels: int = 3, dtype: Any = np.uint8) -> Any:
    """(H, W, C), or (H, W) for one channel: smooth, not symmetric, the whole range in use."""
    y, x = np.mgrid[:height, :width] / 10
    planes = [np.sin(x + c) * np.cos(y - 2 * c) for c in range(channels)]
    values = (np.stack(planes, -1) + 1) / 2 * np.iinfo(dtype).max
    return np.rint(values).astype(dtype).squeeze(-1) if channels == 1 else values.astype(dtype)


def save(path: str | os.PathLike[str], pixels: NDArray[Any] | None = None, **options: Any) -> Path:
    """Written by Pillow, an independent program; folders are made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo() if pixels is None else pixels).save(path, **options)
    return path


def size(path: str | os.PathLike[str]) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def files(folder: Path) -> list[str]:
    """All files below a folder, hidden ones too."""
    return sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if not f.is_dir())


def names(folder: str | os.PathLike[str]) -> list[str]:
    """What lies in a folder."""
    return sorted(entry.name for entry in Path(folder).iterdir())


def pixels(file: str | Path) -> np.ndarray:
    return np.asarray(Image.open(file)).astype(float)
