"""The learned relative position bias of window attention."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from iln.layers.windows import coordinates


def relative_position_index(window: int) -> Tensor:
    """Row of the bias table for each (query, key) of a window: (w * w, w * w) int64."""
    y, x = coordinates(window)
    dy = y[:, None] - y[None, :] + window - 1
    dx = x[:, None] - x[None, :] + window - 1
    return dy * (2 * window - 1) + dx


def overlapping_position_index(window: int, extended: int) -> Tensor:
    """The same for keys of a larger window around the queries': (w * w, e * e) int64."""
    return signed_overlapping_position_index(window, extended) % (window + extended - 1) ** 2


def signed_overlapping_position_index(window: int, extended: int) -> Tensor:
    """The same as HAT counts and saves it: some rows are negative, which Python's indexing counts
    from the table's end. Trained tables rely on it."""
    qy, qx = coordinates(window)
    ky, kx = coordinates(extended)
    dy = ky[None, :] - qy[:, None] + window - extended + 1
    dx = kx[None, :] - qx[:, None] + window - extended + 1
    return dy * (window + extended - 1) + dx


def position_table(entries: int, num_heads: int) -> nn.Parameter:
    """A table of relative position biases as the authors start it: truncated normal, 0.02."""
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(entries, num_heads), std=0.02))


def position_bias(table: Tensor, index: Tensor) -> Tensor:
    """(entries, heads) and (N, M) int64 -> the bias of each head's scores (heads, N, M)."""
    if torch.compiler.is_exporting():
        return table.t().index_select(1, index.flatten()).view(-1, *index.shape)
    bias: Tensor = _PositionBias.apply(table, index)  # type: ignore[no-untyped-call]
    return bias


class _PositionBias(torch.autograd.Function):
    """A gather whose gradient is summed head by head, each in the order of the index.

    PyTorch's gradient of an indexed table takes ten times as long on a CPU, and its threads add
    in whatever order they arrive.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor) -> Tensor:
        rows = index.flatten()
        ctx.save_for_backward(rows)
        ctx.entries = table.shape[0]
        return table.t().contiguous().index_select(1, rows).view(-1, *index.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (rows,) = ctx.saved_tensors
        gradient = gradient.flatten(1)
        empty = gradient.new_zeros(gradient.shape[0], ctx.entries)
        if gradient.device.type != "cpu":  # there only this one has a deterministic form
            return empty.index_add(1, rows, gradient).t(), None
        return empty.scatter_add(1, rows.expand_as(gradient), gradient).t(), None
