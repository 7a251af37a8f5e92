"""What happens to gradients and weights around an optimiser's step, in one process or many."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel


@torch.no_grad()
def average_weights(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """average <- d average + (1 - d) model after step 1, 2, ..., for parameters and buffers.

    d is min(decay, (1 + step) / (10 + step)), so that a young average does not drag the random
    start along. What has no fraction (counters, index tables) is copied.
    """
    weight = 1 - min(decay, (1 + step) / (10 + step))
    olds, news = [], []
    for old, new in zip(_tensors(average), _tensors(model), strict=True):
        if old.is_floating_point():
            olds.append(local(old))
            news.append(local(new))
        else:
            old.copy_(new)
    torch._foreach_lerp_(olds, news, weight)


def _tensors(module: nn.Module) -> Iterator[torch.Tensor]:
    """Parameters and buffers, in the same order for modules that are built alike."""
    yield from module.parameters()
    yield from module.buffers()


@contextmanager
def synchronised(network: nn.Module, sharded: bool, last: bool) -> Iterator[None]:
    """Gradients are exchanged between processes once a step, in its last part."""
    if sharded:
        assert isinstance(network, FSDPModule)
        network.set_requires_gradient_sync(last)
    if isinstance(network, DistributedDataParallel) and not last:
        with network.no_sync():
            yield
    else:
        yield


def gradient_norm(model: nn.Module) -> float:
    """Euclidean norm of the whole gradient; not finite if any of it is not."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    norm: torch.Tensor = nn.utils.get_total_norm(gradients)
    if isinstance(norm, DTensor):
        norm = norm.full_tensor()
    return float(norm)


def scale_gradient(model: nn.Module, factor: float) -> None:
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad.mul_(factor)


def local(tensor: torch.Tensor) -> torch.Tensor:
    """This process's share of a tensor that is spread over several."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
