"""The Swin Transformer block that SwinIR and DRCT are made of."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from iln.layers.attention import WindowAttention
from iln.layers.feedforward import DropPath, FeedForward, feed_forward
from iln.layers.walk import WHOLE, Rows, Walk
from iln.norm import NORMS


class SwinBlock(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)), each branch rescaled as the norm says.

    shift: pixels by which the windows are moved right and down (0, or half a window).
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        window: int,
        shift: int,
        *,
        mlp_ratio: float,
        qkv_bias: bool,
        norm: str,
        eps: float,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.norm1 = NORMS[norm](dim, eps)
        self.attn = WindowAttention(dim, window, num_heads, qkv_bias)
        self.norm2 = NORMS[norm](dim, eps)
        self.mlp = FeedForward(dim, mlp_ratio)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, walk: Walk = WHOLE) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C), H and W multiples of the window."""
        if walk.whole:

            def attend(y: Tensor) -> Tensor:
                z: Tensor = self.drop_path(self.attn.whole(y, self.shift))
                return z

            x = walk.map(lambda x: self.norm1.residual(x, attend), x)
            return feed_forward(x, self.norm2, self.mlp, self.drop_path, walk)
        stats1 = self.norm1.statistics(x)

        def attention(rows: Rows) -> Tensor:
            normal = replace(rows, pixels=self.norm1.normalize(rows.pixels, stats1))
            y = self.attn(normal, self.shift)
            return self.norm1.rescale(self.drop_path(y), stats1)

        x = walk.shifted_residual(x, attention, self.window, self.shift)
        return feed_forward(x, self.norm2, self.mlp, self.drop_path, walk)
