"""Cells of r x r pixels as one pixel with r r times the channels, and back."""

from __future__ import annotations

from torch import Tensor


def pixel_unshuffle(x: Tensor, side: int) -> list[Tensor]:
    """(B, r H, r W, C) -> r r views (B, H, W, C): the pixels at each place of the cells.

    Side by side in their channels they are what `pixel_shuffle` takes.
    """
    places = range(side)
    return [x[:, row::side, column::side] for row in places for column in places]


def pixel_shuffle(x: Tensor, side: int) -> Tensor:
    """(B, H, W, r r C) -> (B, r H, r W, C)."""
    b, h, w, c = x.shape
    x = x.reshape(b, h, w, side, side, c // side**2).transpose(2, 3)
    return x.reshape(b, h * side, w * side, c // side**2)
