"""Locate the first NaN or infinity of a failed training step."""

import torch
from torch import Tensor

from iln.backbones import Backbone
from iln.lab.training.distributed import World
from iln.lab.training.gradients import local
from iln.layers.nonfinite import FiniteWatch


def culprit(model: Backbone, image: Tensor, here: World) -> str:
    """The first thing in a step over `image` that is not finite, in words.

    Looks at the parameters, the input, the output of everything that computes, from the first
    convolution over each Transformer block to the last one, and at the gradients, which the
    backward pass meets from the end. All processes call it; each answers for its own pictures.
    """
    bad_parameters = [name for name, p in model.named_parameters() if not _finite(p)]
    bad_gradients = [n for n, p in model.named_parameters() if not _finite(p.grad)]
    eager = torch.compiler.set_stance("force_eager")  # else no hook is called
    with FiniteWatch(model.stages()) as watch, torch.no_grad(), eager:
        whole = model(image)  # in every process, also where it is not needed: FSDP gathers
    if bad_parameters:
        return f"the parameter {bad_parameters[0]}"
    if not _finite(image):
        return "a training picture"
    if place := watch.first():
        return f"the output of {place}"
    if not _finite(whole):
        return "the output of the upsampler"
    if bad_gradients:
        return f"the gradient of {bad_gradients[-1]}"
    return "in another process" if here.size > 1 else "the sum of the gradient's squares"


def _finite(x: Tensor | None) -> bool:
    return x is None or bool(torch.isfinite(local(x)).all())
