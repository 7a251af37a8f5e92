"""Window attention as training needs it: forward and backward by hand, few copies, little memory.

For queries q (N, d), keys k and values v (M, d) of one window and head, with the position bias B,

    S = q k^T / sqrt(d) + B     P = softmax(S)     O = P v

and with G the gradient of O,

    d v = P^T G     d P = G v^T     d S = P * (d P - rowsum(P * d P))     d B = sum over windows d S
    d q = d S k / sqrt(d)           d k = d S^T q / sqrt(d)

PyTorch's fused kernel has no gradient for B on a CPU; its plain operations keep S and P of all
windows and copy q, k and v about. Here some windows at a time are worked on, so that their scores
stay in cache, and q, k, v and P are what is kept. Products whose result is (N, d) are computed as
(d, N): the matrix kernels like long rows, and d is often 10 or 30.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from iln.kernels.moments import piece_of, wide_type

Seams = tuple[Tensor, Tensor]
Place = tuple[slice, slice]


def attend_learning(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor,
    seams: Seams | None = None,
    bottom: bool = False,
) -> Tensor:
    """softmax(q k^T / sqrt(d) + bias) v in every window: (B, rows, columns, N, heads * d).

    Args:
        q: (B, rows, columns, heads, N, d), as `heads_of` makes it.
        k: (..., heads, M, d), as `heads_of` makes it.
        v: (..., heads, M, d), as `heads_of` makes it.
        bias: (heads, N, M).
        seams: masks (N, M), the first added to the scores of the last row of windows (if `bottom`),
            the second to those of the last column.
    """
    below, right = (None, None) if seams is None else seams
    below = below if bottom else None
    out: Tensor = _Attention.apply(q, k, v, bias, below, right)  # type: ignore[no-untyped-call]
    return out


def heads_of(packed: Tensor, parts: int, heads: int) -> tuple[Tensor, ...]:
    """(..., N, parts * heads * d) -> `parts` tensors (..., heads, N, d), each contiguous."""
    out: tuple[Tensor, ...] = _Heads.apply(packed, parts, heads)  # type: ignore[no-untyped-call]
    return out


class _Heads(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, packed: Tensor, parts: int, heads: int) -> tuple[Tensor, ...]:
        ctx.parts, ctx.heads = parts, heads
        views = _views(packed, parts, heads)
        return tuple(view.clone(memory_format=torch.contiguous_format) for view in views)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        if torch.is_grad_enabled():  # a gradient of this gradient is wanted
            parts = [gradient.transpose(-2, -3).flatten(-2) for gradient in gradients]
            return torch.cat(parts, -1), None, None
        *outer, heads, n, d = gradients[0].shape
        packed = gradients[0].new_empty(*outer, n, ctx.parts * heads * d)
        for view, gradient in zip(_views(packed, ctx.parts, heads), gradients, strict=True):
            view.copy_(gradient)
        return packed, None, None


def _views(packed: Tensor, parts: int, heads: int) -> list[Tensor]:
    return [
        torch.unflatten(part, -1, (heads, -1)).transpose(-2, -3)
        for part in packed.chunk(parts, dim=-1)
    ]


def _places(q: Tensor, keys: int) -> Iterator[Place]:
    """Pictures and rows of windows whose scores stay in cache; q as in `attend_learning`."""
    b, rows, columns, heads, n, _ = q.shape
    size = piece_of(q.device)
    row = max(1, columns * heads * n * keys)
    if row * rows > size:
        step = max(1, size // row)
        for i in range(b):
            for top in range(0, rows, step):
                yield slice(i, i + 1), slice(top, min(top + step, rows))
    else:
        step = size // (row * rows)
        for i in range(0, b, step):
            yield slice(i, i + step), slice(0, rows)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        bias: Tensor,
        below: Tensor | None,
        right: Tensor | None,
    ) -> Tensor:
        b, rows, columns, heads, n, d = q.shape
        out = q.new_empty(b, rows, columns, n, heads, d)
        slots = out.permute(0, 1, 2, 4, 5, 3)
        scores_of = _Scores(bias, below, right, q.dtype)
        kept = []
        for place in _places(q, k.shape[4]):
            scores = scores_of(q[place], k[place], place[1].stop == rows)
            weights = scores.softmax(-1).to(q.dtype)  # autocast on a GPU widens it
            product = torch.bmm(_flat(v[place]).mT, weights.mT)
            slots[place] = product.view(slots[place].shape)
            kept.append(weights)
        ctx.save_for_backward(q, k, v, bias, below, right, *kept)
        return out.flatten(4)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, bias, below, right, *kept = ctx.saved_tensors
        if torch.is_grad_enabled():
            found = _again((q, k, v, bias), below, right, gradient)
            return *found, None, None
        heads, d = q.shape[3], q.shape[5]
        scale = d**-0.5
        gradient = torch.unflatten(gradient, -1, (heads, d)).transpose(3, 4)
        grad_q, grad_k, grad_v = (torch.empty_like(t).view(t.mT.shape) for t in (q, k, v))
        grad_bias = torch.zeros(bias.shape, dtype=wide_type(bias), device=bias.device)
        for weights, place in zip(kept, _places(q, k.shape[4]), strict=True):
            g, queries, keys, values = (_flat(t[place]) for t in (gradient, q, k, v))
            torch.bmm(g.mT, weights, out=_flat(grad_v[place]))
            slopes = torch.bmm(g, values.mT)
            slopes = torch._softmax_backward_data(slopes, weights, -1, weights.dtype)
            of_windows = slopes.view(-1, *bias.shape)
            # Sums over few large windows are twice as fast when they widen first, over many
            # small ones three times slower (bfloat16 on a CPU).
            wide = grad_bias.dtype if len(of_windows) < 16 else None
            grad_bias += of_windows.sum(0, dtype=wide)
            torch.bmm(keys.mT, slopes.mT, out=_flat(grad_q[place])).mul_(scale)
            torch.bmm(queries.mT, slopes, out=_flat(grad_k[place])).mul_(scale)
        return grad_q.mT, grad_k.mT, grad_v.mT, grad_bias.to(bias.dtype), None, None


def _flat(x: Tensor) -> Tensor:
    """(windows and heads, N, d): a view, where x is contiguous."""
    return x.reshape(-1, *x.shape[-2:])


class _Scores:
    """S of some windows (windows and heads, N, M)."""

    def __init__(
        self, bias: Tensor, below: Tensor | None, right: Tensor | None, dtype: torch.dtype
    ) -> None:
        self.bias = bias.to(dtype).contiguous()
        self.below, self.right = below, right

    def __call__(self, q: Tensor, k: Tensor, bottom: bool) -> Tensor:
        scores = q.new_empty(*q.shape[:4], *self.bias.shape[1:])
        scores[:] = self.bias
        if self.right is not None:
            scores[:, :, -1] += self.right.to(q.dtype)
        if self.below is not None and bottom:
            scores[:, -1] += self.below.to(q.dtype)
        return _flat(scores).baddbmm_(_flat(q), _flat(k).mT, alpha=q.shape[-1] ** -0.5)


def _again(
    inputs: tuple[Tensor, ...], below: Tensor | None, right: Tensor | None, gradient: Tensor
) -> tuple[Tensor | None, ...]:
    """Gradients that can themselves be differentiated, from plain operations."""
    q, k, v, bias = inputs
    scores = q * q.shape[-1] ** -0.5 @ k.mT + bias
    if right is not None:
        scores[:, :, -1] += right
    if below is not None:
        scores[:, -1] += below
    out = (scores.softmax(-1) @ v).transpose(3, 4).flatten(4)
    learning = [t for t in inputs if t.requires_grad]
    found = iter(torch.autograd.grad(out, learning, gradient, create_graph=True))
    return tuple(next(found) if t.requires_grad else None for t in inputs)
