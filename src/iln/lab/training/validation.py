"""How good the averaged weights are by now: whole pictures, each of the task's protocols."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from iln.lab.tasks import Damaged, Pair, Pixels, Task, mean_scores
from iln.lab.tasks.folders import load_pair
from iln.lab.training.sets import PictureSet
from iln.layers.forward_pass import Strips

Triple: TypeAlias = tuple[Damaged, Pixels, Pixels]
"""(input, output, target)."""
Scores: TypeAlias = dict[str, dict[str, float]]
"""Folder and protocol -> metric -> mean over the pictures."""

_STRIP = 64
"""Rows of a strip: they bound the memory and change nothing in the result."""


def validate(
    model: nn.Module, task: Task, chosen: PictureSet, sample: Callable[[str, Triple], None]
) -> Scores:
    """Scores of a model in eval mode, its output clamped and rounded to 8 bits.

    Args:
        sample: is shown the first picture of each protocol, with the protocol's name.
    """
    return {
        name: mean_scores(fixed, partial(_restored, model), pairs, partial(sample, name))
        for name, fixed, pairs in _protocols(task, chosen)
    }


def baselines(task: Task, chosen: PictureSet) -> Scores:
    """The same scores of what a network has to beat: the input, or its bicubic enlargement."""
    return {
        name: mean_scores(fixed, fixed.baseline, pairs)
        for name, fixed, pairs in _protocols(task, chosen)
    }


def to_unit(picture: Tensor) -> Tensor:
    """uint8 as float32 in [0, 1]; floats as they are."""
    return picture.float() / 255 if picture.dtype == torch.uint8 else picture


def _protocols(task: Task, chosen: PictureSet) -> Iterator[tuple[str, Task, Iterator[Pair]]]:
    """Each with its name and its pairs, made one at a time."""
    for name, fixed in task.protocols().items():
        pairs = (load_pair(source, fixed) for source in chosen.sources)
        yield f"{chosen.name} {name}".strip(), fixed, pairs


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
