"""Cells of r x r pixels as one pixel with r r times the channels, and back."""

from __future__ import annotations

from torch import Tensor


def pixel_unshuffle(x: Tensor, side: int) -> list[Tensor]:
    """(B, r H, r W, C) -> r r views (B, H, W, C): the pixels at each place of the cells.

    Side by side in their channels they are what `pixel_shuffle` takes.
    """
    places = range(side)
    return [x[:, row::side, column::side] for row in places for column in places]


def pixel_repeat(x: Tensor, side: int, times: int) -> Tensor:
    """(B, H, W, side side C) -> (B, H, W, (times side)^2 C): cells of `side` pixels a side, in
    which each pixel becomes `times` x `times` equal ones."""
    b, h, w, c = x.shape
    x = x.reshape(b, h, w, side, side, c // side**2)
    return x.repeat_interleave(times, 3).repeat_interleave(times, 4).flatten(3)


def pixel_shuffle(x: Tensor, side: int) -> Tensor:
    """(B, H, W, r r C) -> (B, r H, r W, C)."""
    b, h, w, c = x.shape
    x = x.reshape(b, h, w, side, side, c // side**2).transpose(2, 3)
    return x.reshape(b, h * side, w * side, c // side**2)
