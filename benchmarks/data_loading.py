"""The share of a training step that is spent on making its batch, task by task.

    python benchmarks/data_loading.py FOLDER [--threads 1]

SwinIR-light (for same-size tasks without upsampler), 8 crops, in this process, nothing prepared
ahead: what `iln train RECIPE data=FOLDER` does on a CPU.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
from machine import describe
from torch.nn.functional import l1_loss

from iln.lab.training import recipe
from iln.lab.training.data import batch, open_pictures
from iln.lab.training.model import build_model
from iln.lab.training.report import say_plainly
from iln.lab.training.sets import picture_sets
from iln.lab.training.validation import to_unit
from iln.script import run_script

RECIPES = ("sr-x2", "sr-x4", "denoise", "jpeg", "derain", "deblur", "photo")
STEPS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(describe())
    with tempfile.TemporaryDirectory() as cache:
        for name in RECIPES:
            row(name, given.folder, Path(cache))


def row(name: str, folder: Path, cache: Path) -> None:
    made = recipe(name, [f"data={folder.resolve()}", "validation=[]"])
    task, (patch, size) = made.make_task(), made.stage(0)
    pictures = open_pictures(picture_sets(made)[0], task, cache, say_plainly)
    model = build_model(made).train()
    loading, computing = [], []
    for step in range(STEPS + 1):
        started = time.perf_counter()
        inputs, targets = batch(pictures, task, size=size, patch=patch, seed=0, step=step)
        loaded = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16):
            output = model(to_unit(inputs))
        model.zero_grad()
        l1_loss(output.float(), to_unit(targets)).backward()  # type: ignore[no-untyped-call]
        done = time.perf_counter()
        loading.append(loaded - started)
        computing.append(done - loaded)
    data, work = median(loading[1:]), median(computing[1:])
    print(
        f"{name:8} {size} x {patch}x{patch}  data {1e3 * data:6.1f} ms  step {1e3 * work:7.1f} ms  "
        f"share {data / (data + work):5.1%}",
        flush=True,
    )


if __name__ == "__main__":
    run_script(main)
