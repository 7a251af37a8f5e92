"""Stochastic depth."""

from __future__ import annotations

import torch
from torch import Tensor, nn


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
