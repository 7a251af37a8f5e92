"""Pairs to learn a shipped model from: damaged crops, and what it makes of them.

    python zoo/distil.py photo --data DATA/OpenPhotos -o DATA/ByPhoto
    iln train photo data=DATA/ByPhoto init=photo-12.safetensors ...      # a smaller network

Crops are damaged as in the model's own training. Its answers say more than the clean photographs
do: what no network can know is left out of them, so that a smaller one learns from few. Pairs that
are there are kept, so the command may be stopped and started again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from teacher import photographs, write_pairs

import iln
from iln.atomic import printable
from iln.errors import InputError
from iln.images import read
from iln.lab.tasks import Pixels, generator
from iln.lab.tasks.task import Task, to_uint8
from iln.lab.training.recipes import recipe
from iln.script import run_script

SIDE = 96
"""Pixels of a damaged crop."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a shipped model, whose recipe has the same name")
    parser.add_argument("--data", type=Path, required=True, help="folder of clean photographs")
    parser.add_argument("--count", type=int, default=5000, help="how many crops")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the pairs")
    given = parser.parse_args()
    if given.count < 1:
        raise InputError(f"--count {given.count}: must be 1 or more")
    task, files = recipe(given.model).make_task(), photographs(given.data)
    restorer = iln.Restorer(given.model, precision="fp32", device="cpu")

    def pair(number: int) -> tuple[Pixels, Pixels]:
        damaged = crop(task, files, number)
        return damaged, restorer(damaged)

    write_pairs(pair, range(given.count), given.output)
    return 0


def crop(task: Task, files: list[Path], number: int) -> Pixels:
    """(SIDE, SIDE, 3) of one of the photographs, damaged; the same for the same number."""
    rng = generator(11, number)
    file = files[int(rng.integers(len(files)))]
    picture = read(file).rgb8()
    side = task.scale * SIDE + 2 * task.margin
    if min(picture.shape[:2]) < side:
        raise InputError(f"{printable(file)}: is too small; photographs have {side}x{side} or more")
    top, left = (int(rng.integers(0, length - side + 1)) for length in picture.shape[:2])
    clean = task.colours(picture[top : top + side, left : left + side])
    return to_uint8(task.training_pair(np.ascontiguousarray(clean), rng)[0])


if __name__ == "__main__":
    run_script(main)
