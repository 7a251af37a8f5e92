"""Watching a network from inside: `with Probe(model) as probe: model(image)`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from iln.backbones import Backbone
from iln.errors import InputError
from iln.lab.dynamics.central import Central
from iln.lab.dynamics.measures import BlockMeasures, BlockSums, MapSums
from iln.layers.hooks import Hooks
from iln.norm import LNStar, Norm, Statistics


class Probe(Hooks):
    """Measures the output of every Transformer block of what is computed inside `with`.

        with Probe(model) as probe:
            model(image)
        probe.measures["layers.0.residual_group.blocks.0"].mean_square

    Works in training and inference, under autocast, with the whole map or strips, and changes no
    bit of what is computed. Several forward passes count as one over all their pictures; the
    padding to whole windows is part of a map, as it is for the norms. A compiled network runs
    uncompiled meanwhile, since compiled code calls no hooks. One thread at a time.

    Args:
        model: a backbone, or a wrapper such as DistributedDataParallel with one as `module`.

    Raises:
        InputError: for any other network.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = backbone_of(model)
        self.sums: dict[str, BlockSums] = {}
        """By block, in the order in which they compute."""
        self._sigmas: dict[str, Central] | None = None  # of the block that is computing

    @property
    def measures(self) -> dict[str, BlockMeasures]:
        """By block, in the order in which they compute; empty before the first forward pass."""
        return {name: sums.measures() for name, sums in self.sums.items()}

    @property
    def energies(self) -> dict[str, Tensor]:
        """Each block's mean energy per channel, E_l[x_c^2]: (C,) float64 on the CPU."""
        return {name: sums.maps.energy for name, sums in self.sums.items()}

    def attach(self, undo: ExitStack) -> None:
        if is_compiled(self.model):
            # Stances belong to a part of PyTorch that takes seconds to import.
            undo.enter_context(torch.compiler.set_stance("force_eager"))
        for name, block in self.model.blocks().items():
            for which in ("norm1", "norm2"):
                norm = getattr(block, which)
                if isinstance(norm, LNStar):
                    undo.callback(_tell_statistics(norm, partial(self._statistics, which)))
            undo.callback(block.register_forward_pre_hook(self._before).remove)
            after = partial(self._after, name)
            undo.callback(block.register_forward_hook(after).remove)

    def _before(self, block: nn.Module, inputs: Any) -> None:
        self._sigmas = {}

    def _statistics(self, which: str, stats: Statistics | None) -> None:
        # Outside of a block's forward it is gradient checkpointing that asks a second time.
        if self._sigmas is not None and stats is not None:
            sigma = stats.sigma.detach().flatten().to("cpu", torch.float64)
            self._sigmas[which] = Central.of(sigma[torch.isfinite(sigma)])

    def _after(self, name: str, block: nn.Module, inputs: Any, output: Tensor) -> None:
        sigmas, self._sigmas = self._sigmas or {}, None
        with torch.no_grad(), torch.autocast(output.device.type, enabled=False):
            maps = MapSums.of(output)
        sums = BlockSums(maps, sigmas.get("norm1", Central()), sigmas.get("norm2", Central()))
        self.sums[name] = self.sums[name].join(sums) if name in self.sums else sums


def is_compiled(model: nn.Module) -> bool:
    """Whether any of it runs compiled, and so calls no hooks."""
    return any(module._compiled_call_impl is not None for module in model.modules())


def backbone_of(model: nn.Module) -> Backbone:
    """The backbone itself, out of a wrapper that has it as `module`. Raises InputError."""
    inner = getattr(model, "module", model)
    if not isinstance(inner, Backbone):
        raise InputError(
            f"{type(model).__name__} is none of our backbones, nor a wrapper around one"
        )
    return inner


def _tell_statistics(norm: Norm, tell: Callable[[Statistics | None], None]) -> Callable[[], None]:
    """Have `tell` hear all statistics of a norm, which blocks ask for by method, past all hooks.

    Returns:
        What undoes it.
    """
    statistics, residual = norm.statistics, norm.residual
    own = vars(norm)  # an attribute of the module itself goes before its class's method

    def told_statistics(x: Tensor) -> Statistics | None:
        stats = statistics(x)
        tell(stats)
        return stats

    def told_residual(x: Tensor, branch: Callable[[Tensor], Tensor]) -> Tensor:
        if torch.is_grad_enabled():  # its own backward takes statistics elsewhere
            with torch.no_grad():
                tell(statistics(x))
        return residual(x, branch)

    own["statistics"] = told_statistics
    if type(norm).residual is not Norm.residual:
        own["residual"] = told_residual
    return cast(Callable[[], None], lambda: [own.pop(n, None) for n in ("statistics", "residual")])
