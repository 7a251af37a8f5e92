"""Ways to enlarge worn pictures twofold: how near each comes to the clean ones.

    python benchmarks/enlarged_photos.py DATA/Set14 sr-x2 photo+sr-x2 [--seeds 1]

Every picture of the folder is made half as large and damaged (task `photo`, scale=2, prints=0.3)
at the task's three tested strengths, and not at all. A way is a model or a file, or several with +
between them. The table has the mean PSNR in dB of R, G and B together, in float32.
"""

from __future__ import annotations

import argparse
import zlib
from pathlib import Path
from statistics import fmean

import iln
from iln.images import psnr_rgb, read
from iln.lab.tasks import generator, task, to_uint8
from iln.lab.tasks.folders import sources
from iln.script import run_script


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("ways", nargs="+")
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    files = [source.target for source in sources(given.folder)]
    ways = {way: iln.Pipeline(way.split("+"), precision="fp32") for way in given.ways}
    protocols = task("photo", {"scale": 2, "prints": 0.3}).protocols()
    protocols["undamaged"] = task("photo", {"scale": 2, "strength": 0})
    print("| strength | bicubic | " + " | ".join(ways) + " |")
    print("|---" * (2 + len(ways)) + "|")
    for name, damage in protocols.items():
        found: dict[str, list[float]] = {way: [] for way in ("bicubic", *ways)}
        for file in files:
            original = damage.target(read(file).rgb8())
            for seed in range(given.seeds if name != "undamaged" else 1):
                words = seed, zlib.crc32(file.stem.encode())
                damaged = to_uint8(damage.degrade(original, generator(*words)))
                found["bicubic"].append(psnr_rgb(damage.baseline(damaged), original))
                for way, pipeline in ways.items():
                    found[way].append(psnr_rgb(pipeline(damaged), original))
        print(
            f"| {name} | " + " | ".join(f"{fmean(values):.2f}" for values in found.values()) + " |",
            flush=True,
        )


if __name__ == "__main__":
    run_script(main)
