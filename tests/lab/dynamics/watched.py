"""Networks to look into: small, and none of their branches without something to say."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import iln
from iln.backbones import Backbone

SMALL: dict[str, dict[str, Any]] = {
    "swinir-light-x2": {"embed_dim": 12, "depths": (2, 1), "num_heads": (2, 3), "window": 4},
    "hat-x2": {
        "embed_dim": 12, "depths": (2,), "num_heads": (2,), "window": 4, "squeeze_factor": 4,
    },
    "drct-x2": {"embed_dim": 12, "depths": (2,), "num_heads": (2,), "window": 4, "growth": 4},
}  # fmt: skip


def small(preset: str = "swinir-light-x2", norm: str = "i-ln", **changes: Any) -> Backbone:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = iln.build(preset, norm=norm, **{**SMALL[preset], **changes})
        for name, parameter in model.named_parameters():
            if "conv" not in name and parameter.dim() > 1:
                parameter.data.mul_(6)
    return model


def picture(batch: int = 1, height: int = 13, width: int = 17, seed: int = 1) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


def blown(model: Backbone, power: int = 18) -> Backbone:
    """A SwinIR with LayerNorm, its stream 2^power times larger: as if training had diverged.

    LayerNorm divides the factor away, but for eps, so float32 gives the same picture.
    """
    factor = 2.0**power
    norm = model.get_submodule("patch_embed.norm")
    grown = [norm.weight, norm.bias]
    for block in model.blocks().values():
        for layer in (block.get_submodule("attn.proj"), block.get_submodule("mlp.fc2")):
            grown += [layer.weight, layer.bias]
    grown += [group.get_submodule("conv").bias for group in model.layers]
    with torch.no_grad():
        for parameter in grown:
            parameter.mul_(factor)  # type: ignore[operator]
    return model


def dominated(model: Backbone, channel: int, size: float = 50.0) -> Backbone:
    """One channel of the stream is large from the first block on."""
    block = next(iter(model.blocks().values()))
    with torch.no_grad():
        block.get_submodule("mlp.fc2").bias[channel] = size  # type: ignore[operator, index]
    return model
