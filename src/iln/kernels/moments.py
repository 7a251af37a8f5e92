"""Mean and variance of feature maps: accurate for any size and dtype, and cheap.

`torch.var_mean` is right but walks element by element (about 15 times the time of reading the
map), and in half precision it overflows. Here the map is cut into pieces that stay in cache;
each gives its mean and its centred sum of squares in float32, and the pieces are merged in
float64 (Chan, Golub and LeVeque 1983), so neither a large mean nor a large picture costs digits.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

PIECE = 1 << 18
"""Elements per piece on a CPU: 1 MiB of float32, near the caches. Pieces of 8 MiB take twice as
long, because their memory comes fresh from the system each time."""
LARGE_PIECE = 1 << 24
"""Elements per piece on an accelerator, where starting a kernel costs more than memory does."""


def moments(x: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of x (B, H, W, C) over `dims`, dimensions kept.

    Args:
        dims: (1, 2, 3), (1, 2) or (0, 1, 2).

    Returns:
        float64 for float64 input, else float32.
    """
    if torch.compiler.is_exporting():
        return _traced(x, dims)
    mean, variance = _Moments.apply(x, dims)  # type: ignore[no-untyped-call]
    return mean, variance


def _traced(x: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """The same for a graph that runs elsewhere, which may have no float64 and any size.

    Two levels of float32 means (of each row, then of the rows), so that no sum gets long, and
    again a second mean of what is left over.
    """
    first, *others = dims

    def average(values: Tensor) -> Tensor:
        return values.mean(others, keepdim=True).mean(first, keepdim=True)

    x = x.to(wide_type(x))
    rough = average(x)
    centred = x - rough
    residue = average(centred)
    # Products, because some engines take a square for a power, one element after the other.
    return rough + residue, average(centred * centred) - residue * residue


def over_processes(mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor, int]:
    """The same of all processes' pixels together, as many in each, and how many processes.

    Gradients flow back into all of them. A process by itself gets its own numbers back.
    """
    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        return mean, variance, 1
    size = dist.get_world_size()
    common = _sum_over_processes(mean) / size
    around = variance + (mean - common).square()
    return common, _sum_over_processes(around) / size, size


def _sum_over_processes(x: Tensor) -> Tensor:
    total: Tensor = _SumOverProcesses.apply(x)  # type: ignore[no-untyped-call]
    return total


class _SumOverProcesses(torch.autograd.Function):
    """Every process' sum depends on every process' x, so gradients are summed, too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


class _Moments(torch.autograd.Function):
    """d mean / d x = 1 / n and d variance / d x = 2 (x - mean) / n: one pass over the map."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        exact, variance = accumulate(x, dims)
        wide = wide_type(x)
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


def accumulate(x: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Mean and biased variance in float64 (but for Metal), dimensions kept."""
    shape = [1 if d in dims else size for d, size in enumerate(x.shape)]
    wide = wide_type(x)
    kept = 1 if 3 in dims else x.shape[3]
    groups = 1 if 0 in dims else x.shape[0]
    rows = x.reshape(groups, -1, kept)  # a view: (group, sample, kept channel)
    samples = max(1, piece_of(x.device) // (groups * kept))
    total = wide if x.device.type == "mps" else torch.float64  # Metal has no float64

    means, squares = [], []
    for piece in torch.split(rows, samples, dim=1):
        piece = piece.to(wide)
        mean = piece.mean(1, keepdim=True)
        centred = piece - mean
        # The rounding of the mean leaves a small residue, which a second mean takes up.
        residue = centred.mean(1, keepdim=True).to(total)
        means.append(mean.to(total) + residue)
        inner = centred.mul_(centred).sum(1, keepdim=True).to(total)
        squares.append(inner - piece.shape[1] * residue.square())
    if len(means) == 1:
        mean, inner = means[0], squares[0]
    else:
        count = torch.full((len(means), 1, 1, 1), samples, dtype=total, device=x.device)
        count[-1] = rows.shape[1] - samples * (len(means) - 1)
        stacked = torch.stack(means)
        mean = (stacked * count).sum(0) / rows.shape[1]
        inner = torch.stack(squares).sum(0) + ((stacked - mean).square() * count).sum(0)
    variance = (inner / rows.shape[1]).clamp_(min=0)
    return mean.view(shape), variance.view(shape)


def wide_type(x: Tensor) -> torch.dtype:
    """float64 for float64, else float32: what sums over x are taken in."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def piece_of(device: torch.device) -> int:
    """Elements per piece of a map on that device."""
    return PIECE if device.type == "cpu" else LARGE_PIECE
