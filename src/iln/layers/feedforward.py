"""The feed-forward branch of a Transformer block."""

from __future__ import annotations

from torch import Tensor, nn

from iln.layers.forward_pass import Rows


class FeedForward(nn.Module):
    """fc1, GELU, fc2 on every pixel of the normalised rows -> (B, h, W, C)."""

    def __init__(self, dim: int, mlp_ratio: float) -> None:
        super().__init__()
        hidden = int(dim * mlp_ratio)
        self.fc1 = nn.Linear(dim, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, rows: Rows) -> Tensor:
        y: Tensor = self.fc2(self.act(self.fc1(rows.pixels)))
        return y
