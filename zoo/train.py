"""Train a model of the zoo for some minutes, a round at a time.

    make zoo MODEL=derain MINUTES=60 DATA=FOLDER
    python zoo/train.py derain --minutes 60 --data FOLDER -o runs/zoo [key=value ...]

A round is a run of the recipe of that name (`iln recipes`) with a learning rate that falls to
almost nothing at its end, so that every round leaves finished weights. How many steps it has is
measured: as many as fit. The first round begins at random, or from shipped weights
(`STARTS`); the next ones, at half the rate, from the weights of the last. A round that was
interrupted is resumed exactly where it stopped.

OUT/NAME-1, OUT/NAME-2, ... hold `last.safetensors` (averaged weights), `log.jsonl` and
`throughput.json`: steps, seconds and samples a second, and the share of the device's own
matrix-product rate in that precision.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import torch
from models import MODELS
from torch.utils.flop_counter import FlopCounterMode

from iln.atomic import printable
from iln.backbones import Backbone
from iln.checkpoints.native import describe
from iln.errors import InputError
from iln.lab.training import Recipe, load_recipe, train
from iln.lab.training.model import build_model, save_weights
from iln.lab.training.recipes import derive, override, recipe
from iln.lab.training.sets import record_of
from iln.script import run_script

PROBE = {"cpu": 30, "cuda": 200}
"""Steps by which the pace is measured; the first half, with its compiling, does not count."""
SPARE = 0.94
"""Share of the time left that the steps are planned for."""
STOPPED = "stopped.safetensors"
"""In a round's folder: its weights so far, where it is not finished."""
TWINS = {"sr-x4-ln": "sr-x4", "derain-ln": "derain"}
"""The same recipe with LayerNorm, for comparison; not shipped."""
STARTS = {
    "sharp-x2": "sr-x2",
    "sharp": "sharp",
    "photo-x2": "photo",
    "deblur": "deblur",
    "scratches": "scratches",
}
"""The shipped weights that a model's first round begins with; others begin at random."""


def main() -> int:
    started = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", help="else the one that is furthest from its goal")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("-o", "--out", type=Path, default=Path("runs/zoo"))
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    given = parser.parse_intermixed_args()
    if not 0 < given.minutes < math.inf:
        raise InputError(f"--minutes {given.minutes}: must be more than 0")
    deadline = started + 60 * given.minutes
    name = given.model or furthest()
    run, made = next_round(name, given.out, given.data, given.overrides, deadline)
    if train_until(deadline, run, made):
        (run / STOPPED).unlink(missing_ok=True)  # of an earlier call
    else:
        keep_average(run, made)
    (run / "throughput.json").write_text(json.dumps(throughput(run, made), indent=2) + "\n")
    print((run / "throughput.json").read_text(), end="")
    return 0


def furthest() -> str:
    """The model that lacks most decibels of its goals; one that is not shipped lacks all."""
    lacking = {}
    for name, chosen in MODELS.items():
        try:
            rows = describe(name)["scores"]["rows"]
        except InputError:
            return name
        first = {row: next(iter(rows[row]["after"].values())) for row in chosen.goals}
        # (None is an infinite score.)
        lacking[name] = max(
            0.0 if first[row] is None else goal - first[row] for row, goal in chosen.goals.items()
        )
    return max(lacking, key=lambda name: lacking[name])


def next_round(
    name: str, out: Path, data: Path, overrides: list[str], deadline: float
) -> tuple[Path, Recipe]:
    """The folder of the round to train or to go on with, and its recipe."""
    rounds = sorted(out.glob(f"{name}-[0-9]*"), key=lambda run: int(run.name.rpartition("-")[2]))
    rounds = [run for run in rounds if (run / "recipe.json").exists()]
    if rounds and not (rounds[-1] / "last.safetensors").exists():
        if overrides:
            raise InputError(
                f"{printable(rounds[-1])} is not finished, and goes on as it was begun: leave out "
                f"{' '.join(overrides)}, or delete that folder to begin the round anew"
            )
        return rounds[-1], derive(load_recipe(rounds[-1]), {"data_root": data})
    made = derive(recipe(TWINS.get(name, name)), {"data_root": data, "validation": ()})
    made = derive(made, {"dynamics": {"every": 100}})  # 0.4 % of the time on a CPU
    if name in TWINS:
        made = derive(made, {"norm": "ln"})
    if name in STARTS:
        made = derive(made, {"init": STARTS[name]})
    if rounds:
        made = derive(made, {"init": rounds[-1] / "last.safetensors", "lr": made.lr / 2})
    if torch.cuda.is_available():
        made = derive(made, {"patch": 2 * made.patch, "batch": 16, "compile": True})
        made = derive(made, {"precision": "bf16", "workers": 2})
    made = override(made, overrides)
    if not any(item.startswith("steps=") for item in overrides):
        made = derive(made, paced(deadline, name, out, made))
    return out / f"{name}-{len(rounds) + 1}", made


