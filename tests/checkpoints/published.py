"""Files as the authors of SwinIR, HAT and DRCT publish them, made from our own networks."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from iln.backbones import Backbone, DRCTSpec, HATSpec, Spec, SwinIRSpec, from_spec

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
PILOT = Path(__file__).parents[3] / "shared" / "pilot"

SMALL: dict[str, Any] = {
    "scale": 2, "embed_dim": 12, "depths": (2, 1), "num_heads": (2, 3), "window": 4
}  # fmt: skip
SPECS: dict[str, Spec] = {
    "swinir": SwinIRSpec(**SMALL),
    "hat": HATSpec(**SMALL, compress_ratio=3, squeeze_factor=4),
    "drct": DRCTSpec(**{**SMALL, "depths": (6, 6), "num_heads": (2, 2)}, growth=4),
}


def network(spec: Spec, seed: int = 0) -> Backbone:
    """A network none of whose parameters (norms included) has its starting value."""
    return copy.deepcopy(_network(spec, seed))


@functools.cache
def _network(spec: Spec, seed: int) -> Backbone:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = from_spec(spec).eval()
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.05 * torch.rand(tensor.shape))
    return model


def picture(spec: Spec) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(1, spec.in_chans, 10, 13, generator=generator)


def run(model: Backbone, image: Tensor | None = None) -> Tensor:
    with torch.no_grad():
        return model(picture(model.spec) if image is None else image)


def official(model: Backbone) -> dict[str, Tensor]:
    """The state dict with the buffers that the official code stores as well."""
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    n = model.spec.window**2
    if isinstance(model.spec, HATSpec):
        state["relative_position_index_SA"] = torch.zeros(n, n, dtype=torch.int64)
        state["relative_position_index_OCA"] = torch.zeros(n, 2 * n, dtype=torch.int64)
    else:
        for name in list(state):
            if name.endswith("attn.relative_position_bias_table"):
                block = name.removesuffix("attn.relative_position_bias_table")
                state[f"{block}attn.relative_position_index"] = torch.zeros(n, n, dtype=torch.int64)
                state[f"{block}attn_mask"] = torch.zeros(16, n, n)
    return state


def traiNNer(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """i-LN parameters under the names of a LayerNorm."""
    ends = {"gamma": "weight", "beta": "bias"}
    parts = {name: name.rpartition(".") for name in state}
    return {f"{h}{d}{ends.get(t, t)}": state[name] for name, (h, d, t) in parts.items()}
