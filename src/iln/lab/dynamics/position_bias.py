"""Learned position bias tables as pictures, and how smooth they are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from iln.errors import InputError, nearest
from iln.lab.dynamics.drawing import (
    INK,
    LABEL,
    SIGNED,
    SMALL,
    TITLE,
    Figure,
    bare,
    new_figure,
    short,
)
from iln.lab.dynamics.probe import backbone_of


def bias_grids(model: nn.Module) -> dict[str, Tensor]:
    """Every block's position bias as pictures, by block: (heads, n, n) float64 on the CPU.

    Entry [h, i, j] is what head h adds to the score of the key that lies i - n // 2 pixels below
    and j - n // 2 pixels right of the query. n is 2 w - 1 for windows of w pixels, and w + e - 1
    where the keys' window is e pixels wide (HAT's overlapping blocks).
    """
    return {name: _grid(block) for name, block in backbone_of(model).blocks().items()}


def _grid(block: nn.Module) -> Tensor:
    """By the block's own index; HAT's is counted in a way of its own."""
    holder = cast(nn.Module, getattr(block, "attn", block))
    table = cast(Tensor, holder.relative_position_bias_table).detach()
    index = cast(Tensor, holder.relative_position_index).cpu()
    table = table.to("cpu", torch.float64)
    window, keys = (math.isqrt(side) for side in index.shape)
    query, key = torch.arange(window), torch.arange(keys) - (keys - window) // 2
    offset = key[None, :] - query[:, None]  # (w, e), one axis of key - query
    size = window + keys - 1
    row = (offset + size // 2)[:, None, :, None].expand(window, window, keys, keys)
    column = (offset + size // 2)[None, :, None, :].expand(window, window, keys, keys)
    grid = table.new_empty(size, size, table.shape[1])
    grid[row.flatten(), column.flatten()] = table[index.flatten()]
    return grid.permute(2, 0, 1)


def roughness(grid: Tensor) -> Tensor:
    """Total variation of pictures (..., n, n) in units of their own deviation: (...).

        (sqrt(pi) / 2) E |difference of neighbours| / standard deviation

    over all pairs of neighbours, across and down. 1 is what independent Gaussian numbers give
    (their differences have E |d| = 2 sigma / sqrt(pi)); the smoother, the nearer to 0. It does
    not depend on the table's scale or offset. 0 for a constant picture.
    """
    grid = grid.to(torch.float64)
    steps = [grid.diff(dim=-1).abs().flatten(-2), grid.diff(dim=-2).abs().flatten(-2)]
    deviation = grid.flatten(-2).std(-1, correction=0)
    score = torch.cat(steps, -1).mean(-1) * (math.sqrt(math.pi) / 2) / deviation
    return torch.where(deviation > 0, score, 0)


def draw_position_bias(models: Mapping[str, nn.Module], block: str) -> Figure:
    """All heads of a block as heat maps, a row for each network.

    They are smooth under i-LN, noisy under LayerNorm (the paper's Figs. 9 and 12). The axes are key
    - query in pixels; each row has one scale of colours around 0, and each map says its roughness.

    Args:
        models: by the name to show.

    Raises:
        InputError: for an unknown block.
    """
    grids = {name: bias_grids(model) for name, model in models.items()}
    for found in grids.values():
        if block not in found:
            raise InputError(f"no block {block!r}; {nearest(block, found)}")
    heads = max(len(found[block]) for found in grids.values())
    figure = new_figure(0.9 + 1.75 * heads, 0.6 + 2.0 * len(models))
    title = f"Position bias of block {short(block)}, over key − query"
    figure.suptitle(title, fontsize=TITLE, color=INK, x=0.01, ha="left")
    panels = figure.subplots(len(models), heads, squeeze=False)
    for row, (name, found) in zip(panels, grids.items(), strict=True):
        tables = found[block]
        reach = tables.shape[-1] // 2
        centred = tables - tables.mean((1, 2), keepdim=True)  # softmax does not see an offset
        limit = float(np.quantile(centred.abs().numpy(), 0.995)) or 1.0
        for axes in row[len(tables) :]:
            axes.set_axis_off()
        scores = roughness(tables).tolist()
        for head, (axes, table) in enumerate(zip(row, centred, strict=False)):
            extent = (-reach - 0.5, reach + 0.5, reach + 0.5, -reach - 0.5)
            drawn = axes.imshow(table.numpy(), SIGNED, vmin=-limit, vmax=limit, extent=extent)
            bare(axes)
            axes.set_xlabel(f"roughness {scores[head]:.2f}", fontsize=SMALL, color=INK)
            axes.set_title(f"head {head + 1}", fontsize=SMALL, color=INK)
        row[0].set_ylabel(name, fontsize=LABEL, color=INK)
        row[0].set_yticks([-reach, 0, reach])
        row[0].tick_params(labelsize=SMALL, labelcolor=INK)
        bar = figure.colorbar(drawn, ax=list(row), shrink=0.8, pad=0.01)
        bar.ax.tick_params(labelsize=SMALL, labelcolor=INK)
        bar.outline.set_visible(False)
    return figure
