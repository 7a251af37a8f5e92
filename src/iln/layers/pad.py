"""Padding to whole windows, by reflection, for pictures of any size."""

from __future__ import annotations

import torch
from torch import Tensor


def reflect_pad(image: Tensor, height: int, width: int) -> Tensor:
    """(B, H, W, C) -> (B, height, width, C), reflected at the bottom and the right edge.

    Where PyTorch's reflection ends (padding as large as the picture), this one goes on back and
    forth; a single row or column is repeated. The padding is part of the map that holistic
    norms look at: the published networks pad the same way.
    """
    for dim, size in ((1, height), (2, width)):
        # A graph is for any size, so there it is not yet known whether anything is missing.
        if torch.compiler.is_exporting() or image.shape[dim] != size:
            image = image.index_select(dim, bounce(image.shape[dim], size, image.device))
    return image


def crop(image: Tensor, height: int, width: int) -> Tensor:
    """(B, H, W, C) -> its first rows and columns (B, height, width, C)."""
    if torch.compiler.is_exporting():
        # A view's strides would tell the tracer whether something is cut off; a graph must not.
        for dim, size in ((1, height), (2, width)):
            image = image.index_select(dim, torch.arange(size, device=image.device))
        return image
    return image[:, :height, :width]


def bounce(length: int, size: int, device: torch.device) -> Tensor:
    """0, 1, ..., length - 1, length - 2, ..., 0, 1, ...: `size` of them."""
    # A tensor, because an exported graph knows the length only when it runs.
    period = torch.full((1,), 2 * (length - 1), device=device).clamp(min=1)
    steps = torch.arange(size, device=device) % period
    return torch.where(steps < length, steps, period - steps)
