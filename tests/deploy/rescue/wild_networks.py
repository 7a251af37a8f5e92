"""Networks whose streams grew, as if training had diverged; and what float16 makes of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import iln
from iln.backbones import Backbone
from iln.backbones.residual_stream import divide_stream

SMALL: dict[str, dict[str, Any]] = {
    "swinir-light-x2": {"depths": (2, 1), "num_heads": (2, 3)},
    "swinir-light-x4": {"depths": (2, 1), "num_heads": (2, 3), "resi_connection": "3conv"},
    "hat-x2": {
        "depths": (2, 1), "num_heads": (2, 2), "squeeze_factor": 4, "conv_scale": 0.5,
    },
    "drct-x2": {"depths": (1, 1), "num_heads": (2, 2), "growth": 4},
}  # fmt: skip


def network(preset: str = "swinir-light-x2", norm: str = "ln", **changes: Any) -> Backbone:
    """Small, in eval mode, none of its parameters as they started."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sizes = {"embed_dim": 12, "window": 4, **SMALL[preset]}
        model = iln.build(preset, norm=norm, **{**sizes, **changes}).eval()
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                if tensor.dim() > 1 and "conv" not in name:
                    tensor.mul_(4)
                tensor.add_(0.05 * torch.rand(tensor.shape))
    return model


def wild(model: Backbone, *powers: int) -> Backbone:
    """The stream 2^power times as large, in every group or group by group; the same function but
    for eps."""
    groups = len(model.layers)
    totals = powers if len(powers) == groups else powers * groups
    divide_stream(model, [-power for power in totals])
    return model


def picture(height: int = 24, width: int = 20, seed: int = 1) -> Tensor:
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    waves = torch.stack([torch.sin(x / 3), torch.cos(y / 4), torch.sin((x + y) / 5)])
    grain = torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))
    return (0.5 + 0.3 * waves + 0.2 * (grain - 0.5))[None]


@torch.no_grad()
def psnr16(model: Backbone, image: Tensor, reference: Tensor) -> float:
    """float16 against a float32 output; what is not finite counts as black."""
    import copy

    output = copy.deepcopy(model).half()(image).float().nan_to_num(0, 0, 0).clamp(0, 1)
    error = (output - reference.clamp(0, 1)).square().mean()
    return float(-10 * error.log10())
