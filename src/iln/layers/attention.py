"""Window attention with a learned relative position bias, on (B, H, W, C) maps."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iln.layers.walk import Rows

MASKED = -100.0
"""Added to the score of a pixel that the shift brought in from the other side (Swin's value)."""


def to_windows(x: Tensor, window: int) -> Tensor:
    """(B, H, W, C) -> (B, H / w, W / w, w * w, C)."""
    b, h, w, c = x.shape
    x = x.view(b, h // window, window, w // window, window, c)
    return x.transpose(2, 3).reshape(b, h // window, w // window, window * window, c)


def from_windows(x: Tensor, window: int) -> Tensor:
    """The inverse of `to_windows`."""
    b, rows, columns, _, c = x.shape
    x = x.view(b, rows, columns, window, window, c).transpose(2, 3)
    return x.reshape(b, rows * window, columns * window, c)


def relative_position_index(window: int) -> Tensor:
    """Row of the bias table for each (query, key) of a window: (w * w, w * w) int64."""
    y, x = _coordinates(window)
    dy = y[:, None] - y[None, :] + window - 1
    dx = x[:, None] - x[None, :] + window - 1
    return dy * (2 * window - 1) + dx


def overlapping_position_index(window: int, extended: int) -> Tensor:
    """The same for keys of a larger window around the queries': (w * w, e * e) int64.

    HAT's rows are counted so that some come out negative, and Python's indexing then counts
    from the table's end. Trained tables rely on it, so it stays.
    """
    qy, qx = _coordinates(window)
    ky, kx = _coordinates(extended)
    dy = ky[None, :] - qy[:, None] + window - extended + 1
    dx = kx[None, :] - qx[:, None] + window - extended + 1
    return dy * (window + extended - 1) + dx


def position_table(entries: int, num_heads: int) -> nn.Parameter:
    """A table of relative position biases as the authors start it: truncated normal, 0.02."""
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(entries, num_heads), std=0.02))


def position_bias(table: Tensor, index: Tensor) -> Tensor:
    """(entries, heads) and (N, M) int64 -> the bias of each head's scores (heads, N, M)."""
    return table[index.flatten()].view(*index.shape, -1).permute(2, 0, 1)


def _coordinates(size: int) -> tuple[Tensor, Tensor]:
    cells = torch.arange(size * size)
    return cells // size, cells % size


def seam_masks(window: int, shift: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Masks (w * w, w * w) of windows that straddle the wrapped bottom edge and right edge.

    After the roll, the last `shift` rows (columns) of such a window come from the other side of
    the picture and must not exchange anything with the rest.
    """
    y, x = _coordinates(window)
    masks = []
    for wrapped in (y >= window - shift, x >= window - shift):
        apart = wrapped[:, None] != wrapped[None, :]
        masks.append(apart.to(like.device) * torch.tensor(MASKED, dtype=like.dtype))
    return masks[0], masks[1]


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor,
    seams: tuple[Tensor, Tensor] | None = None,
    bottom: bool = False,
) -> Tensor:
    """softmax(q k^T / sqrt(d) + bias) v within each window.

    q (B, rows, columns, N, heads, d) and k, v (..., M, heads, d) of windows in their places;
    bias (heads, N, M). With `seams`, the last column of windows, and the last row if `bottom`,
    hold pixels from both sides of the picture. Returns (B, rows, columns, N, heads * d).
    """
    if torch.is_grad_enabled() and (q.requires_grad or bias.requires_grad):
        return _attend_explicitly(q, k, v, bias, seams, bottom)
    out = _attend_fused(q, k, v, bias)
    if seams is not None:
        # Few windows lie on a seam: masking those again is cheaper than masks for all.
        below, right = seams
        last = slice(None), slice(None), slice(-1, None)
        out[last] = _attend_fused(q[last], k[last], v[last], bias + right)
        if bottom:
            last = slice(None), slice(-1, None), slice(None, -1)
            out[last] = _attend_fused(q[last], k[last], v[last], bias + below)
            last = slice(None), slice(-1, None), slice(-1, None)
            out[last] = _attend_fused(q[last], k[last], v[last], bias + below + right)
    return out


def _attend_fused(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """No matrix of scores is ever held whole; on a CPU this kernel cannot train the bias."""
    b, rows, columns, n, heads, d = q.shape
    if not q.numel():
        return q.flatten(4)
    q, k, v = (t.flatten(0, 2).transpose(1, 2) for t in (q, k, v))
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None].to(q.dtype))
    return out.transpose(1, 2).reshape(b, rows, columns, n, heads * d)


def _attend_explicitly(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor,
    seams: tuple[Tensor, Tensor] | None,
    bottom: bool,
) -> Tensor:
    q, k, v = (t.transpose(3, 4) for t in (q, k, v))
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    scores += bias.to(scores.dtype)
    if seams is not None:
        scores[:, :, -1] += seams[1].to(scores.dtype)
        if bottom:
            scores[:, -1] += seams[0].to(scores.dtype)
    out: Tensor = scores.softmax(-1) @ v
    return out.transpose(3, 4).flatten(4)


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

    def forward(self, rows: Rows, shift: int = 0) -> Tensor:
        """Rows of the (rolled, if shift) normalised map -> the branch's output for them."""
        windows = to_windows(rows.pixels, self.window)
        b, r, c, n, dim = windows.shape
        qkv = self.qkv(windows).view(b, r, c, n, 3, self.num_heads, dim // self.num_heads)
        q, k, v = qkv.unbind(4)
        bias = position_bias(self.relative_position_bias_table, self.relative_position_index)
        seams = seam_masks(self.window, shift, bias) if shift else None
        out = self.proj(attend(q, k, v, bias, seams, rows.bottom))
        return from_windows(out, self.window)
