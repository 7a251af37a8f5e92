"""Channel attention: one weight per channel from the mean of the whole map (Zhang et al. 2018)."""

from __future__ import annotations

from torch import Tensor, nn

from iln.kernels.moments import moments
from iln.layers.conv import Conv2d


class ChannelAttention(nn.Module):
    """mean over pixels, linear, ReLU, linear, sigmoid: (B, H, W, C) -> weights (B, 1, 1, C).

    The mean is taken in float32 or wider, whatever the map's dtype. Names as in HAT's files.
    """

    def __init__(self, dim: int, squeeze_factor: int) -> None:
        super().__init__()
        narrow = dim // squeeze_factor
        self.attention = nn.Sequential(
            nn.Identity(),  # the published files count the pooling as layer 0
            Conv2d(dim, narrow, kernel=1),
            nn.ReLU(),
            Conv2d(narrow, dim, kernel=1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        mean, _ = moments(x, (1, 2))
        weights: Tensor = self.attention(mean.to(x.dtype))
        return weights
