from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from iln.lab.training import Recipe


@pytest.fixture
def made(tmp_path: Path) -> Recipe:
    """A short recipe on two smooth pictures."""
    folder = tmp_path / "data" / "waves"
    folder.mkdir(parents=True)
    y, x = np.mgrid[:60, :80]
    for name, pitch in (("a", 5.0), ("b", 9.0)):
        wave = 127 + 100 * np.sin(x / pitch) * np.cos(y / pitch)
        colours = np.stack([wave, wave[::-1], 255 - wave], -1).astype(np.uint8)
        Image.fromarray(colours).save(folder / f"{name}.png")
    return Recipe(
        backbone="swinir-light-x2",
        # With all that a resume could forget: running averages, random drops, and a table that
        # is looked up with repeated indices (relative position bias).
        norm="bn",
        spec={
            "embed_dim": 12,
            "depths": [2],
            "num_heads": [2],
            "window": 4,
            "drop_path": 0.1,
        },
        scale=2,
        data_root=tmp_path / "data",
        data=(Path("waves"),),
        validation=(Path("waves"),),
        patch=12,
        batch=4,
        steps=60,
        lr=5e-3,
        warmup=5,
        ema=0.9,
        precision="fp32",
        tensorboard=False,
        log_every=4,
        save_every=10,
        validate_every=30,
        threads=1,
        device="cpu",
    )
