"""Is the cost linear in pixels? CPU seconds and memory of one model from 0.1 to 12 megapixels.

    OMP_NUM_THREADS=1 python benchmarks/cost.py [--model photo] [-o docs/results/cost.svg]

Every picture goes through a process of its own, with each engine; CPU seconds are those of
restoring alone, without loading. Memory is the largest of the process.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from machine import describe, watched

import iln
from iln.script import run_script

SIZES = {0.1: (400, 250), 0.3: (640, 480), 1: (1152, 864), 3: (2000, 1500), 6: (3000, 2000)}
SIZES |= {12: (4000, 3000)}
"""Width and height, by megapixels."""
ENGINES = ("torch", "auto")


def measure(model: str, engine: str, width: int, height: int) -> tuple[float, float]:
    words = [
        sys.executable,
        __file__,
        "--model",
        model,
        "--inside",
        engine,
        str(width),
        str(height),
    ]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    seconds, gibibytes = map(float, done.stdout.split())
    return seconds, gibibytes


def inside(model: str, engine: str, width: int, height: int) -> None:
    restorer = iln.Restorer(model, engine=engine, device="cpu")
    rng = np.random.default_rng(0)
    restorer(rng.integers(0, 256, (64, 64, 3), np.uint8))
    picture = rng.integers(0, 256, (height, width, 3), np.uint8)
    with watched() as peak:
        started = time.process_time()
        restorer(picture)
        seconds = time.process_time() - started
    print(seconds, peak.resident / 2**30)


def plot(found: dict[str, list[tuple[float, float, float]]], file: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure((8, 3.2), layout="constrained")
    time_axes, memory_axes = figure.subplots(1, 2)
    for engine, rows in found.items():
        pixels, seconds, memory = zip(*rows, strict=True)
        time_axes.loglog(pixels, seconds, "o-", label=f"--engine {engine}")
        memory_axes.plot(pixels, memory, "o-", label=f"--engine {engine}")
    time_axes.set_ylabel("CPU seconds")
    memory_axes.set_ylabel("peak of the process, GiB")
    for axes in (time_axes, memory_axes):
        axes.set_xlabel("megapixels")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(file, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="photo")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="of the plot (.svg)")
    parser.add_argument("--inside", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        engine, width, height = given.inside
        inside(given.model, engine, int(width), int(height))
        return
    print(f"{describe()}; {given.model}\n")
    print(
        "| picture | "
        + " | ".join(f"`--engine {e}` | per megapixel | peak" for e in ENGINES)
        + " |"
    )
    print("|" + "---|" * (1 + 3 * len(ENGINES)))
    found: dict[str, list[tuple[float, float, float]]] = {engine: [] for engine in ENGINES}
    for width, height in SIZES.values():
        pixels, cells = width * height / 1e6, []
        for engine in ENGINES:
            seconds, memory = measure(given.model, engine, width, height)
            found[engine].append((pixels, seconds, memory))
            cells.append(f"{seconds:.1f} s | {seconds / pixels:.1f} s | {memory:.2f} GiB")
        print(f"| {width}x{height} | " + " | ".join(cells) + " |", flush=True)
    if given.output is not None:
        plot(found, given.output)


if __name__ == "__main__":
    run_script(main)
