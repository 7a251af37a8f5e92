"""The first 20 losses of three tiny recipes are those that were written down.

A change that is meant to alter them regenerates the file:

    python tests/lab/training/test_golden_losses.py
"""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from running import log, quiet

from iln.lab.training import Recipe, train

FILE = Path(__file__).parents[2] / "data" / "golden" / "losses.json"
TOLERANCE = {"fp32": 1e-4, "fp64": 1e-9}
COMMON = {
    "data": ["pictures"],
    "patch": 12,
    "batch": 4,
    "steps": 20,
    "lr": 2e-3,
    "warmup": 4,
    "log_every": 1,
    "threads": 1,
    "device": "cpu",
    "tensorboard": False,
}
TINY = {"embed_dim": 12, "window": 4}
RECIPES = {
    "swinir": {
        "backbone": "swinir-light-x2",
        "scale": 2,
        "spec": {**TINY, "depths": [2], "num_heads": [2], "input_stats": "mean+std"},
    },
    "hat": {
        "backbone": "hat-mini-x3",
        "norm": "ln",
        "scale": 3,
        "spec": {
            **TINY,
            "depths": [2],
            "num_heads": [2],
            "compress_ratio": 3,
            "squeeze_factor": 3,
            "drop_path": 0.3,
        },
    },
    "drct": {
        "backbone": "drct-x2",
        "task": "denoise",
        "degradation": {"sigma": [0, 50]},
        "scale": 1,
        "spec": {**TINY, "depths": [6], "num_heads": [2], "upsampler": ""},
    },
}


def losses(name: str, precision: str, folder: Path) -> list[float]:
    """Train on pictures that need no decoder's or resizer's last digit."""
    pictures = folder / "pictures"
    pictures.mkdir()
    y, x = np.mgrid[:48, :60]
    for number in range(3):
        colours = [(x * (number + 1) + y * k) % 256 for k in (1, 2, 3)]
        Image.fromarray(np.stack(colours, -1).astype(np.uint8)).save(pictures / f"{number}.png")
    made = Recipe.model_validate(
        {**COMMON, **RECIPES[name], "data_root": folder, "precision": precision}
    )
    train(made, folder / "run", say=quiet)
    return [line["loss"] for line in log(folder / "run") if "loss" in line]


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("name", RECIPES)
def test_losses_are_as_written_down(name: str, precision: str, tmp_path: Path) -> None:
    written = json.loads(FILE.read_text())[name]
    assert len(written) == 20
    assert written[-1] < 0.8 * written[0]
    assert losses(name, precision, tmp_path) == pytest.approx(written, rel=TOLERANCE[precision])


if __name__ == "__main__":
    found = {}
    for each in RECIPES:
        with tempfile.TemporaryDirectory() as place:
            found[each] = losses(each, "fp64", Path(place))
    FILE.write_text(json.dumps(found, indent=1) + "\n")
