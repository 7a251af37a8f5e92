"""What an evaluation found, and under which conditions."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from iln.lab.tasks import Task


class Score(NamedTuple):
    """One number. PSNR is infinite where a result equals its target in every pixel."""

    set: str
    protocol: str
    picture: str
    model: str
    metric: str
    value: float


class Group(NamedTuple):
    """What a mean is over: all pictures of a set, damaged in one way, restored by one model."""

    set: str
    protocol: str
    model: str
    metric: str


@dataclass(frozen=True)
class Tested:
    """A model, and the file that it was."""

    name: str
    file: Path
    sha256: str
    backbone: str
    spec: dict[str, Any]
    device: str
    precision: str


@dataclass(frozen=True)
class TestedSet:
    """A folder.

    Attributes:
        protocols: how its pictures were damaged, by name; pairs have one, `pairs`.
    """

    name: str
    folder: Path
    pictures: int
    protocols: dict[str, Task]


@dataclass(frozen=True)
class Evaluation:
    """All scores of all models, and all that decided them."""

    task_name: str
    task: Task
    metrics: dict[str, str]
    """The exact definition of each metric, by its name."""
    baseline: str
    """What the scores of nothing are called: `input`, or `bicubic` where pictures get larger."""
    models: tuple[Tested, ...]
    sets: tuple[TestedSet, ...]
    scores: tuple[Score, ...]
    seed: int
    date: str
    """When it was done, ISO 8601, UTC."""

    @property
    def columns(self) -> list[str]:
        """The baseline, then the models."""
        return [self.baseline, *(model.name for model in self.models)]

    @property
    def device(self) -> str:
        return ", ".join(sorted({model.device for model in self.models}))

    @property
    def precision(self) -> str:
        return ", ".join(sorted({model.precision for model in self.models}))

    def means(self) -> dict[Group, float]:
        """Over the pictures of each set, in the order of the scores; inf if one of them is."""
        values: dict[Group, list[float]] = {}
        for score in self.scores:
            group = Group(score.set, score.protocol, score.model, score.metric)
            values.setdefault(group, []).append(score.value)
        return {group: math.fsum(found) / len(found) for group, found in values.items()}
