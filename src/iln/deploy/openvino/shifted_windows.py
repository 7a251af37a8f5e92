"""Windows of a map in memory, copied out some at a time and written back.

The shift moves windows right and down over the map's edges; those that come back at the other side
are put together from two or four parts, and the map itself is never rolled.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from iln.layers.windows import seam_masks


@dataclass(frozen=True)
class Part:
    """A part of each window.

    Attributes:
        pixels: (rows, columns, h, w, C), a view into the map.
        y: its rows in the window.
        x: its columns in the window.
    """

    pixels: Tensor
    y: slice
    x: slice


@dataclass(frozen=True)
class Region:
    """Windows that have the map's edge at the same place, in `rows` rows and `columns` columns.

    Attributes:
        parts: what each window is made of.
        mask: (N, N), to be added to the scores; None where no edge lies in the windows.
    """

    parts: Sequence[Part]
    rows: int
    columns: int
    mask: Tensor | None

    def gather(self, start: int, windows: Tensor) -> None:
        """Fill windows (n, w, w, C) with the region's windows from number `start` on."""
        for part, pixels, some in self._segments(start, len(windows)):
            windows[some, part.y, part.x].copy_(pixels)

    def scatter(self, start: int, windows: Tensor) -> None:
        """Write windows (n, w, w, C) to where `gather` found them."""
        for part, pixels, some in self._segments(start, len(windows)):
            pixels.copy_(windows[some, part.y, part.x])

    def _segments(self, start: int, count: int) -> Iterator[tuple[Part, Tensor, slice]]:
        """Neighbours in a row: their pixels in the map, and which of the windows they are."""
        done = 0
        while done < count:
            row, column = divmod(start + done, self.columns)
            some = min(self.columns - column, count - done)
            for part in self.parts:
                yield part, part.pixels[row, column : column + some], slice(done, done + some)
            done += some


def regions(x: Tensor, window: int, shift: int) -> Iterator[Region]:
    """All windows of the map x (H, W, C), once each; H and W are multiples of the window."""
    below, right = seam_masks(window, shift, x)
    for i, vertical in enumerate(_spans(x.shape[0], window, shift)):
        for j, horizontal in enumerate(_spans(x.shape[1], window, shift)):
            parts = [
                Part(_windows(x[top:end, left:stop], y, z), y, z)
                for top, end, y in vertical
                for left, stop, z in horizontal
            ]
            masks = [below] * i + [right] * j
            mask = None if not masks else sum(masks[1:], masks[0])
            rows, columns = parts[0].pixels.shape[:2]
            yield Region(parts, rows, columns, mask)


def _spans(size: int, window: int, shift: int) -> list[list[tuple[int, int, slice]]]:
    """Along one side: the windows inside, and the one over the edge, as spans of the map with
    their places in the window."""
    if not shift:
        return [[(0, size, slice(0, window))]]
    edge = size - window + shift
    parted = window - shift
    return [
        [(shift, edge, slice(0, window))],
        [(edge, size, slice(0, parted)), (0, shift, slice(parted, window))],
    ]


def _windows(pixels: Tensor, y: slice, x: slice) -> Tensor:
    """A view (rows, columns, h, w, C) of (rows * h, columns * w, C)."""
    height, width = y.stop - y.start, x.stop - x.start
    cut = torch.unflatten(torch.unflatten(pixels, 1, (-1, width)), 0, (-1, height))
    return cut.transpose(1, 2)
