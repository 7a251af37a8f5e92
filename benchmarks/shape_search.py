"""Which shape of a network restores best in the same CPU seconds, after equal training.

    python benchmarks/shape_search.py --data DATA -o OUT [--recipe photo] [--steps 600] [SHAPE ...]
    python benchmarks/shape_search.py --data DATA -o OUT --table docs/results/shapes

The first line trains every shape from random weights by the recipe, with equal steps, crops and
seeds, and scores the result on the recipe's first validation set with each strength of the task's
test. It goes on where it was stopped. The second line times all that is trained, in turn in one
process, and writes a table and a plot.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
from machine import describe

import iln
from iln.atomic import atomic_write
from iln.errors import InputError, nearest
from iln.lab.dynamics.drawing import HUES, SMALL, logarithmic, new_figure, plain, write_png
from iln.lab.training import recipe
from iln.script import run_script

SHAPES: dict[str, dict[str, Any]] = {
    "SwinIR-light": {},
    "12 blocks": {"depths": [2, 2, 2, 6]},
    "2 heads": {"num_heads": [2] * 4},
    "64 channels, 2 heads": {"embed_dim": 64, "num_heads": [2] * 4},
    "64 channels, 2 heads, mlp 1": {"embed_dim": 64, "num_heads": [2] * 4, "mlp_ratio": 1.0},
    "48 channels, 3 heads": {"embed_dim": 48, "num_heads": [3] * 4},
    "64 channels, 3 groups of 4": {"embed_dim": 64, "depths": [4] * 3, "num_heads": [2] * 3},
    "4 groups of 2": {"depths": [2] * 4, "num_heads": [2] * 4},
    "cells of 4x4, 64 channels": {"unshuffle": 4, "embed_dim": 64, "num_heads": [2] * 4},
    "cells of 4x4, 96 channels": {"unshuffle": 4, "embed_dim": 96, "num_heads": [3] * 4},
    "cells of 4x4, 128 channels": {"unshuffle": 4, "embed_dim": 128, "num_heads": [4] * 4},
}
"""What differs from SwinIR-light on cells of 2x2: 60 channels, 4 groups of 6 blocks, 6 heads."""
SIDE = 512
"""Of the picture that is timed."""
ENGINES = ("torch", "openvino")
ROUNDS = 5


@dataclass(frozen=True)
class Trial:
    """One training of one shape."""

    shape: str
    seed: int
    out: Path

    @property
    def run(self) -> Path:
        return self.out / f"{self.shape.replace(', ', '-').replace(' ', '-')}-{self.seed}"

    @property
    def weights(self) -> Path:
        return self.run / "last.safetensors"

    def train(self, base: str, steps: int, data: Path) -> None:
        """In a process of its own, as a user would; it does nothing where all steps are done."""
        new = [base, "-o", str(self.run), "validation=[]", "hold_out=0", "save_every=100"]
        new += [f"steps={steps}", f"seed={self.seed}", f"data_root={data}", "ema=0.99", "threads=1"]
        new += ["patch=64", "batch=16"]
        shape = {"depths": [6] * 4, **SHAPES[self.shape]}
        new += [f"spec.{key}={json.dumps(value)}" for key, value in shape.items()]
        given = ["--resume", str(self.run)] if (self.run / "recipe.json").is_file() else new
        subprocess.run([sys.executable, "-m", "iln", "train", *given], check=True)

    def scores(self, base: str, data: Path) -> dict[str, float]:
        """By strength, the mean gain over the input in dB; measured once."""
        file = self.run / "gains.json"
        if not file.is_file():
            made = recipe(base)
            result = iln.evaluate(
                self.weights, data / made.validation[0], task=made.task, precision="fp32"
            )
            score = next(iter(result.metrics))
            means = {
                (g.protocol, g.model): v for g, v in result.means().items() if g.metric == score
            }
            before, after = result.columns
            gains = {
                protocol: means[protocol, after] - means[protocol, before]
                for protocol in result.sets[0].protocols
            }
            with atomic_write(file) as temporary:
                temporary.write_text(json.dumps(gains, indent=1) + "\n", "utf-8")
        found: dict[str, float] = json.loads(file.read_text("utf-8"))
        return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shapes", nargs="*", metavar="SHAPE", help="default: all of them")
    parser.add_argument("--data", type=Path, required=True, help="folder of the sets")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the trainings")
    parser.add_argument("--recipe", default="photo")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--table", type=Path, help="write .md and .png of this name, train nothing")
    given = parser.parse_args()
    for unknown in set(given.shapes) - set(SHAPES):
        raise InputError(f"there is no shape {unknown!r}; {nearest(unknown, SHAPES)}")
    trials = [
        Trial(shape, seed, given.output)
        for seed in range(given.seeds)
        for shape in given.shapes or SHAPES
    ]
    if given.table is None:
        for trial in trials:
            trial.train(given.recipe, given.steps, given.data.absolute())
            print(trial.shape, trial.seed, trial.scores(given.recipe, given.data), flush=True)
    else:
        done = [trial for trial in trials if trial.weights.is_file()]
        write(given.table, done, given.recipe, given.data)


def write(table: Path, trials: list[Trial], base: str, data: Path) -> None:
    """A line a shape, the fastest first, and the same as points in a plot."""
    shapes = list(dict.fromkeys(trial.shape for trial in trials))
    gains: dict[str, list[dict[str, float]]] = {shape: [] for shape in shapes}
    for trial in trials:
        gains[trial.shape].append(trial.scores(base, data))
    files = {trial.shape: trial.weights for trial in trials}
    seconds = timed(files)
    strengths = list(gains[shapes[0]][0])
    head = ["shape", "seeds", "weights", *(f"CPU s/MP, {engine}" for engine in ENGINES)]
    head += [*strengths, "mean"]
    lines = [describe(), "", f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for shape in sorted(shapes, key=lambda shape: seconds[shape]["torch"]):
        runs = gains[shape]
        weights = sum(p.numel() for p in iln.load(files[shape]).parameters())
        cells = [shape, str(len(runs)), f"{weights:,}"]
        cells += [f"{seconds[shape][engine]:.2f}" for engine in ENGINES]
        cells += [spread([run[strength] for run in runs]) for strength in strengths]
        cells += [spread([fmean(run.values()) for run in runs])]
        lines.append(f"| {' | '.join(cells)} |")
    with atomic_write(table.with_suffix(".md"), overwrite=True) as temporary:
        temporary.write_text("\n".join(lines) + "\n", "utf-8")
    plot(
        table.with_suffix(".png"),
        seconds,
        {s: [fmean(r.values()) for r in gains[s]] for s in shapes},
    )


def spread(values: list[float]) -> str:
    """Their mean; of several the lowest and the highest, too."""
    mean = f"{fmean(values):+.2f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):+.2f} to {max(values):+.2f})"


def timed(files: dict[str, Path]) -> dict[str, dict[str, float]]:
    """CPU seconds a megapixel of each shape with each engine: medians, taken in turn."""
    picture = np.random.default_rng(0).random((SIDE, SIDE, 3), np.float32)
    ways = {
        (shape, engine): iln.Restorer(file, engine=engine, device="cpu")
        for shape, file in files.items()
        for engine in ENGINES
    }
    times: dict[tuple[str, str], list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS + 1):
        for way, restorer in ways.items():
            started = time.process_time()
            restorer(picture)
            times[way].append((time.process_time() - started) / SIDE**2 * 1e6)
    return {
        shape: {engine: median(times[shape, engine][1:]) for engine in ENGINES} for shape in files
    }


def plot(file: Path, seconds: dict[str, dict[str, float]], gains: dict[str, list[float]]) -> None:
    """Gain over seconds with each engine: what lies further up and to the left is better."""
    figure = new_figure(11, 5)
    for axes, engine in zip(figure.subplots(1, 2, sharey=True), ENGINES, strict=True):
        for shape, found in gains.items():
            x, y = seconds[shape][engine], fmean(found)
            axes.plot([x] * len(found), found, "o", color=HUES["4x4" in shape])
            axes.annotate(shape, (x, y), (5, 4), textcoords="offset points", fontsize=SMALL)
        plain(axes, f"engine {engine}", "CPU seconds a megapixel", "mean gain in PSNR, dB")
        logarithmic(axes, "x")
    write_png(figure, file, overwrite=True)


if __name__ == "__main__":
    run_script(main)
