"""Put trained weights into the package: float16, with scores and licence, and their card.

    python zoo/ship.py denoise runs/denoise/best.safetensors denoise.json

The JSON file is what `zoo/score.py ... -o` wrote of the same weights. What they were trained on,
and the weights that they started from, decides the licence. A card is begun where there is none:
what it says beside the scores is written by hand.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import card
import quick
import torch
from models import licence, model

import iln
from iln.atomic import printable
from iln.checkpoints.files import about
from iln.checkpoints.native import describe
from iln.errors import InputError
from iln.script import run_script


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help="what it is shipped as")
    parser.add_argument("file", type=Path, help="the trained weights")
    parser.add_argument("scores", type=Path, help="JSON file of zoo/score.py")
    given = parser.parse_args()
    ship(given.name, given.file, given.scores, card.ZOO)
    quick.store(given.name, _read(given.scores, model(given.name).main)["quick"])
    card.update_pages(card.ZOO, card.README)
    return 0


def ship(name: str, file: Path, scores: Path, folder: Path) -> None:
    """Write the weights file of the package. Raises InputError for what does not fit."""
    chosen = model(name)
    training = describe(file)["training"]
    with about(file):
        terms = licence(training)
    iln.save(
        iln.load(file),
        folder / f"{name}.safetensors",
        dtype=torch.float16,
        overwrite=True,
        task=f"{chosen.task}: {chosen.does}",
        training=training,
        scores={k: v for k, v in _read(scores, chosen.main).items() if k != "quick"},
        licence=terms,
    )


def _read(file: Path, main: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"{printable(file)}: {error.strerror}") from None
    except ValueError:
        found = {}
    if main not in found.get("rows", {}) or "quick" not in found:
        raise InputError(f"{printable(file)} holds no scores of this model (zoo/score.py -o)")
    return found


if __name__ == "__main__":
    run_script(main)
