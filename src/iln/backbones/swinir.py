"""SwinIR: residual groups of Swin Transformer blocks (Liang et al. 2021, arXiv 2108.10257)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from iln.backbones.backbone import Backbone, Spec
from iln.backbones.shapes import Shapes, common_fields, indices
from iln.layers.conv import residual_conv
from iln.layers.forward_pass import WHOLE, ForwardPass
from iln.layers.swin import SwinBlock


@dataclass(frozen=True, kw_only=True)
class SwinIRSpec(Spec):
    """Hyperparameters of a SwinIR; see `Spec`."""


class SwinGroup(nn.Module):
    """Swin blocks, every other one shifted by half a window, then a convolution and a skip."""

    def __init__(self, spec: Spec, depth: int, num_heads: int, drop_paths: list[float]) -> None:
        super().__init__()
        blocks = [
            SwinBlock(
                spec.embed_dim,
                num_heads,
                spec.window,
                shift=spec.window // 2 if i % 2 else 0,
                mlp_ratio=spec.mlp_ratio,
                qkv_bias=spec.qkv_bias,
                norm=spec.norm,
                eps=spec.eps,
                drop_path=drop_paths[i],
            )
            for i in range(depth)
        ]
        self.residual_group = nn.ModuleDict({"blocks": nn.ModuleList(blocks)})
        self.conv, self.halo = residual_conv(spec.embed_dim, spec.resi_connection)

    def forward(self, x: Tensor, run: ForwardPass = WHOLE) -> Tensor:
        skip, x = x, run.copy(x)
        for block in self.residual_group["blocks"]:  # type: ignore[attr-defined]
            x = block(x, run)
        return run.add(skip, self.conv, x, self.halo)


class SwinIR(Backbone):
    """The network of the paper's Fig. 2; `spec.norm` chooses among the nine schemes."""

    title = "SwinIR"
    mark = "layers.0.residual_group.blocks.0.attn.relative_position_bias_table"
    spec: SwinIRSpec

    @staticmethod
    def read_shapes(shapes: Shapes) -> dict[str, Any]:
        found = common_fields(shapes, "residual_group.blocks.0.")
        found["depths"] = tuple(
            len(indices(shapes, f"layers.{group}.residual_group.blocks."))
            for group in range(len(found["num_heads"]))
        )
        return found

    @staticmethod
    def conventions(found: dict[str, Any]) -> dict[str, Any]:
        return {"img_range": 255.0 if found["window"] == 7 else 1.0}  # its JPEG models

    def groups(self) -> list[nn.Module]:
        spec = self.spec
        parts = zip(spec.depths, spec.num_heads, spec.drop_paths(), strict=True)
        return [SwinGroup(spec, *part) for part in parts]
