"""What each step of restoring an old print gives: `scratches`, `photo`, and stretched colours.

    python benchmarks/old_prints.py FOLDER [--seeds 1] [--wear 0.9]

FOLDER holds clean pictures. All are made old prints (task `photo`, prints=1) at its three tested
strengths and restored in several ways; the table has the mean PSNR (RGB) in dB. --wear says how
faded, stained, scratched and dusty they are; without it as much as the strength.
"""

from __future__ import annotations

import argparse
import zlib
from pathlib import Path
from statistics import fmean

import iln
from iln.images import psnr_rgb, read, unfade
from iln.lab.tasks import Pixels, generator, task, to_uint8
from iln.lab.tasks.folders import sources
from iln.script import run_script


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--wear", type=float)
    given = parser.parse_args()
    files = [source.target for source in sources(given.folder)]
    parameters: dict[str, float] = {"prints": 1} | (
        {} if given.wear is None else {"wear": given.wear}
    )
    photo, scratches = (iln.Restorer(name, precision="fp32") for name in ("photo", "scratches"))

    def restored(damaged: Pixels) -> dict[str, Pixels]:
        """By way; the last one is the chain `old-print`."""
        unmarked = scratches(damaged)
        both = photo(unmarked)
        return {
            "input": damaged,
            "photo": photo(damaged),
            "scratches": unmarked,
            "scratches, photo": both,
            "old-print": unfade(both),
        }

    ways = ("input", "photo", "scratches", "scratches, photo", "old-print")
    print("| strength | " + " | ".join(ways) + " |")
    print("|---" * (1 + len(ways)) + "|")
    for name, damage in task("photo", parameters).protocols().items():
        found: dict[str, list[float]] = {way: [] for way in ways}
        for file in files:
            original = read(file).rgb8()
            for seed in range(given.seeds):
                words = seed, zlib.crc32(file.name.encode())
                damaged = to_uint8(damage.degrade(original, generator(*words)))
                for way, result in restored(damaged).items():
                    found[way].append(psnr_rgb(result, original))
        print(
            f"| {name} | " + " | ".join(f"{fmean(found[way]):.2f}" for way in ways) + " |",
            flush=True,
        )


if __name__ == "__main__":
    run_script(main)
