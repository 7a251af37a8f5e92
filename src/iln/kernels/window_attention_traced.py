"""Window attention for a graph that other programs compute: nothing is overwritten."""

from __future__ import annotations

import torch
from torch import Tensor


def attend_traced(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor,
    seams: tuple[Tensor, Tensor] | None,
    bottom: bool,
) -> Tensor:
    """As `iln.kernels.window_attention_fused.attend_fused`."""
    out = _attend_plain(q, k, v, bias)
    if seams is None:
        return out
    # The windows on a seam are computed once more, and take the others' places.
    bias, below, right = bias.float(), seams[0].float(), seams[1].float()
    rows, columns = q.shape[1:3]
    corner = _at_end(rows, below) if bottom else 0
    beside = _attend_plain(q[:, :, -1:], k[:, :, -1:], v[:, :, -1:], bias + right + corner)
    if not bottom:
        return torch.cat((out[:, :, :-1], beside), 2)
    beneath = _attend_plain(q[:, -1:], k[:, -1:], v[:, -1:], bias + below + _at_end(columns, right))
    return torch.cat((torch.cat((out[:, :-1, :-1], beside[:, :-1]), 2), beneath), 1)


def _attend_plain(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """In matrix products, with float32 scores; bias (heads or windows, heads, N, M)."""
    b, rows, columns, n, heads, d = q.shape
    q, k, v = (t.flatten(0, 2).transpose(1, 2) for t in (q, k, v))
    if bias.ndim == 4:  # one for each window of a row or column
        bias = bias.expand(b, *bias.shape).flatten(0, 1)
    scores = ((q * d**-0.5) @ k.transpose(2, 3)).float() + bias.float()
    out: Tensor = scores.softmax(-1).to(v.dtype) @ v
    return out.transpose(1, 2).reshape(b, rows, columns, n, heads * d)


def _at_end(count: int, mask: Tensor) -> Tensor:
    """(N, N) -> (count, 1, N, N): the mask for the last of `count` windows, 0 for the others."""
    last = torch.arange(count, device=mask.device) == count - 1
    return last.view(-1, 1, 1, 1) * mask
