"""Window attention with a learned relative position bias, on (B, H, W, C) maps."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iln.kernels.window_attention import attend_learning, heads_of
from iln.layers.walk import Rows

HAS_TRITON = find_spec("triton") is not None
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


def overlapping_windows(x: Tensor, window: int, extended: int) -> Tensor:
    """(B, H + e - w, W + e - w, C) -> (B, H / w, W / w, e * e, C): windows of e x e, w apart."""
    if torch.compiler.is_exporting():  # graph formats have no such view
        for dim in (1, 2):
            count = (x.shape[dim] - extended) // window + 1
            starts = torch.arange(count, device=x.device)[:, None] * window
            places = starts + torch.arange(extended, device=x.device)
            x = x.index_select(dim, places.flatten())
        return to_windows(x, extended)
    x = x.unfold(1, extended, window).unfold(2, extended, window)
    return x.permute(0, 1, 2, 4, 5, 3).flatten(3, 4)


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
    if torch.compiler.is_exporting():
        # Not by the remainder, which engines take of negative numbers in their own ways.
        rows = torch.where(index < 0, index + table.shape[0], index).flatten()
        return table.t().index_select(1, rows).view(-1, *index.shape)
    bias: Tensor = _PositionBias.apply(table, index)  # type: ignore[no-untyped-call]
    return bias


class _PositionBias(torch.autograd.Function):
    """A gather whose gradient is summed head by head, each in the order of the index.

    PyTorch's gradient of an indexed table takes ten times as long on a CPU, and its threads add
    in whatever order they arrive.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor) -> Tensor:
        rows = index.flatten() % table.shape[0]  # negative ones count from the table's end
        ctx.save_for_backward(rows)
        ctx.entries = table.shape[0]
        return table.t().contiguous().index_select(1, rows).view(-1, *index.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (rows,) = ctx.saved_tensors
        gradient = gradient.flatten(1)
        empty = gradient.new_zeros(gradient.shape[0], ctx.entries)
        if gradient.device.type != "cpu":  # there only this one has a deterministic form
            return empty.index_add(1, rows, gradient).t(), None
        return empty.scatter_add(1, rows.expand_as(gradient), gradient).t(), None


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
        apart = wrapped[:, None] ^ wrapped[None, :]
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
    if _learns(q, k, v, bias):
        q, k, v = (t.transpose(3, 4).contiguous() for t in (q, k, v))
        return attend_learning(q, k, v, bias, seams, bottom)
    if torch.compiler.is_exporting():
        return _attend_traced(q, k, v, bias, seams)
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


def _attend_traced(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor, seams: tuple[Tensor, Tensor] | None
) -> Tensor:
    """`attend` of a whole map for a graph that runs elsewhere: nothing is overwritten."""
    out = _attend_plain(q, k, v, bias)
    if seams is None:
        return out
    # As in `attend`, the windows on a seam are computed again, and take the others' places.
    bias, below, right = bias.float(), seams[0].float(), seams[1].float()
    rows, columns = q.shape[1:3]
    beside = _attend_plain(
        q[:, :, -1:], k[:, :, -1:], v[:, :, -1:], bias + right + _at_end(rows, below)
    )
    beneath = _attend_plain(q[:, -1:], k[:, -1:], v[:, -1:], bias + below + _at_end(columns, right))
    return torch.cat((torch.cat((out[:, :-1, :-1], beside[:, :-1]), 2), beneath), 1)


def _attend_plain(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """`attend` in matrix products, with float32 scores; bias (heads or windows, heads, N, M)."""
    b, rows, columns, n, heads, d = q.shape
    q, k, v = (t.flatten(0, 2).transpose(1, 2) for t in (q, k, v))
    if bias.ndim == 4:  # one for each window of a row or column
        bias = bias.expand(b, *bias.shape).flatten(0, 1)
    scores = ((q * d**-0.5) @ k.transpose(2, 3)).float() + bias.float()
    out: Tensor = scores.softmax(-1).to(v.dtype) @ v
    return out.transpose(1, 2).reshape(b, rows, columns, n, heads * d)


def _projected(x: Tensor, qkv: nn.Linear, heads: int) -> list[Tensor]:
    """q, k and v (..., heads, d) of x (..., C), each by its share of the layer.

    Engines fuse three small products with the attention behind them; one large one they would
    have to cut up, which takes as long as a product.
    """
    dim, parts = qkv.in_features, []
    for start in range(0, 3 * dim, dim):
        share = slice(start, start + dim)
        y = F.linear(x, qkv.weight[share], None if qkv.bias is None else qkv.bias[share])
        parts.append(torch.unflatten(y, -1, (heads, -1)))
    return parts


def _at_end(count: int, mask: Tensor) -> Tensor:
    """(N, N) -> (count, 1, N, N): the mask for the last of `count` windows, 0 for the others."""
    last = torch.arange(count, device=mask.device) == count - 1
    return last.view(-1, 1, 1, 1) * mask


def attend_packed(
    q: Tensor,
    kv: Tensor | None,
    heads: int,
    bias: Tensor,
    seams: tuple[Tensor, Tensor] | None = None,
    bottom: bool = False,
) -> Tensor:
    """`attend` on what a linear layer made: (q, k, v) side by side in `q`, or (k, v) in `kv`.

    q (B, rows, columns, N, 3 C) and no kv, or (..., N, C) and kv (..., M, 2 C).
    """
    packed = ((q, 3),) if kv is None else ((q, 1), (kv, 2))
    if _learns(q, bias):
        parts = [part for t, count in packed for part in heads_of(t, count, heads)]
        return attend_learning(parts[0], parts[1], parts[2], bias, seams, bottom)
    # Cut first: some engines take no more than six dimensions.
    parts = [
        torch.unflatten(part, -1, (heads, -1)) for t, count in packed for part in t.chunk(count, -1)
    ]
    return attend(parts[0], parts[1], parts[2], bias, seams, bottom)


def _learns(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(t.requires_grad for t in tensors)


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
        bias = position_bias(self.relative_position_bias_table, self.relative_position_index)
        seams = seam_masks(self.window, shift, bias) if shift else None
        if torch.compiler.is_exporting():
            q, k, v = _projected(windows, self.qkv, self.num_heads)
            return from_windows(self.proj(_attend_traced(q, k, v, bias, seams)), self.window)
        qkv = self.qkv(windows)
        out = self.proj(attend_packed(qkv, None, self.num_heads, bias, seams, rows.bottom))
        return from_windows(out, self.window)

    def whole(self, x: Tensor, shift: int) -> Tensor:
        """The same for a normalised map that lies as the picture does, not rolled."""
        y: Tensor
        if x.is_cuda and HAS_TRITON and torch.is_grad_enabled():
            from iln.kernels import window_attention_triton

            if window_attention_triton.fits(x, self.window, self.num_heads):
                bias = position_bias(
                    self.relative_position_bias_table, self.relative_position_index
                )
                out = window_attention_triton.attend_map(self.qkv(x), bias, self.window, shift)
                y = self.proj(out)
                return y
        if not shift:
            y = self(Rows(x))
            return y
        y = self(Rows(torch.roll(x, (-shift, -shift), (1, 2))), shift)
        return torch.roll(y, (shift, shift), (1, 2))
