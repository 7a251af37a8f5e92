"""The scripts of zoo/ can be imported, and there are sets for them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PIL import Image
from small_zoo import picture

sys.path.insert(0, str(Path(__file__).parents[2] / "zoo"))

PARTS = ("input", "target")
PAIRED = ("Rain100L", "TaughtHeld", "TaughtHeld-x1")
SETS = ("Set5", "Set14", "BSD100", "CBSD68", "McMaster")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every set that a model is scored on, with two small pictures."""
    place = tmp_path_factory.mktemp("data")
    pairs = [f"{name}/{part}" for name in PAIRED for part in PARTS]
    folders = [*SETS, "Classic5", *pairs]
    for number, name in enumerate(folders):
        folder = place / name
        folder.mkdir(parents=True)
        for seed in (1, 2):
            pixels = picture(seed + number)
            if name == "TaughtHeld/target":  # of twice the size
                pixels = pixels.repeat(2, axis=0).repeat(2, axis=1)
            Image.fromarray(pixels[..., 0] if name == "Classic5" else pixels).save(
                folder / f"{seed}.png"
            )
    return place
