"""The Swin Transformer block that SwinIR and DRCT are made of."""

from __future__ import annotations

from torch import Tensor, nn

from iln.layers.attention import WindowAttention
from iln.layers.drop_path import DropPath
from iln.layers.feedforward import FeedForward
from iln.layers.forward_pass import WHOLE, ForwardPass
from iln.norm import NORMS


class SwinBlock(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)), each branch rescaled as the norm says.

    Args:
        shift: pixels by which the windows are moved right and down (0, or half a window).
    """

    branch_powers = dict.fromkeys(
        ("attn.proj.weight", "attn.proj.bias", "mlp.fc2.weight", "mlp.fc2.bias"), -1
    )
    """By the name of a parameter: the power of K it is multiplied by, where branches shall be
    divided by K."""

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

    def forward(self, x: Tensor, run: ForwardPass = WHOLE) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C), H and W multiples of the window."""
        x = run.residual(
            x, self.norm1, self.attn, self.drop_path, window=self.window, shift=self.shift
        )
        return run.residual(x, self.norm2, self.mlp, self.drop_path)
