"""Take out the blocks that a network's results need least, so that it is faster.

    python zoo/prune.py photo --data DATA/OpenPhotos --blocks 12 -o photo-12.safetensors

Blocks go in pairs, one with windows as they are and the next with shifted ones: each time the pair
without which the results for damaged crops stay nearest to those of the whole network. Every group
keeps one. A line a step says how near that is, and the last one how a training is to name what is
left: `iln train RECIPE init=FILE spec.depths=...` makes good what was lost.
"""

from __future__ import annotations

import argparse
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from distil import crop
from teacher import photographs
from torch import Tensor, nn

import iln
from iln.backbones import Backbone
from iln.backbones.swinir import SwinGroup, SwinIR
from iln.checkpoints.native import describe
from iln.errors import InputError
from iln.lab.training.recipes import recipe
from iln.script import run_script

CROPS = 32
"""How many damaged crops are looked at."""
Pairs = frozenset[tuple[int, int]]
"""(group, number of the pair in it)."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a shipped SwinIR")
    parser.add_argument("--data", type=Path, required=True, help="folder of clean photographs")
    parser.add_argument("--blocks", type=int, required=True, help="how many are to be left")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the weights to write")
    given = parser.parse_args()
    network = iln.load(given.model).eval()
    if not isinstance(network, SwinIR) or any(depth % 2 for depth in network.spec.depths):
        raise InputError(f"{given.model}: only a SwinIR with groups of an even depth is pruned")
    least = 2 * len(network.spec.depths)
    if given.blocks % 2 or not least <= given.blocks < sum(network.spec.depths):
        raise InputError(
            f"--blocks {given.blocks}: must be even, from {least} to {sum(network.spec.depths) - 2}"
        )
    task, files = recipe(given.model).make_task(), photographs(given.data)
    crops = np.stack([crop(task, files, number) for number in range(CROPS)]).transpose(0, 3, 1, 2)
    left = pruned(network, torch.from_numpy(crops / np.float32(255)), given.blocks)
    said = describe(given.model)
    iln.save(left, given.output, task=said["task"], training=said["training"])
    depths = ",".join(map(str, left.spec.depths))
    print(f"init={given.output} 'spec.depths=[{depths}]'")
    return 0


def pruned(network: SwinIR, crops: Tensor, blocks: int) -> SwinIR:
    """A copy with so many blocks left."""
    whole = restored(network, crops)
    depths = network.spec.depths
    kept = frozenset((group, pair) for group, n in enumerate(depths) for pair in range(n // 2))
    while 2 * len(kept) > blocks:
        groups = [group for group, _ in kept]
        tries = {
            kept - {gone}: psnr(restored(without(network, kept - {gone}), crops), whole)
            for gone in sorted(kept)
            if groups.count(gone[0]) > 1
        }
        kept = max(tries, key=lambda pairs: tries[pairs])
        print(f"{2 * len(kept)} blocks: {tries[kept]:.2f} dB from the whole network", flush=True)
    return without(network, kept)


def without(network: SwinIR, kept: Pairs) -> SwinIR:
    """A copy of the network whose groups have only these pairs of blocks."""
    copy, depths = deepcopy(network), []
    for number, group in enumerate(copy.layers):
        assert isinstance(group, SwinGroup)
        blocks = cast(nn.ModuleList, group.residual_group["blocks"])
        left = [blocks[2 * pair + i] for n, pair in sorted(kept) if n == number for i in (0, 1)]
        group.residual_group["blocks"] = nn.ModuleList(left)
        depths.append(len(left))
    copy.spec = replace(copy.spec, depths=tuple(depths))
    return copy


@torch.inference_mode()
def restored(network: Backbone, crops: Tensor) -> Tensor:
    out: Tensor = network(crops)
    return out.clamp(0, 1)


def psnr(ours: Tensor, theirs: Tensor) -> float:
    """Mean over the crops, in dB."""
    errors = (ours - theirs).square().mean((1, 2, 3))
    return float(-10 * errors.clamp_min(1e-10).log10().mean())


if __name__ == "__main__":
    run_script(main)
