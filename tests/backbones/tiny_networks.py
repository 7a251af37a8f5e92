"""Networks small enough to run in milliseconds, none of whose parameters are as they started."""

from __future__ import annotations

import copy
import functools
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from iln.backbones import Backbone, DRCTSpec, HATSpec, Spec, SwinIRSpec, from_spec
from iln.norm import NORMS

_SMALL: dict[str, Any] = {
    "scale": 2, "embed_dim": 12, "depths": (2,), "num_heads": (2,), "window": 4
}  # fmt: skip
TINY: dict[str, Spec] = {
    "swinir": SwinIRSpec(**{**_SMALL, "depths": (2, 1), "num_heads": (2, 3)}),
    "hat": HATSpec(**_SMALL, compress_ratio=3, squeeze_factor=4, conv_scale=0.5),
    "drct": DRCTSpec(**_SMALL, growth=4),
}

_RANGES = {"weight": 0.2, "gamma": 0.2, "scale": 0.5, "alpha": 0.7}
"""How far the parameters of norms are moved; at their start some branches hardly count."""


def spec(backbone: str, norm: str = "ln", **changes: Any) -> Spec:
    return replace(TINY[backbone], norm=norm, eps=NORMS[norm].default_eps, **changes)


def network(spec: Spec) -> Backbone:
    """In eval mode and float32, every branch of it with something to say."""
    return copy.deepcopy(shared(spec))


@functools.cache
def shared(spec: Spec) -> Backbone:
    """The same, for tests that leave it as it is: copying takes longer than running."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = from_spec(spec).eval()
        for name, tensor in model.state_dict().items():
            if tensor.dim() < 2 and tensor.is_floating_point():
                tensor.add_(_RANGES.get(name.rpartition(".")[2], 0.1) * torch.rand(tensor.shape))
            elif "conv" not in name:
                tensor.mul_(8)  # Linear weights and position tables start at 0.02
    return model


def picture(spec: Spec, height: int = 13, width: int = 17, batch: int = 1, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, spec.in_chans, height, width, generator=generator)


def agree(y: Tensor, expected: Tensor, tolerance: float = 2e-5) -> None:
    """Equal to a share of the largest value (to the tolerance itself, where that is below 1)."""
    atol = tolerance * max(1.0, expected.abs().max().item())
    torch.testing.assert_close(y, expected, rtol=0, atol=atol)
