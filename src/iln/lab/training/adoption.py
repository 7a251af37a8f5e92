"""The start of an i-LN network from a LayerNorm one: nearly the same function, before any training.

LayerNorm gives a branch f  u = g (x - mu_l) / sigma_l + b,  each pixel l by its own mean and
deviation. i-LN gives it  v = gamma (x - m) / s + beta,  with one mean m and one deviation s for
the whole map, and multiplies what f makes of it by s. In the order in which the network computes,
on a few pictures:

    gamma, beta                       least squares of u on (x - m) / s, channel by channel
    weights and biases that end f     divided by the mean of s over the pictures, so that after
                                      the multiplication f adds to the stream what it added before

u is from the LayerNorm network, x from the i-LN network, whose earlier blocks are set already: so
later ones make good what these left. Outside of branches, i-LN has v = gamma x + beta: least
squares of u on x. Last, if the features have grown, the whole stream is divided by the power of two
that brings s near 1, which changes nothing else (`iln.backbones.residual_stream`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor

from iln.backbones import Backbone
from iln.backbones.residual_stream import divide_stream
from iln.errors import InputError
from iln.norm import Norm, Statistics

CROPS = 16
"""So many are looked at."""

Tell = Callable[[str, Norm, Tensor, Statistics | None], None]


@torch.no_grad()
def follow(source: Backbone, model: Backbone, image: Tensor) -> None:
    """Make an i-LN network compute nearly what a LayerNorm network does, in place.

    Args:
        source: the LayerNorm network, in eval mode.
        model: the i-LN network, with the parameters of `source`, as `iln.convert` gives it.
        image: (B, C, H, W) in [0, 1], of the kind that both are for.

    Raises:
        InputError: if what `source` gives is not finite.
    """
    wanted: dict[str, Tensor] = {}
    sigmas: dict[str, float] = {}

    def remember(name: str, norm: Norm, x: Tensor, stats: Statistics | None) -> None:
        wanted[name] = norm.normalize(x, stats)

    def fit(name: str, norm: Norm, x: Tensor, stats: Statistics | None) -> None:
        if stats is not None:
            x, sigmas[name] = (x - stats.mean) / stats.sigma, stats.sigma.mean().item()
            _divide_branch(model, name, sigmas[name])
        gain, shift = _line(x, wanted.pop(name))
        norm.get_parameter("gamma").copy_(gain)
        norm.get_parameter("beta").copy_(shift)

    learns = model.training
    with _hearing(source, remember):
        output = source(image)
    if not bool(torch.isfinite(output).all()):
        raise InputError("the LayerNorm network gives numbers that are not finite")
    with _hearing(model.eval(), fit):
        model(image)
    model.train(learns)
    typical = sum(map(math.log2, sigmas.values())) / len(sigmas)
    divide_stream(model, [round(typical)] * len(model.layers))


@contextmanager
def _hearing(model: Backbone, tell: Tell) -> Iterator[None]:
    """`tell` hears of every norm before it is used: its name, what it is given, the statistics."""
    norms = {name: module for name, module in model.named_modules() if isinstance(module, Norm)}

    def telling(name: str, norm: Norm) -> Callable[[Tensor], Statistics | None]:
        def statistics(x: Tensor) -> Statistics | None:
            stats = type(norm).statistics(norm, x)
            tell(name, norm, x, stats)
            return stats

        return statistics

    try:
        for name, norm in norms.items():
            # Networks ask by method, past all hooks; an attribute goes before its class's method.
            vars(norm)["statistics"] = telling(name, norm)
        yield
    finally:
        for norm in norms.values():
            vars(norm).pop("statistics", None)


def _divide_branch(model: Backbone, norm: str, sigma: float) -> None:
    """The output of the branch that reads a norm of a block, by a number."""
    block, _, which = norm.rpartition(".")
    module = model.get_submodule(block)
    for name, power in cast(Mapping[str, int], module.branch_powers).items():
        if name.startswith("mlp.") == (which == "norm2"):
            module.get_parameter(name).mul_(sigma**power)


def _line(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Gain and shift (C,) with the least squares of gain x + shift - y, maps (B, H, W, C)."""
    device, dtype = x.device, x.dtype
    x, y = (maps.flatten(0, 2).cpu().double() for maps in (x, y))  # Metal has no float64
    x_mean, y_mean = x.mean(0), y.mean(0)
    x, y = x - x_mean, y - y_mean
    gain = (x * y).sum(0) / x.square().sum(0).clamp(min=torch.finfo(x.dtype).tiny)
    return gain.to(device, dtype), (y_mean - gain * x_mean).to(device, dtype)
