"""One process or many: who they are, and the few things they must agree on.

`torchrun --nproc_per_node=2 -m iln train ...` starts the processes and tells each its place in
environment variables; without them there is one process and nothing here communicates.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch.distributed.fsdp import fully_shard

from iln.backbones import Backbone


@dataclass(frozen=True)
class World:
    """This process's place among `size` ones, `local_rank` on its own machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """The process that writes files and speaks."""
        return self.rank == 0

    def wait(self) -> None:
        """Until all processes have come here."""
        if self.size > 1:
            dist.barrier()

    def any(self, flag: bool) -> bool:
        """Whether it is so in any process; all of them get the same answer."""
        if self.size == 1:
            return flag
        votes = torch.tensor(int(flag))  # on the CPU: a GPU is not made to wait
        dist.all_reduce(votes, dist.ReduceOp.MAX)
        return bool(votes)

    def mean(self, value: float) -> float:
        """The mean over all processes."""
        if self.size == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64)
        dist.all_reduce(total)
        return total.item() / self.size


@contextmanager
def world() -> Iterator[World]:
    """The processes that torchrun started; their connections are closed at the end."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World()
        return
    # Both: tensors on GPUs travel by NCCL, flags and scores on the CPU by Gloo.
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend)
    try:
        here = World(dist.get_rank(), size, int(os.environ.get("LOCAL_RANK", "0")))
        yield here
        here.wait()  # one that leaves early can abort those that are still talking
    finally:
        dist.destroy_process_group()


def shard(model: Backbone) -> None:
    """Spread parameters over all processes, block by block, gathered when a block computes."""
    # Our output is a view of the padded picture; nothing writes into it, which is the worry.
    warnings.filterwarnings("ignore", message=r"FSDP2-wrapped module .* returned a view")
    for block in model.blocks().values():
        fully_shard(block)
    fully_shard(model)
