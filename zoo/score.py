"""Score a shipped model, or a file that is to become it, by the protocols of docs/zoo.md.

    python zoo/score.py denoise --data DATA                                  the shipped file
    python zoo/score.py denoise runs/denoise/best.safetensors --data DATA -o denoise.json

DATA holds the sets as folders. Pictures are restored whole, in float32, by the weights as they are
shipped, in float16. -o writes what zoo/ship.py puts into the weights file, and into zoo/quick.json
the scores that a check does again in minutes: of the first pictures of each set, with seed 0.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from models import Model, Test, model
from rich.console import Console
from rich.table import Table

import iln
from iln.atomic import atomic_write
from iln.lab.evaluation import Evaluation
from iln.lab.evaluation.result import Score
from iln.lab.tasks.folders import sources
from iln.progress import progress_bar
from iln.script import run_script

Scores = dict[str, Any]
"""date, the `baseline`'s name, `main`, and `rows`: by set and protocol, `before` and `after` by
metric. An infinite number is null. `quick`: rows of the first pictures, with seed 0."""
QUICK = 4
"""Pictures of a set, by name."""
Progress = Callable[[str, float], None]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help="a shipped model, or one that is to be")
    parser.add_argument("file", nargs="?", help="its weights, if not the shipped ones")
    parser.add_argument("--data", type=Path, required=True, help="folder of the sets")
    parser.add_argument("-o", "--output", type=Path, help="JSON file for zoo/ship.py")
    parser.add_argument("--device", default="auto", help="where to compute: auto, cpu, cuda, mps")
    given = parser.parse_args()
    chosen = model(given.name)
    with as_shipped(given.file or given.name, chosen.task) as weights, progress_bar() as tell:
        scores = measure(chosen, weights, given.data, device=given.device, progress=tell)
    Console().print(table(chosen, scores))
    if given.output is not None:
        with atomic_write(given.output, overwrite=True) as temporary:
            temporary.write_text(json.dumps(scores, indent=1, allow_nan=False) + "\n", "utf-8")
    return 0


@contextlib.contextmanager
def as_shipped(weights: str | os.PathLike[str], task: str) -> Iterator[Path]:
    """The weights in float16, in a file that is gone afterwards; its task decides, too, what is
    made of the network's output."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        iln.save(iln.load(weights), file, dtype=torch.float16, task=task)
        yield file


def measure(
    chosen: Model,
    weights: str | os.PathLike[str],
    data: Path,
    *,
    device: str = "auto",
    progress: Progress = lambda what, share: None,
) -> Scores:
    """All of a model's tests. Raises InputError for a set that is missing or cannot be scored."""
    rows: dict[str, Any] = {}
    quick: dict[str, Any] = {}
    total, done = sum(test.seeds for test in chosen.tests), 0
    for test in chosen.tests:
        results = []
        for seed in range(test.seeds):
            result = iln.evaluate(
                weights,
                [data / name for name in test.sets],
                task=chosen.task,
                parameters=test.parameters,
                seed=seed,
                precision="fp32",
                device=device,
                progress=partial(_tell, progress, done, total),
            )
            results.append(result)
            done += 1
        rows |= _rows(test, results)
        if test.quick:
            quick |= _rows(test, [replace(results[0], scores=_first(results[0].scores))])
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "baseline": result.baseline,
        "main": chosen.main,
        "rows": rows,
        "quick": quick,
    }


def measure_quickly(
    chosen: Model,
    weights: str | os.PathLike[str],
    data: Path,
    *,
    device: str = "auto",
    progress: Progress = lambda what, share: None,
) -> dict[str, Any]:
    """The rows of `quick` alone. Raises InputError as `measure` does."""
    tests = tuple(replace(test, seeds=1) for test in chosen.tests if test.quick)
    with tempfile.TemporaryDirectory() as folder:
        for name in {name for test in tests for name in test.sets}:
            for source in sources(data / name)[:QUICK]:
                for file in source.files:
                    copy = Path(folder) / file.relative_to(data)
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(file, copy)
        few = replace(chosen, tests=tests)
        rows: dict[str, Any] = measure(
            few, weights, Path(folder), device=device, progress=progress
        )["rows"]
        return rows


def _first(scores: tuple[Score, ...]) -> tuple[Score, ...]:
    """Those of the first pictures of each set."""
    names: dict[str, list[str]] = {}
    for score in scores:
        if score.picture not in (found := names.setdefault(score.set, [])):
            found.append(score.picture)
    return tuple(score for score in scores if score.picture in names[score.set][:QUICK])


def _tell(progress: Progress, done: int, total: int, what: str, share: float) -> None:
    progress(what, (done + share) / total)


def _rows(test: Test, results: list[Evaluation]) -> dict[str, Any]:
    """By set and protocol: the means over pictures and seeds, and where wanted the worst one."""
    rows: dict[str, Any] = {}
    columns = dict(zip(("before", "after"), results[0].columns, strict=True))
    for shown, folder in zip(test.sets, results[0].sets, strict=True):
        for protocol in folder.protocols:
            values = {
                (when, metric): [
                    score.value
                    for result in results
                    for score in result.scores
                    if score[:2] == (folder.name, protocol) and score[3:5] == (column, metric)
                ]
                for when, column in columns.items()
                for metric in test.metrics
            }
            row = f"{shown} {protocol if test.called is None else test.called}".strip()
            rows[row] = _row(values, fmean)
            if test.worst:
                rows[f"{row}, the worst"] = _row(values, min)
    return rows


def _row(
    values: dict[tuple[str, str], list[float]], of: Callable[[list[float]], float]
) -> dict[str, dict[str, float | None]]:
    row: dict[str, dict[str, float | None]] = {}
    for (when, metric), found in values.items():
        value = of(found)
        row.setdefault(when, {})[metric] = None if math.isinf(value) else round(value, 4)
    return row


def table(chosen: Model, scores: Scores) -> Table:
    """The scores, and beside the first ones what has to be reached."""
    shown = Table("set", scores["baseline"], chosen.name, "goal", "")
    for row, columns in scores["rows"].items():
        goal = chosen.goals.get(row)
        reached = next(iter(columns["after"].values()))
        verdict = "" if goal is None else "reached" if reached is None or reached >= goal else "no"
        shown.add_row(
            row,
            cell(columns["before"]),
            cell(columns["after"]),
            "" if goal is None else f"{goal:.2f}",
            verdict,
        )
    return shown


def cell(values: dict[str, float | None]) -> str:
    """`37.44 / 0.9586`; a dash for what is infinite."""
    return " / ".join(
        "–" if value is None else f"{value:.4f}" if metric.startswith("ssim") else f"{value:.2f}"
        for metric, value in values.items()
    )


if __name__ == "__main__":
    run_script(main)
