"""Convolutions and pixel shuffling on (B, H, W, C) maps.

A contiguous BHWC tensor, its axes permuted, is a channels_last BCHW tensor, which is the layout
that convolution kernels like best: nothing is copied either way. (With one channel, or one pixel,
the two layouts look alike; there the result is put right.)
"""

from __future__ import annotations

from torch import Tensor, nn


class Conv2d(nn.Conv2d):
    """A same-size convolution, zeros outside: (B, H, W, in) -> (B, H, W, out)."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3) -> None:
        super().__init__(in_channels, out_channels, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).contiguous()


class PixelShuffle(nn.Module):
    """(B, H, W, C r r) -> (B, r H, r W, C), channels in torch.nn.PixelShuffle's order."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        b, h, w, c = x.shape
        r = self.factor
        x = x.reshape(b, h, w, c // (r * r), r, r).permute(0, 1, 4, 2, 5, 3)
        return x.reshape(b, h * r, w * r, c // (r * r))


def residual_conv(dim: int, kind: str) -> tuple[nn.Module, int]:
    """The convolution that ends a residual group, and its halo in rows.

    Args:
        kind: `1conv`, or `3conv`, a bottleneck of a quarter of the channels (SwinIR-L).
    """
    if kind == "1conv":
        return Conv2d(dim, dim), 1
    return nn.Sequential(
        Conv2d(dim, dim // 4),
        nn.LeakyReLU(0.2),
        Conv2d(dim // 4, dim // 4, kernel=1),
        nn.LeakyReLU(0.2),
        Conv2d(dim // 4, dim),
    ), 2
