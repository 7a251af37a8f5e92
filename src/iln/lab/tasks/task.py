"""What every task has: how pictures are damaged for training, and how a result is scored."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, ClassVar, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from iln.errors import InputError
from iln.images import LUMA, resize
from iln.lab.tasks.ranges import Range

Pixels: TypeAlias = npt.NDArray[np.uint8]
"""(H, W, C), C the task's channels; 0 to 255."""
Damaged: TypeAlias = npt.NDArray[np.uint8] | npt.NDArray[np.float32]
"""What a network is given: (H, W, C), uint8, or float32 in about [0, 1] where it is not rounded."""
Pair: TypeAlias = tuple[Damaged, Pixels]
"""(input, target)."""


class Metric(NamedTuple):
    """One number for a result: what it is, exactly, and (output, target) -> number."""

    definition: str
    function: Callable[[Pixels, Pixels], float]


class Task(BaseModel, ABC):
    """A way to damage pictures, with its parameters, and the numbers that say how well they heal.

    Everything is a pure function of (picture, parameters, generator): the same generator state
    gives the same damage. Generators are NumPy's, made by `generator`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    scale: Annotated[int, Field(ge=1, le=8)] = 1
    """Output pixels per input pixel and side."""

    margin: ClassVar[int] = 0
    """Pixels of the target around a training crop that its damage depends on."""
    whole: ClassVar[bool] = False
    """Pictures are damaged once, as a whole, and the crops cut from that."""
    tested: ClassVar[tuple[str, Mapping[str, float]] | None] = None
    """A field with a range, and by name those of its values that models are tested on."""

    @property
    def channels(self) -> int:
        """Of input and target: 3, or 1 for gray."""
        return 3

    @abstractmethod
    def degrade(self, target: Pixels, rng: np.random.Generator) -> Damaged:
        """(scale h, scale w, C) -> the damaged picture (h, w, C)."""

    @abstractmethod
    def metrics(self) -> dict[str, Metric]:
        """The scores by name; the first one decides which weights are the best."""

    def protocols(self) -> dict[str, Task]:
        """What a model is tested on, by name: this task with its ranges fixed to single values.

        Of the values in `tested` those that lie in the range; else its middle, under no name.
        """
        if self.tested is None:
            return {"": self}
        key, values = self.tested
        fixed: dict[str, Range] = getattr(self, key).fixed(values)
        return {name: self.model_copy(update={key: value}) for name, value in fixed.items()}

    def baseline(self, damaged: Damaged) -> Pixels:
        """What a network has to beat: the input, enlarged by MATLAB's bicubic if the size grows."""
        return resize(to_uint8(damaged), self.scale)

    def colours(self, picture: Pixels) -> Pixels:
        """(H, W, 3) -> (H, W, C): a gray task sees the full-range luma of BT.601, rounded."""
        return picture if self.channels == 3 else luma(picture)

    def target(self, picture: Pixels) -> Pixels:
        """The clean picture (H, W, 3) as this task has it: without what `scale` leaves over."""
        height, width = (side - side % self.scale for side in picture.shape[:2])
        return np.ascontiguousarray(self.colours(picture)[:height, :width])

    def pair(self, picture: Pixels, rng: np.random.Generator) -> Pair:
        """Input and target of a whole picture (H, W, 3)."""
        target = self.target(picture)
        return self.degrade(target, rng), target

    def training_pair(self, crop: Pixels, rng: np.random.Generator) -> Pair:
        """Input and target of a crop with `margin` more pixels on each side, cut off at the end.

        `margin` is a multiple of `scale`.
        """
        damaged, inner = self.degrade(crop, rng), self.margin // self.scale
        cut = slice(inner, damaged.shape[0] - inner), slice(inner, damaged.shape[1] - inner)
        margin = self.margin
        side = slice(margin, crop.shape[0] - margin), slice(margin, crop.shape[1] - margin)
        return damaged[cut], crop[side]

    def shifted_pair(self, crop: Pixels, rng: np.random.Generator, unit: int) -> Pair:
        """As `training_pair`, but the damage's grid, such as that of JPEG's blocks, begins anywhere
        in the input's first `unit` pixels, as in a crop of a picture.

        `unit` times `scale` is at most `margin`.
        """
        scale, margin = self.scale, self.margin
        y, x = rng.integers(unit, size=2)
        damaged = self.degrade(crop[scale * y :, scale * x :], rng)
        target = crop[margin : crop.shape[0] - margin, margin : crop.shape[1] - margin]
        top, left = margin // scale - y, margin // scale - x
        height, width = (side // scale for side in target.shape[:2])
        return damaged[top : top + height, left : left + width], target

    def score(self, output: Pixels, target: Pixels) -> dict[str, float]:
        """All metrics of one result."""
        return {name: metric.function(output, target) for name, metric in self.metrics().items()}


def luma(picture: Pixels) -> Pixels:
    """(H, W, 3) -> (H, W, 1): full-range luma of BT.601, rounded."""
    values = picture.astype(np.float64) @ np.array(LUMA)
    gray: Pixels = np.rint(values).astype(np.uint8)[..., None]
    return gray


def generator(*words: int) -> np.random.Generator:
    """NumPy's Philox seeded by whole numbers >= 0, such as (seed, step, sample).

    Raises:
        InputError: for a number below 0.
    """
    if min(words, default=0) < 0:
        raise InputError(f"seed {min(words)}: must be a whole number from 0 on")
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(words)))


def to_uint8(picture: Damaged) -> Pixels:
    """Clamped and rounded to 8 bits, halves to even."""
    if picture.dtype == np.uint8:
        return picture.astype(np.uint8, copy=False)
    rounded: Pixels = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    return rounded


def mean_scores(
    task: Task,
    restore: Callable[[Damaged], Pixels],
    pairs: Iterable[Pair],
    sample: Callable[[tuple[Damaged, Pixels, Pixels]], None] = lambda triple: None,
    most: float = math.inf,
) -> dict[str, float]:
    """Each metric's mean over pictures, of what `restore` makes of the inputs.

    Args:
        sample: is shown the first picture's (input, output, target).
        most: what a picture's score counts for at most.
    """
    scores: list[dict[str, float]] = []
    for damaged, target in pairs:
        output = restore(damaged)
        if not scores:
            sample((damaged, output, target))
        scores.append(task.score(output, target))
    return {name: sum(min(s[name], most) for s in scores) / len(scores) for name in scores[0]}
