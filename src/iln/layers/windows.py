"""A map (B, H, W, C) cut into windows and put together again."""

from __future__ import annotations

import torch
from torch import Tensor

MASKED = -100.0
"""Added to the score of a pixel that the shift brought in from the other side (Swin's value)."""


def to_windows(x: Tensor, window: int) -> Tensor:
    """(B, H, W, C) -> (B, H / w, W / w, w * w, C)."""
    b, h, w, c = x.shape
    x = x.view(b, h // window, window, w // window, window, c)
    return x.transpose(2, 3).reshape(b, h // window, w // window, window * window, c)


def from_windows(x: Tensor, window: int) -> Tensor:
    """The inverse of `to_windows`."""
    b, rows, columns, _, c = x.shape
    x = x.view(b, rows, columns, window, window, c).transpose(2, 3)
    return x.reshape(b, rows * window, columns * window, c)


def overlapping_windows(x: Tensor, window: int, extended: int) -> Tensor:
    """(B, H + e - w, W + e - w, C) -> (B, H / w, W / w, e * e, C): windows of e x e, w apart."""
    if torch.compiler.is_exporting():  # graph formats have no such view
        for dim in (1, 2):
            count = (x.shape[dim] - extended) // window + 1
            starts = torch.arange(count, device=x.device)[:, None] * window
            places = starts + torch.arange(extended, device=x.device)
            x = x.index_select(dim, places.flatten())
        return to_windows(x, extended)
    x = x.unfold(1, extended, window).unfold(2, extended, window)
    return x.permute(0, 1, 2, 4, 5, 3).flatten(3, 4)


def seam_masks(window: int, shift: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Masks (w * w, w * w) of windows that straddle the wrapped bottom edge and right edge.

    After the roll, the last `shift` rows (columns) of such a window come from the other side of
    the picture and must not exchange anything with the rest.
    """
    y, x = coordinates(window)
    masks = []
    for wrapped in (y >= window - shift, x >= window - shift):
        apart = wrapped[:, None] ^ wrapped[None, :]
        masks.append(apart.to(like.device) * torch.tensor(MASKED, dtype=like.dtype))
    return masks[0], masks[1]


def coordinates(size: int) -> tuple[Tensor, Tensor]:
    """Row and column of each pixel of a square, in the order of its tokens: (size * size,)."""
    cells = torch.arange(size * size)
    return cells // size, cells % size