def paced(deadline: float, name: str, out: Path, made: Recipe) -> dict[str, Any]:
    """How many steps fit, by the pace of a few that are thrown away, and in which precision."""
    probe = out / f"{name}-probe"
    shutil.rmtree(probe, ignore_errors=True)
    steps = PROBE["cuda" if torch.cuda.is_available() else "cpu"]
    changes = {"steps": steps, "log_every": steps // 2, "save_every": steps, "tensorboard": False}
    if not train(derive(made, changes), probe):
        raise InputError("the time was over before the round could begin; give it more minutes")
    pace = json.loads((probe / "log.jsonl").read_text().splitlines()[-1])["seconds"]
    precision = load_recipe(probe).precision
    shutil.rmtree(probe)
    count = max(steps, int(SPARE * (deadline - time.monotonic()) / pace))
    return {"steps": count, "precision": precision}


def train_until(deadline: float, run: Path, made: Recipe) -> bool:
    """Train the round; at the deadline it is asked to stop, as a batch queue does it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("the time was over before the first step"))
    clock = threading.Timer(
        max(0.0, deadline - time.monotonic()), lambda: os.kill(os.getpid(), signal.SIGTERM)
    )
    clock.daemon = True
    clock.start()
    try:
        return train(made, run, resume=(run / "recipe.json").exists())
    finally:
        clock.cancel()


def keep_average(run: Path, made: Recipe) -> None:
    """The averaged weights of a round that is not finished, as `STOPPED`."""
    state = torch.load(run / "state.pt", map_location="cpu", weights_only=True)
    model = build_model(made).eval()
    model.load_state_dict(state["average"])
    begun = record_of(run)
    save_weights(
        model, run / STOPPED, made, state["done"], {}, None if begun is None else begun.init
    )


def throughput(run: Path, made: Recipe) -> dict[str, object]:
    """What the round did in which time, and how much of the device that was."""
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    paces = sorted(line["seconds"] for line in log if "seconds" in line)
    found: dict[str, object] = {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        "threads": torch.get_num_threads(),
    }
    if not paces:  # too few steps for a line of the log
        return found
    pace = paces[len(paces) // 2]
    model = build_model(made)
    rate = matrix_rate(torch.bfloat16 if made.precision == "bf16" else torch.float32)
    return found | {
        "steps": max(line["step"] for line in log),
        "seconds_per_step": pace,
        "hours": round(sum(made.log_every * pace for pace in paces) / 3600, 3),
        "samples_per_second": round(made.batch / pace, 1),
        "matrix_tflops": round(rate / 1e12, 3),
        "share_of_matrix_rate": round(operations(model, made) / pace / rate, 4),
    }


def operations(model: Backbone, made: Recipe) -> float:
    """Of all matrix products and convolutions of a step: three times the forward's."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.rand(1, model.spec.in_chans, made.patch, made.patch))
    return 3.0 * made.batch * int(counter.get_total_flops())


def matrix_rate(dtype: torch.dtype) -> float:
    """Operations per second of a large square matrix product here."""
    device, size = ("cuda", 8192) if torch.cuda.is_available() else ("cpu", 1536)
    a = torch.randn(size, size, device=device).to(dtype)
    taken = []
    for _ in range(6):
        started = time.perf_counter()
        (a @ a)[0, 0].item()
        taken.append(time.perf_counter() - started)
    return 2.0 * size**3 / sorted(taken)[2]


if __name__ == "__main__":
    run_script(main)
