"""HAT: window attention beside channel attention, and overlapping windows (Chen et al. 2023,
arXiv 2205.04437). With `norm="i-ln"` this is the network of the i-LN paper's own code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from iln.backbones.backbone import Backbone, Spec
from iln.backbones.shapes import Shapes, ratio_of, shape_of, side_of
from iln.backbones.swinir import SwinIR
from iln.errors import InputError
from iln.layers.attention import WindowAttention, attend
from iln.layers.channel_attention import ChannelAttention
from iln.layers.conv import Conv2d, residual_conv
from iln.layers.drop_path import DropPath
from iln.layers.feedforward import FeedForward
from iln.layers.forward_pass import WHOLE, ForwardPass, Rows
from iln.layers.position_bias import overlapping_position_index, position_bias, position_table
from iln.layers.swin import SwinBlock
from iln.layers.windows import from_windows, overlapping_windows, to_windows
from iln.norm import NORMS


@dataclass(frozen=True, kw_only=True)
class HATSpec(Spec):
    """Hyperparameters of a HAT; see `Spec`.

    Attributes:
        compress_ratio: the conv branch narrows embed_dim by this between its two convolutions.
        squeeze_factor: channel attention narrows it by this.
        conv_scale: weight of the conv branch beside attention.
        overlap_ratio: how far the keys' windows reach beyond the queries', in windows (both sides).
    """

    windows_of_a_strip = 3  # it computes its context once more
    window: int = 16
    compress_ratio: int = 3
    squeeze_factor: int = 30
    conv_scale: float = 0.01
    overlap_ratio: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("compress_ratio", "squeeze_factor"):
            if not 1 <= getattr(self, name) <= self.embed_dim:
                raise InputError(
                    f"{name} is {getattr(self, name)!r}; it must lie between 1 and embed_dim"
                )
        if self.overlap % 2 or self.overlap < 0:
            raise InputError(
                f"overlap_ratio {self.overlap_ratio!r} of window {self.window} is {self.overlap} "
                "pixels; it must be an even number, half on each side"
            )

    def map_channels(self) -> int:
        # Shallow features, the group's input, the stream, the conv branch.
        return 4 * self.embed_dim

    def widest_channels(self) -> int:
        keys = 2 * self.embed_dim * (self.window + self.overlap) ** 2 // self.window**2
        return max(super().widest_channels(), keys)

    def scores(self) -> int:
        return max(self.num_heads) * (self.window + self.overlap) ** 2  # of overlapping attention

    def sizes(self) -> set[tuple[str, int]]:
        side = 2 * self.window - 1 + self.overlap
        return super().sizes() | {("relative_position_bias_table", side**2)}

    @property
    def overlap(self) -> int:
        """Pixels by which the keys' window is larger than the queries'."""
        return int(self.overlap_ratio * self.window)


class ConvBranch(nn.Module):
    """conv, GELU, conv, and channel attention over the whole map (the paper's CAB), weighted."""

    halo = 2

    def __init__(self, spec: HATSpec) -> None:
        super().__init__()
        dim, narrow = spec.embed_dim, spec.embed_dim // spec.compress_ratio
        self.scale = spec.conv_scale
        self.cab = nn.Sequential(
            Conv2d(dim, narrow),
            nn.GELU(),
            Conv2d(narrow, dim),
            ChannelAttention(dim, spec.squeeze_factor),
        )

    def convolve(self, x: Tensor) -> Tensor:
        """Both convolutions: (B, h, W, C) -> (B, h, W, C)."""
        y: Tensor = self.cab[:3](x)
        return y

    def gate(self, convolved: Tensor) -> Tensor:
        """Weight of each channel (B, 1, 1, C) from the whole convolved map."""
        gate: Tensor = self.cab[3](convolved)
        return gate * self.scale


class HybridBlock(nn.Module):
    """Attention and the conv branch side by side on the same normalised map, then the MLP (HAB):

    x + rescale(attention(y) + conv_scale conv(y)),  y = norm(x)
    """

    branch_powers: ClassVar = {
        **SwinBlock.branch_powers,
        "conv_block.cab.2.weight": -1,
        "conv_block.cab.2.bias": -1,
        "conv_block.cab.3.attention.1.weight": 1,  # the gate looks at what was convolved
    }

    def __init__(self, spec: HATSpec, num_heads: int, shift: int, drop_path: float) -> None:
        super().__init__()
        dim = spec.embed_dim
        self.window, self.shift = spec.window, shift
        self.norm1 = NORMS[spec.norm](dim, spec.eps)
        self.attn = WindowAttention(dim, spec.window, num_heads, spec.qkv_bias)
        self.conv_block = ConvBranch(spec)
        self.norm2 = NORMS[spec.norm](dim, spec.eps)
        self.mlp = FeedForward(dim, spec.mlp_ratio)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, run: ForwardPass = WHOLE) -> Tensor:
        x = run.residual(
            x,
            self.norm1,
            self.attn,
            self.drop_path,
            window=self.window,
            shift=self.shift,
            beside=self.conv_block,
        )
        return run.residual(x, self.norm2, self.mlp, self.drop_path)


