"""Watching a training run: every so many steps, one look at all blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from iln.lab.dynamics.measures import BlockMeasures, BlockSums
from iln.lab.dynamics.probe import Probe, backbone_of

Write = Callable[[int, dict[str, BlockMeasures]], None]
"""Told a step and what was measured in it, by block."""


class Observer:
    """Measures the blocks in step 1 and in every `every`-th step, around the optimiser's update.

        loss.backward()
        observer.before_update(step, image)
        optimizer.step()
        observer.after_update()

    The network sees the step's pictures once more, without gradients, so that the step itself is
    left alone: no bit of weights, gradients, random numbers or running averages changes, and it
    may be compiled or recompute its activations. That costs less than half of a step, on the
    steps observed. Stochastic depth draws anew.

    With several processes all of them call it, and what each gets is of all their pictures.

    Args:
        model: a backbone, or a wrapper with one as `module`; parameters may be sharded (FSDP2).
        every: 0 never looks.
        write: told the measures at the end of each step observed.
    """

    def __init__(self, model: nn.Module, every: int, write: Write) -> None:
        self.model, self.every, self.write = backbone_of(model), every, write
        self._seen: tuple[int, dict[str, BlockSums]] | None = None
        self._gradients: dict[str, float] = {}
        self._weights: dict[str, list[Tensor]] = {}

    def due(self, step: int) -> bool:
        """Whether step 1, 2, ... is observed."""
        return self.every > 0 and (step == 1 or step % self.every == 0)

    def before_update(self, step: int, image: Tensor) -> None:
        """After the backward pass of step 1, 2, ..., before gradients are clipped or used.

        Args:
            image: pictures of that step (B, C, H, W), as the network was given them; call it under
                the same autocast.
        """
        if not self.due(step):
            return
        device = [image.device] if image.device.type == "cuda" else []
        with torch.no_grad(), torch.random.fork_rng(devices=device), Probe(self.model) as probe:
            self.model(image)
        if isinstance(self.model, FSDPModule):
            self.model.reshard()  # else the next forward pass would find the old weights
        self._seen = step, _of_all_processes(probe.sums)
        for name, block in self.model.blocks().items():
            gradients = (p.grad for p in block.parameters() if p.grad is not None)
            self._gradients[name] = norm_of(gradients)
            self._weights[name] = [p.detach().clone() for p in block.parameters()]

    def after_update(self) -> None:
        """After the optimiser's step, also where it was skipped; writes if the step is due."""
        if self._seen is None:
            return
        step, sums = self._seen
        found = {}
        for name, block in self.model.blocks().items():
            before = self._weights.pop(name)
            changes = (p.detach() - w for p, w in zip(block.parameters(), before, strict=True))
            change, size = norm_of(changes), norm_of(before)
            ratio = change / size if size else float("nan")
            found[name] = sums[name].measures(self._gradients.pop(name), ratio)
        self._seen = None
        self.write(step, found)


def as_json(measures: dict[str, BlockMeasures]) -> dict[str, dict[str, float | None]]:
    """What a log keeps of a step: numbers by block and measure."""
    return {name: block.as_json() for name, block in measures.items()}


def scalars(measures: dict[str, BlockMeasures]) -> dict[str, float]:
    """The same as points on curves, called `dynamics/MEASURE/BLOCK`; without what is undefined."""
    return {
        f"dynamics/{measure}/{name}": value
        for name, block in measures.items()
        for measure, value in block.as_json().items()
        if value is not None and measure not in ("tokens", "channels")
    }


@torch.no_grad()
def norm_of(tensors: Iterable[Tensor]) -> float:
    """Euclidean norm of all of them together, in float64; of the whole, where they are sharded."""
    norms, sharded = [], False
    for tensor in tensors:
        sharded |= isinstance(tensor, DTensor)
        mine = tensor.to_local() if isinstance(tensor, DTensor) else tensor
        wide = torch.float32 if mine.device.type == "mps" else torch.float64
        norms.append(torch.linalg.vector_norm(mine, dtype=wide))
    found = torch.stack(norms).tolist() if norms else []  # waits for a GPU once
    total = sum(norm * norm for norm in found)
    if sharded:
        sum_of_all = torch.tensor(total, dtype=torch.float64)
        dist.all_reduce(sum_of_all)
        total = sum_of_all.item()
    return float(total**0.5)


def _of_all_processes(sums: dict[str, BlockSums]) -> dict[str, BlockSums]:
    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        return sums
    every: list[dict[str, BlockSums]] = [{} for _ in range(dist.get_world_size())]
    dist.all_gather_object(every, sums)
    total = every[0]
    for other in every[1:]:
        total = {name: total[name].join(other[name]) for name in total}
    return total
