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
