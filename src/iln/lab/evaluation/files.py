"""An evaluation as CSV, one number a line, and as JSON, with all that decided the numbers."""

import csv
import json
import math
import os
import platform
from typing import Any

import numpy as np
import PIL
import torch

from iln import __version__
from iln.atomic import atomic_write, printable
from iln.lab.evaluation.result import Evaluation, TestedSet

FORMAT = 1
COLUMNS = ("row", "set", "protocol", "picture", "model", "metric", "value")
INFINITY = "Infinity"
"""Of PSNR, as text: JSON has no such number. Python's float and JavaScript's Number read it."""


def write_csv(result: Evaluation, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Rows `picture` with each number, then rows `mean`, whose picture is empty."""
    with (
        atomic_write(path, overwrite) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        rows.writerows(("picture", *score) for score in result.scores)
        for (folder, protocol, model, metric), mean in result.means().items():
            rows.writerow(("mean", folder, protocol, "", model, metric, mean))


def write_json(
    result: Evaluation, path: str | os.PathLike[str], *, overwrite: bool = False
) -> None:
    """What `as_json` makes of it."""
    text = json.dumps(as_json(result), indent=1, allow_nan=False) + "\n"
    with atomic_write(path, overwrite) as temporary:
        temporary.write_text(text, "utf-8")


def as_json(result: Evaluation) -> dict[str, Any]:
    """Everything, of types that JSON has; an infinite number is the text `Infinity`."""
    return {
        "format": FORMAT,
        "date": result.date,
        "versions": {
            "iln": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "pillow": PIL.__version__,
        },
        "task": {"name": result.task_name, "parameters": result.task.model_dump(mode="json")},
        "seed": result.seed,
        "precision": result.precision,
        "metrics": result.metrics,
        "baseline": result.baseline,
        "models": [
            {**vars(model), "file": printable(model.file.absolute())} for model in result.models
        ],
        "sets": [_set(found) for found in result.sets],
        "means": [
            {**group._asdict(), "value": _number(mean)} for group, mean in result.means().items()
        ],
        "pictures": [{**score._asdict(), "value": _number(score.value)} for score in result.scores],
    }


def _set(found: TestedSet) -> dict[str, Any]:
    protocols = {name: task.model_dump(mode="json") for name, task in found.protocols.items()}
    return {**vars(found), "folder": printable(found.folder.absolute()), "protocols": protocols}


def _number(value: float) -> float | str:
    return INFINITY if math.isinf(value) else value
