"""Mean and variance of feature maps: accurate for any size and dtype, and cheap.

`torch.var_mean` is right but walks element by element (about 15 times the time of reading the
map), and in half precision it overflows. Here the map is cut into pieces that stay in cache;
each gives its mean and its centred sum of squares in float32, and the pieces are merged in
float64 (Chan, Golub and LeVeque 1983), so neither a large mean nor a large picture costs digits.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

PIECE = 1 << 18
"""Elements per piece on a CPU: 1 MiB of float32 stays in cache."""
LARGE_PIECE = 1 << 24
"""Elements per piece on an accelerator, where starting a kernel costs more than memory does."""


def moments(x: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of x (B, H, W, C) over `dims`, dimensions kept.

    dims: (1, 2, 3), (1, 2) or (0, 1, 2). Returns float64 for float64 input, else float32.
    """
    mean, variance = _Moments.apply(x, dims)  # type: ignore[no-untyped-call]
    return mean, variance


class _Moments(torch.autograd.Function):
    """d mean / d x = 1 / n and d variance / d x = 2 (x - mean) / n: one pass over the map."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        exact, variance = _accumulate(x, dims)
        wide = torch.float64 if x.dtype == torch.float64 else torch.float32
        mean = exact.to(wide)
        ctx.save_for_backward(x, mean, (exact - mean).to(wide))
        ctx.count = x.numel() // mean.numel()
        return mean, variance.to(wide)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        x, mean, rounding = ctx.saved_tensors
        of_mean, of_variance = gradients
        slope = of_variance * (2 / ctx.count)
        # x - mean first: beside a large mean, x * slope - mean * slope would lose all digits.
        shift = of_mean / ctx.count - slope * rounding
        return torch.addcmul(shift, x - mean, slope).to(x.dtype), None


def _accumulate(x: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Both in float64 (but for Metal)."""
    shape = [1 if d in dims else size for d, size in enumerate(x.shape)]
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    kept = 1 if 3 in dims else x.shape[3]
    groups = 1 if 0 in dims else x.shape[0]
    rows = x.reshape(groups, -1, kept)  # a view: (group, sample, kept channel)
    samples = max(1, (PIECE if x.device.type == "cpu" else LARGE_PIECE) // (groups * kept))
    total = wide if x.device.type == "mps" else torch.float64  # Metal has no float64

    count = 0
    mean = torch.zeros(groups, 1, kept, dtype=total, device=x.device)
    squares = torch.zeros_like(mean)
    for piece in torch.split(rows, samples, dim=1):
        piece = piece.to(wide)
        n = piece.shape[1]
        piece_mean = piece.mean(1, keepdim=True)
        piece = piece - piece_mean
        # The rounding of piece_mean leaves a small residue, which the second mean takes up.
        residue = piece.mean(1, keepdim=True).to(total)
        gap = piece_mean.to(total) + residue - mean
        squares += (piece * piece).sum(1, keepdim=True).to(total) - n * residue.square()
        squares += gap.square() * (count * n / (count + n))
        mean += gap * (n / (count + n))
        count += n
    variance = (squares / count).clamp_(min=0)
    return mean.view(shape), variance.view(shape)
