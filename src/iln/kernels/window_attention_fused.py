"""Window attention where nothing learns, by PyTorch's fused kernel."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def attend_fused(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor,
    seams: tuple[Tensor, Tensor] | None = None,
    bottom: bool = False,
) -> Tensor:
    """softmax(q k^T / sqrt(d) + bias) v in every window: (B, rows, columns, N, heads * d).

    Args:
        q: (B, rows, columns, N, heads, d).
        k: (..., M, heads, d).
        v: (..., M, heads, d).
        bias: (heads, N, M).
        seams: masks (N, M) of the last row of windows (if `bottom`) and of the last column.
    """
    out = _attend(q, k, v, bias)
    if seams is not None:
        # Few windows lie on a seam: masking those again is cheaper than masks for all.
        below, right = seams
        last = slice(None), slice(None), slice(-1, None)
        out[last] = _attend(q[last], k[last], v[last], bias + right)
        if bottom:
            last = slice(None), slice(-1, None), slice(None, -1)
            out[last] = _attend(q[last], k[last], v[last], bias + below)
            last = slice(None), slice(-1, None), slice(-1, None)
            out[last] = _attend(q[last], k[last], v[last], bias + below + right)
    return out


def _attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """No matrix of scores is ever held whole; on a CPU this kernel cannot train the bias."""
    b, rows, columns, n, heads, d = q.shape
    if not q.numel():
        return q.flatten(4)
    q, k, v = (t.flatten(0, 2).transpose(1, 2) for t in (q, k, v))
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None].to(q.dtype))
    return out.transpose(1, 2).reshape(b, rows, columns, n, heads * d)
