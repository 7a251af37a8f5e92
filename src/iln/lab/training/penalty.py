"""A penalty on large features: the remedy that the paper holds against i-LN (its Table 8)."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from iln.backbones import Backbone
from iln.kernels.moments import moments


def gaussian_divergence(x: Tensor) -> Tensor:
    """KL(N(mu, sigma^2) || N(0, 1)) of each picture's map x (B, H, W, C), in nats; their mean.

        1/2 (mu^2 + sigma^2 - 1 - ln sigma^2),   mu = E_{l,c}[x],  sigma^2 = Var_{l,c}[x]

    0 only for features of mean 0 and variance 1. The paper names a KLD penalty and gives no
    formula; this is the usual one, over the same set of values as i-LN's statistics.
    """
    mean, variance = moments(x, (1, 2, 3))
    spread = variance.clamp(min=torch.finfo(variance.dtype).tiny)
    return (0.5 * (mean.square() + variance - 1 - spread.log())).mean()


@contextmanager
def divergences(model: Backbone, wanted: bool) -> Iterator[Callable[[], Tensor | float]]:
    """What it yields tells the mean of `gaussian_divergence` over the blocks' outputs so far.

    0 where it is not wanted. Only eager networks can be watched: compiled code calls no hooks.
    """
    if not wanted:
        yield lambda: 0.0
        return
    found: list[Tensor] = []

    def watch(block: nn.Module, inputs: Any, output: Tensor) -> None:
        found.append(gaussian_divergence(output))

    with ExitStack() as undo:
        for block in model.blocks().values():
            undo.callback(block.register_forward_hook(watch).remove)
        yield lambda: torch.stack(found).mean()
