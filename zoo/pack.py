"""Copies of the training pictures that are small enough to travel to a rented GPU.

    python zoo/pack.py --data DATA -o PACK --megabytes 43

Writes PACK/OpenPhotos, PACK/BSDS500/train and PACK/BSDS500/test as AVIF, all colours at full
resolution (4:4:4), about 43 dB from the originals. Where all do not fit, tiles of those photographs
are left out of which there are most. What is there already is kept.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import pyvips

from iln.atomic import atomic_write
from iln.errors import InputError
from iln.lab.tasks.folders import sources
from iln.lab.training.recipes import RESEARCH
from iln.script import run_script

QUALITY, EFFORT = 85, 1
"""AVIF's; more effort takes ten times as long for a few per cent."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--megabytes", type=float, default=43)
    given = parser.parse_args()
    files = [
        packed(source.target, given.out / folder)
        for folder in RESEARCH
        for source in sources(given.data / folder)
    ]
    left_out = thin(files, given.out / RESEARCH[0], given.megabytes * 1e6)
    print(f"{len(files) - left_out} pictures, {left_out} left out")
    return 0


def packed(picture: Path, folder: Path) -> Path:
    """The picture's copy in a folder, made if it is not there."""
    copy = folder / f"{picture.stem}.avif"
    if not copy.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(copy) as temporary:
            pyvips.Image.new_from_file(str(picture)).heifsave(
                str(temporary), compression="av1", Q=QUALITY, effort=EFFORT, subsample_mode="off"
            )
    return copy


def thin(files: list[Path], folder: Path, limit: float) -> int:
    """Delete tiles in `folder` (PHOTOGRAPH_NUMBER) until all files take `limit` bytes at most."""
    sizes = {file: file.stat().st_size for file in files}
    tiles = defaultdict(list)
    for file in sorted(file for file in files if file.parent == folder):
        tiles[file.stem.rpartition("_")[0]].append(file)
    total, count = sum(sizes.values()), 0
    while total > limit:
        most = max(tiles.values(), key=len, default=[])
        if len(most) < 2:
            raise InputError(f"even a tile of each photograph takes {total / 1e6:.0f} MB")
        file = most.pop()
        file.unlink()
        total -= sizes[file]
        count += 1
    return count


if __name__ == "__main__":
    run_script(main)
