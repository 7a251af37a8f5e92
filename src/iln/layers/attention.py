"""Window attention with a learned relative position bias, on (B, H, W, C) maps."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iln.kernels.window_attention import attend_learning, heads_of
from iln.kernels.window_attention_fused import attend_fused
from iln.kernels.window_attention_traced import attend_traced
from iln.layers.forward_pass import Rows
from iln.layers.position_bias import position_bias, position_table, relative_position_index
from iln.layers.windows import from_windows, seam_masks, to_windows

HAS_TRITON = find_spec("triton") is not None
_PARTS = {1: (3,), 2: (1, 2), 3: (1, 1, 1)}
"""How many of q, k and v lie side by side in each of so many tensors."""


def attend(
    packed: Sequence[Tensor],
    heads: int,
    bias: Tensor,
    seams: tuple[Tensor, Tensor] | None = None,
    bottom: bool = False,
) -> Tensor:
    """softmax(q k^T / sqrt(d) + bias) v within each window.

    Args:
        packed: [qkv], [q, kv] or [q, k, v] of windows in their places: (B, rows, columns, N, C) for
            q, (..., M, C) for k and v, side by side in their channels.
        heads: how many; d = C / heads.
        bias: (heads, N, M).
        seams: masks (N, M) for the last row of windows (if `bottom`) and for the last column, where
            these hold pixels of both sides of the picture.
        bottom: the last row of windows is the map's.

    Returns:
        (B, rows, columns, N, C).
    """
    parts = list(zip(packed, _PARTS[len(packed)], strict=True))
    if torch.is_grad_enabled() and (packed[0].requires_grad or bias.requires_grad):
        q, k, v = (part for tensor, count in parts for part in heads_of(tensor, count, heads))
        return attend_learning(q, k, v, bias, seams, bottom)
    # Cut first: some engines take no more than six dimensions.
    chunks = [chunk for tensor, count in parts for chunk in tensor.chunk(count, -1)]
    q, k, v = (torch.unflatten(chunk, -1, (heads, -1)) for chunk in chunks)
    if torch.compiler.is_exporting():
        return attend_traced(q, k, v, bias, seams, bottom)
    return attend_fused(q, k, v, bias, seams, bottom)


def project(x: Tensor, qkv: nn.Linear) -> list[Tensor]:
    """What `attend` takes of x (..., C).

    For a graph that other programs compute, q, k and v each by its share of the layer: engines fuse
    three small products with the attention behind them, and one large one they would have to cut
    up, which takes as long as a product.
    """
    if not torch.compiler.is_exporting():
        return [qkv(x)]
    dim, parts = qkv.in_features, []
    for start in range(0, 3 * dim, dim):
        share = slice(start, start + dim)
        bias = None if qkv.bias is None else qkv.bias[share]
        parts.append(F.linear(x, qkv.weight[share], bias))
    return parts


class WindowAttention(nn.Module):
    """Multi-head self-attention inside windows of w x w pixels (Liu et al. 2021, Swin).

    Names as in the published files: `qkv`, `proj`, `relative_position_bias_table`.
    """

    relative_position_index: Tensor

    def __init__(self, dim: int, window: int, num_heads: int, qkv_bias: bool = True) -> None:
        super().__init__()
        self.window, self.num_heads = window, num_heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)
        self.relative_position_bias_table = position_table((2 * window - 1) ** 2, num_heads)
        self.register_buffer(
            "relative_position_index", relative_position_index(window), persistent=False
        )

    def forward(self, rows: Rows) -> Tensor:
        """Rows of the normalised map -> the branch's output for them."""
        if rows.pixels.is_cuda and HAS_TRITON and torch.is_grad_enabled() and not rows.rolled:
            from iln.kernels import window_attention_triton as triton

            if triton.fits(rows.pixels, self.window, self.num_heads):
                out = triton.attend_map(
                    self.qkv(rows.pixels), self._bias(), self.window, rows.shift
                )
                return self._projected(out)
        if rows.shift:
            return rows.roll_back(self(rows.roll()))
        bias, windows = self._bias(), to_windows(rows.pixels, self.window)
        seams = seam_masks(self.window, rows.rolled, bias) if rows.rolled else None
        out = attend(project(windows, self.qkv), self.num_heads, bias, seams, rows.bottom)
        return from_windows(self._projected(out), self.window)

    def _bias(self) -> Tensor:
        return position_bias(self.relative_position_bias_table, self.relative_position_index)

    def _projected(self, x: Tensor) -> Tensor:
        y: Tensor = self.proj(x)
        return y