class OverlappingBlock(nn.Module):
    """Queries of a window attend to keys of a larger window around it, then the MLP (OCAB).

    Where the larger window leaves the picture, its keys and values are zero.
    """

    branch_powers = dict.fromkeys(
        ("proj.weight", "proj.bias", "mlp.fc2.weight", "mlp.fc2.bias"), -1
    )

    relative_position_index: Tensor

    def __init__(self, spec: HATSpec, num_heads: int) -> None:
        super().__init__()
        dim = spec.embed_dim
        self.window, self.num_heads = spec.window, num_heads
        self.extended, self.halo = spec.window + spec.overlap, spec.overlap // 2
        self.norm1 = NORMS[spec.norm](dim, spec.eps)
        self.qkv = nn.Linear(dim, 3 * dim, bias=spec.qkv_bias)
        self.relative_position_bias_table = position_table(
            (self.window + self.extended - 1) ** 2, num_heads
        )
        self.proj = nn.Linear(dim, dim)
        self.norm2 = NORMS[spec.norm](dim, spec.eps)
        self.mlp = FeedForward(dim, spec.mlp_ratio)
        index = overlapping_position_index(self.window, self.extended)
        self.register_buffer("relative_position_index", index, persistent=False)

    def forward(self, x: Tensor, run: ForwardPass = WHOLE) -> Tensor:
        x = run.residual(x, self.norm1, self.attention, window=self.window, halo=self.halo)
        return run.residual(x, self.norm2, self.mlp)  # HAT drops no path here

    def attention(self, rows: Rows) -> Tensor:
        """Normalised rows with up to `halo` rows of context -> the branch's output."""
        qkv = self.qkv(rows.pixels)
        dim = qkv.shape[-1] // 3
        q = to_windows(rows.crop(qkv[..., :dim]), self.window)
        missing = (self.halo - rows.above, self.halo - rows.below)
        kv = F.pad(qkv[..., dim:], (0, 0, self.halo, self.halo, *missing))
        kv = overlapping_windows(kv, self.window, self.extended)
        bias = position_bias(self.relative_position_bias_table, self.relative_position_index)
        return from_windows(self.proj(attend([q, kv], self.num_heads, bias)), self.window)


class HybridGroup(nn.Module):
    """Hybrid blocks, every other one shifted, an overlapping block, a convolution and a skip."""

    def __init__(self, spec: HATSpec, depth: int, num_heads: int, drop_paths: list[float]) -> None:
        super().__init__()
        blocks = [
            HybridBlock(spec, num_heads, spec.window // 2 if i % 2 else 0, drop_paths[i])
            for i in range(depth)
        ]
        self.residual_group = nn.ModuleDict(
            {"blocks": nn.ModuleList(blocks), "overlap_attn": OverlappingBlock(spec, num_heads)}
        )
        self.conv, self.halo = residual_conv(spec.embed_dim, spec.resi_connection)

    def forward(self, x: Tensor, run: ForwardPass = WHOLE) -> Tensor:
        skip, x = x, run.copy(x)
        for block in self.residual_group["blocks"]:  # type: ignore[attr-defined]
            x = block(x, run)
        x = self.residual_group["overlap_attn"](x, run)
        return run.add(skip, self.conv, x, self.halo)


class HAT(Backbone):
    """The network of HAT's Fig. 4; `spec.norm` chooses among the nine schemes."""

    title = "HAT"
    mark = "layers.0.residual_group.overlap_attn.relative_position_bias_table"
    names_tell_norm = False  # other projects' i-LN HAT has weight and bias, too
    spec: HATSpec

    @staticmethod
    def read_shapes(shapes: Shapes) -> dict[str, Any]:
        found = SwinIR.read_shapes(shapes)
        dim, window = found["embed_dim"], found["window"]
        group = "layers.0.residual_group"
        entries, _ = shape_of(shapes, f"{group}.overlap_attn.relative_position_bias_table", 2)
        overlap = side_of(entries, "overlap_attn's position table") - (2 * window - 1)
        if overlap < 0:
            raise InputError(f"has overlapping windows smaller than its windows of {window} pixels")
        narrow, *_ = shape_of(shapes, f"{group}.blocks.0.conv_block.cab.0.weight", 4)
        squeezed, *_ = shape_of(shapes, f"{group}.blocks.0.conv_block.cab.3.attention.1.weight", 4)
        # The widths are embed_dim // ratio: several ratios may give one width, and any of them
        # builds the same network.
        return found | {
            "overlap_ratio": ratio_of(overlap, window),
            "compress_ratio": dim // narrow,
            "squeeze_factor": dim // squeezed,
        }

    @staticmethod
    def conventions(found: dict[str, Any]) -> dict[str, Any]:
        return {"img_range": 1.0, "conv_scale": 0.01}

    def groups(self) -> list[nn.Module]:
        spec = self.spec
        parts = zip(spec.depths, spec.num_heads, spec.drop_paths(), strict=True)
        return [HybridGroup(spec, *part) for part in parts]
