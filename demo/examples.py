"""Draw the examples beside the choices of `iln serve`: damaged on the left, restored on the right.

They are cut from the pictures beside this file, damaged as for training, and restored by the
shipped models. Run it again when a model is added or changes: python demo/examples.py
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import iln
from iln.checkpoints.catalogue import names
from iln.images import read, resize
from iln.lab.tasks import generator, task, to_uint8

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "src" / "iln" / "deploy" / "serve" / "page" / "examples"
SIDE, GAP = 112, 2
"""Of each half, and between them, in pixels."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Example:
    """Which picture, and how it is damaged."""

    picture: str
    task: str
    parameters: dict[str, Any] = field(default_factory=dict)
    seed: int = 0


PLACES = {"kitten.webp": (65, 8), "budgie.webp": (8, 140)}
"""Top and left of the faces, in the pictures at half their size."""
EXAMPLES = {
    "photo": Example("kitten.webp", "photo", {"prints": 0, "untouched": 0, "strength": 0.8}, 3),
    "old-print": Example(
        "kitten.webp", "photo", {"prints": 1, "untouched": 0, "wear": 1, "strength": 0.6}, 1
    ),
    "scratches": Example("budgie.webp", "scratches", {"wear": 1}, 8),
    "photo-x2": Example(
        "kitten.webp", "photo", {"prints": 0, "untouched": 0, "strength": 0.6, "scale": 2}, 5
    ),
    "sharp": Example("kitten.webp", "photo", {"prints": 0, "untouched": 0, "strength": 0.8}, 3),
    "sharp-x2": Example(
        "kitten.webp", "photo", {"prints": 0, "untouched": 0, "strength": 0.6, "scale": 2}, 5
    ),
    "sharp-x4": Example(
        "kitten.webp", "photo", {"prints": 0, "untouched": 0, "strength": 0.3, "scale": 4}, 5
    ),
    "sr-x2": Example("budgie.webp", "sr", {"scale": 2}),
    "sr-x4": Example("kitten.webp", "sr", {"scale": 4}),
    "denoise": Example("budgie.webp", "denoise", {"sigma": 45}),
    "jpeg": Example("kitten.webp", "jpeg", {"quality": 8}),
    "derain": Example("kitten.webp", "derain", {"brightness": 0.9}, 2),
    "deblur": Example("budgie.webp", "deblur", {"shaken": 0, "defocus": 3, "untouched": 0}),
}


def main() -> None:
    OUT.mkdir(exist_ok=True)
    for name in names():
        file = OUT / f"{name}.webp"
        draw(name, EXAMPLES[name]).save(file, quality=72, method=6)
        print(f"{file.name}  {file.stat().st_size} bytes")


def draw(name: str, example: Example) -> Image.Image:
    """The same piece damaged and restored."""
    half = resize(read(HERE / example.picture).rgb8(), Fraction(1, 2))
    top, left = PLACES[example.picture]
    piece = half[top : top + SIDE, left : left + SIDE]
    damage = task(example.task, example.parameters)
    damaged = to_uint8(damage.pair(piece, generator(example.seed))[0])
    restored: Pixels = iln.restore(damaged, name)
    both = Image.new("RGB", (2 * SIDE + GAP, SIDE), "white")
    both.paste(Image.fromarray(damaged).resize((SIDE, SIDE), Image.Resampling.NEAREST), (0, 0))
    both.paste(Image.fromarray(restored), (SIDE + GAP, 0))
    return both


if __name__ == "__main__":
    main()
