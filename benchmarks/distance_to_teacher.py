"""How near models and chains come to their teacher, on pairs of `zoo/teacher.py` of any scale.

    python benchmarks/distance_to_teacher.py DATA/TaughtHeld-x1 photo sharp
    python benchmarks/distance_to_teacher.py DATA/TaughtHeld-x4 sr-x4 sharp-x2+sr-x2

The table has the mean PSNR (RGB) in dB of the bicubic enlargement, and of each way: models joined
by + are applied one after the other, and the result is brought to the size of the answer.
"""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path
from statistics import fmean, stdev

import iln
from iln.images import psnr_rgb, read, resize
from iln.script import run_script


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="with input and target")
    parser.add_argument("ways", nargs="+", metavar="MODEL[+MODEL]")
    given = parser.parse_args()
    files = sorted((given.folder / "input").iterdir())
    found: dict[str, list[float]] = {"bicubic": []}
    pairs = [(read(f).rgb8(), read(given.folder / "target" / f.name).rgb8()) for f in files]
    scale = pairs[0][1].shape[0] // pairs[0][0].shape[0]
    for damaged, answer in pairs:
        found["bicubic"].append(psnr_rgb(resize(damaged, Fraction(scale)), answer))
    for way in given.ways:
        pipeline = iln.Pipeline(way.split("+"), size=f"{100 * scale}%")
        found[way] = [psnr_rgb(pipeline(damaged), answer) for damaged, answer in pairs]
    print("| way | PSNR | +- |")
    print("|---|---|---|")
    for way, scores in found.items():
        print(f"| {way} | {fmean(scores):.2f} | {stdev(scores) / len(scores) ** 0.5:.2f} |")


if __name__ == "__main__":
    run_script(main)
