"""DRCT: densely connected Swin blocks inside each group (Hsu et al. 2024, arXiv 2404.00722)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from iln.backbones.backbone import Backbone, Spec
from iln.backbones.shapes import Shapes, common_fields, shape_of
from iln.errors import InputError
from iln.layers.conv import Conv2d
from iln.layers.forward_pass import WHOLE, ForwardPass
from iln.layers.swin import SwinBlock

STAGES = 5
"""Swin blocks of a group; the i-th reads the group's input and what the others before it grew."""
GROUP_SCALE = 0.2
"""Weight of a group's output beside its input."""


@dataclass(frozen=True, kw_only=True)
class DRCTSpec(Spec):
    """Hyperparameters of a DRCT; see `Spec`.

    Attributes:
        growth: channels that each Swin block but the last adds to its group's features (`gc`).
        depths: one entry per group, as published; a group always has five blocks.
    """

    window: int = 16
    growth: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.growth < 1:
            raise InputError(f"growth is {self.growth}; it must be at least 1")
        for heads in self.num_heads:
            for stage in range(STAGES):
                dim = self.embed_dim + stage * self.growth
                if dim % stage_heads(dim, heads, stage):
                    raise InputError(
                        f"{dim} channels are no multiple of {stage_heads(dim, heads, stage)} heads"
                    )

    def map_channels(self) -> int:
        # Shallow features, the group's input and what grew from it, all of it once more.
        return 3 * self.embed_dim + 8 * self.growth

    def widest_channels(self) -> int:
        grown = self.embed_dim + 4 * self.growth
        return max(3 * grown, int(self.mlp_ratio * grown))

    def sizes(self) -> set[tuple[str, int]]:
        return super().sizes() | {("adjust1.bias", self.growth)}


def stage_heads(dim: int, num_heads: int, stage: int) -> int:
    """DRCT's rule for blocks on grown features: heads - dim mod heads."""
    return num_heads if stage == 0 else num_heads - dim % num_heads


def _adjust(conv: nn.Module, x: Tensor) -> Tensor:
    return F.leaky_relu(conv(x), 0.2)


class DenseGroup(nn.Module):
    """x_{i+1} = lrelu(adjust_i(swin_i(x, x_1, ..., x_i))), and x + 0.2 times the last (RDG)."""

    def __init__(self, spec: DRCTSpec, num_heads: int, drop_path: float) -> None:
        super().__init__()
        self.dim, self.growth = spec.embed_dim, spec.growth
        for stage in range(STAGES):
            dim = spec.embed_dim + stage * spec.growth
            block = SwinBlock(
                dim,
                stage_heads(dim, num_heads, stage),
                spec.window,
                shift=spec.window // 2 if stage % 2 else 0,
                mlp_ratio=spec.mlp_ratio if stage < 3 else 1.0,
                qkv_bias=spec.qkv_bias,
                norm=spec.norm,
                eps=spec.eps,
                drop_path=drop_path,
            )
            grown = spec.growth if stage < STAGES - 1 else spec.embed_dim
            self.add_module(f"swin{stage + 1}", block)
            self.add_module(f"adjust{stage + 1}", Conv2d(dim, grown, kernel=1))

    def forward(self, x: Tensor, run: ForwardPass = WHOLE) -> Tensor:
        grown = [x]
        for stage in range(1, STAGES):
            block, adjust = self._stage(stage)
            y = block(run.concatenate(grown), run)
            grown.append(run.map(partial(_adjust, adjust), y))
            del y  # as large as the next one
        block, adjust = self._stage(STAGES)
        y = block(run.concatenate(grown), run)
        return run.add(x, lambda rows: adjust(rows) * GROUP_SCALE, y)

    def _stage(self, stage: int) -> tuple[nn.Module, nn.Module]:
        return self.get_submodule(f"swin{stage}"), self.get_submodule(f"adjust{stage}")


class DRCT(Backbone):
    """The network of DRCT's Fig. 4; `spec.norm` chooses among the nine schemes."""

    title = "DRCT"
    mark = "layers.0.swin1.attn.relative_position_bias_table"
    spec: DRCTSpec

    @staticmethod
    def read_shapes(shapes: Shapes) -> dict[str, Any]:
        found = common_fields(shapes, "swin1.")
        growth, *_ = shape_of(shapes, "layers.0.adjust1.weight", 4)
        # A group has five blocks whatever its depth says, and in all published configurations it
        # says 6.
        return found | {"growth": growth, "depths": (6,) * len(found["num_heads"])}

    def groups(self) -> list[nn.Module]:
        spec = self.spec
        parts = zip(spec.num_heads, spec.drop_paths(), strict=True)
        return [DenseGroup(spec, heads, rates[0]) for heads, rates in parts]
