"""Restoration tasks: how training pairs are made and how a result is scored.

`TASKS` maps the name in a recipe to the class whose fields are the task's parameters.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from iln.errors import InputError, first_complaint, nearest
from iln.lab.tasks.deblur import Deblur
from iln.lab.tasks.denoise import Denoise
from iln.lab.tasks.derain import Derain
from iln.lab.tasks.jpeg import JPEG
from iln.lab.tasks.photo import Photo
from iln.lab.tasks.ranges import Range
from iln.lab.tasks.scratches import Scratches
from iln.lab.tasks.sr import SuperResolution
from iln.lab.tasks.task import Damaged, Metric, Pair, Pixels, Task, generator, mean_scores, to_uint8

TASKS: dict[str, type[Task]] = {
    "sr": SuperResolution,
    "denoise": Denoise,
    "jpeg": JPEG,
    "derain": Derain,
    "deblur": Deblur,
    "photo": Photo,
    "scratches": Scratches,
}

__all__ = [
    "JPEG",
    "TASKS",
    "Damaged",
    "Deblur",
    "Denoise",
    "Derain",
    "Metric",
    "Pair",
    "Photo",
    "Pixels",
    "Range",
    "Scratches",
    "SuperResolution",
    "Task",
    "generator",
    "mean_scores",
    "task",
    "to_uint8",
]


def task(name: str, parameters: Mapping[str, Any]) -> Task:
    """A task by its name, with parameters by theirs, such as `task("sr", {"scale": 4})`.

    Raises:
        InputError: for an unknown name, naming the nearest, and for a value out of range.
    """
    if name not in TASKS:
        raise InputError(f"there is no task {name!r}; {nearest(name, TASKS)}")
    if not isinstance(parameters, Mapping):
        raise InputError(f"parameters are a dict, such as {{'scale': 4}}, not {parameters!r}")
    kind = TASKS[name]
    for key in parameters:
        if key not in kind.model_fields:
            raise InputError(f"task {name} has no {key!r}; {nearest(key, kind.model_fields)}")
    try:
        return kind(**parameters)
    except ValidationError as error:
        raise InputError(f"task {name}: {first_complaint(error)}") from None
