"""The feed-forward half of a Transformer block, and stochastic depth."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from iln.layers.walk import Rows, Walk
from iln.norm import Norm


class FeedForward(nn.Module):
    """fc1, GELU, fc2 on every pixel: (B, h, W, C) -> (B, h, W, C)."""

    def __init__(self, dim: int, mlp_ratio: float) -> None:
        super().__init__()
        hidden = int(dim * mlp_ratio)
        self.fc1 = nn.Linear(dim, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc2(self.act(self.fc1(x)))
        return y


class DropPath(nn.Module):
    """In training, leave a branch out of a picture with probability `rate` (Huang et al. 2016).

    What stays is divided by 1 - rate, so that the mean does not change.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, y: Tensor) -> Tensor:
        if not self.training or not self.rate:
            return y
        keep = torch.rand(y.shape[0], 1, 1, 1, device=y.device) >= self.rate
        return torch.where(keep, y / (1 - self.rate), 0)

    def extra_repr(self) -> str:
        return f"{self.rate:g}"


def feed_forward(
    x: Tensor, norm: Norm, mlp: FeedForward, drop_path: nn.Module, walk: Walk
) -> Tensor:
    """x + mlp(norm(x)): the second half of every Transformer block here."""
    if walk.whole:
        return walk.map(lambda x: norm.residual(x, lambda y: drop_path(mlp(y))), x)
    stats = norm.statistics(x)

    def branch(rows: Rows) -> Tensor:
        return norm.rescale(drop_path(mlp(norm.normalize(rows.pixels, stats))), stats)

    return walk.residual(x, branch)
