"""From finished runs to the numbers of a page, and when one of two arms counts as better."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Literal

import numpy as np

from iln.lab.paper.scale import Scale
from iln.lab.paper.store import Run, Store
from iln.lab.training import Recipe

GROWTH = 2.0
"""Features count as growing if their mean square more than doubles over the last three quarters
of a run, in its largest block."""


def seeds(scale: Scale, store: Store, norm: str) -> list[Run]:
    """The runs of the scale's plain recipe with a norm, one a seed."""
    return [store[recipe] for recipe in plain(scale, norm)]


def plain(scale: Scale, *norms: str) -> list[Recipe]:
    """Super-resolution with the scale's first backbone: some norms, every seed."""
    return [scale.recipe(norm, seed=seed) for norm in norms for seed in scale.seeds]


def last(run: Run, measure: str, block: Literal["max", "min"] = "max") -> float:
    """A measure at the last step looked at: of the block where it is largest or smallest."""
    return over_blocks(run, measure, block)[-1]


def over_blocks(run: Run, measure: str, block: Literal["max", "min"]) -> list[float]:
    """The same at every step looked at."""
    values = run.history.values[measure]
    reduced = np.nanmax(values, 1) if block == "max" else np.nanmin(values, 1)
    return [float(value) for value in reduced]


def growth(run: Run) -> float:
    """Largest mean square at the end, over that after a quarter of the run; inf if it failed."""
    if run.failure is not None:
        return math.inf
    sizes = over_blocks(run, "mean_square", "max")
    steps = run.history.steps
    quarter = int(np.searchsorted(steps, steps[-1] / 4))
    return sizes[-1] / sizes[quarter]


def score(run: Run, test_set: str) -> float:
    """The task's first metric on a test set; NaN if the run failed."""
    for name, found in run.scores.items():
        if name == test_set or name.startswith(f"{test_set} "):
            return next(iter(found.values()))
    return math.nan


def test_sets(run: Recipe) -> list[str]:
    """Names of the folders a recipe is scored on."""
    return [folder.name for folder in run.validation]


def show(values: Sequence[float], digits: int | None = 2) -> str:
    """`mean ± standard deviation`; digits after the point, or None for three that count."""
    good = [value for value in values if math.isfinite(value)]
    if not good:
        return "–"
    mean = statistics.fmean(good)
    spread = statistics.stdev(good) if len(good) > 1 else 0.0
    form = ".3g" if digits is None else f".{digits}f"
    text = f"{mean:{form}}" + (f" ± {spread:{'.2g' if digits is None else form}}" if spread else "")
    failed = len(values) - len(good)
    return text + (f" ({failed} of {len(values)} failed)" if failed else "")


def all_above(ones: Sequence[float], others: Sequence[float]) -> bool | None:
    """Whether one arm lies above the other: every seed of it above every seed of the other.

    With three seeds each that happens by chance, if the arms are alike, once in twenty times.
    False if it is the other way round; None if they overlap, so that nothing can be claimed.
    """
    if not ones or not others or not all(map(math.isfinite, [*ones, *others])):
        return None
    if min(ones) > max(others):
        return True
    return False if max(ones) < min(others) else None
