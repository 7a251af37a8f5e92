"""How good the averaged weights are by now: whole pictures, each of the task's protocols."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from iln.lab.tasks import Damaged, Pair, Pixels, Task, mean_scores
from iln.lab.tasks.folders import load_pair
from iln.lab.training.progress import Progress, unheard
from iln.lab.training.sets import PictureSet
from iln.layers.forward_pass import Strips

Triple: TypeAlias = tuple[Damaged, Pixels, Pixels]
"""(input, output, target)."""
Scores: TypeAlias = dict[str, dict[str, float]]
"""Folder and protocol -> metric -> mean over the pictures."""

EXACT = 100.0
"""Decibels that count for a picture that comes back exactly, whose PSNR is infinite: one of a set
must not decide alone which weights are best."""
_STRIP = 64
"""Rows of a strip: they bound the memory and change nothing in the result."""


def validate(
    model: nn.Module,
    task: Task,
    chosen: PictureSet,
    sample: Callable[[str, Triple], None],
    progress: Progress = unheard,
) -> Scores:
    """Scores of a model in eval mode, its output clamped and rounded to 8 bits; no picture's is
    above `EXACT`.

    Args:
        sample: is shown the first picture of each protocol, with the protocol's name.
    """
    tell = partial(progress, f"validating: {chosen.name}")
    return {
        name: mean_scores(fixed, partial(_restored, model), pairs, partial(sample, name), EXACT)
        for name, fixed, pairs in _protocols(task, chosen, tell)
    }


def baselines(task: Task, chosen: PictureSet, progress: Progress = unheard) -> Scores:
    """The same scores of what a network has to beat: the input, or its bicubic enlargement."""
    tell = partial(progress, f"scoring the input, which is to be beaten: {chosen.name}")
    return {
        name: mean_scores(fixed, fixed.baseline, pairs, most=EXACT)
        for name, fixed, pairs in _protocols(task, chosen, tell)
    }


def to_unit(picture: Tensor) -> Tensor:
    """uint8 as float32 in [0, 1]; floats as they are."""
    return picture.float() / 255 if picture.dtype == torch.uint8 else picture


def _protocols(
    task: Task, chosen: PictureSet, tell: Callable[[int, int], None]
) -> Iterator[tuple[str, Task, Iterator[Pair]]]:
    """Each with its name and its pairs, made one at a time, of which `tell` hears."""
    pairs_are_there = chosen.sources[0].input is not None
    protocols = {"": task} if pairs_are_there else task.protocols()
    total = len(protocols) * len(chosen.sources)
    numbers = count()

    def pairs(fixed: Task) -> Iterator[Pair]:
        for source in chosen.sources:
            tell(next(numbers), total)
            yield load_pair(source, fixed)

    for name, fixed in protocols.items():
        yield f"{chosen.name} {name}".strip(), fixed, pairs(fixed)
    tell(total, total)


def _restored(model: nn.Module, damaged: Damaged) -> Pixels:
    parameter = next(model.parameters())
    image = torch.from_numpy(np.array(damaged)).permute(2, 0, 1)[None]
    with torch.no_grad():
        image = to_unit(image.to(parameter.device))
        if parameter.dtype == torch.float64:  # narrower networks want float32 pixels
            image = image.double()
        output = model(image, Strips(_STRIP))[0].float().clamp(0, 1)
    rounded = (output * 255).round().to(torch.uint8).permute(1, 2, 0)
    pixels: Pixels = rounded.contiguous().cpu().numpy()
    return pixels
