"""How a forward pass goes over a feature map: in one piece, or strip by strip in place.

All that a block does is local, with a known halo, once the statistics of the whole map are
known. So a block says what it computes, and the pass decides how many rows are seen at a time:

    ForwardPass()   the whole map at once, nothing overwritten: what training and autograd need
    Checkpointed()  the same, in less memory and more time: gradient checkpointing
    Strips(n)       n rows at a time, writing into the map: the same result to rounding, in memory
                    for the map and one strip

Maps are (B, H, W, C).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from iln.layers.drop_path import DropPath
from iln.layers.pad import bounce, reflect_pad
from iln.norm import Norm, Statistics

Allocate = Callable[[Sequence[int], torch.dtype, torch.device], Tensor]


@dataclass(frozen=True)
class Rows:
    """A strip of a map, as a branch sees it.

    Attributes:
        pixels: (B, above + h + below, W, C); the result belongs to the h rows in the middle.
        above: rows of context that exist there (0 at the picture's edge, else the halo).
        below: the same at the other end.
        bottom: the strip ends with the last rows of the (rolled) map.
        shift: pixels by which the windows still have to be moved right and down.
        rolled: pixels by which the map was rolled up and left to move them; the last windows of it
            hold pixels of both sides of the picture.
    """

    pixels: Tensor
    above: int = 0
    below: int = 0
    bottom: bool = True
    shift: int = 0
    rolled: int = 0

    def roll(self) -> Rows:
        """A whole map, rolled by its shift."""
        pixels = torch.roll(self.pixels, (-self.shift, -self.shift), (1, 2))
        return replace(self, pixels=pixels, shift=0, rolled=self.shift)

    def roll_back(self, y: Tensor) -> Tensor:
        """A result for `roll()`, as the picture lies."""
        return torch.roll(y, (self.shift, self.shift), (1, 2))

    def crop(self, y: Tensor, scale: int = 1) -> Tensor:
        """Cut the context's rows off y, a result for all rows, at `scale` rows per row."""
        return y[:, self.above * scale : y.shape[1] - self.below * scale]


Branch = Callable[[Rows], Tensor]
"""Normalised rows -> (B, h, W, C) for the h rows in the middle."""
Local = Callable[[Tensor], Tensor]
"""(B, h, W, C) -> (B, scale * h, scale * W, D), edge rows wrong by at most the halo."""


class InPlaceBranch(nn.Module):
    """A branch that an engine computes in one with the norm before it and the sum after it."""

    def add_to(
        self, x: Tensor, stats: Statistics | None, shift: int, tick: Callable[[float], None]
    ) -> None:
        """x += rescale(branch(normalize(x))), in place.

        Args:
            x: the residual stream, (1, H, W, C).
            stats: of x, as the norm that stands before the branch gives them.
            shift: pixels by which the branch's windows are moved right and down.
            tick: told which share of the map is done, piece by piece.
        """
        raise NotImplementedError


class GatedConvolution(Protocol):
    """Convolutions, and a weight for each channel that needs the whole convolved map."""

    halo: int

    def convolve(self, x: Tensor) -> Tensor:
        """(B, h, W, C) -> (B, h, W, C), edge rows wrong by at most the halo."""
        ...

    def gate(self, convolved: Tensor) -> Tensor:
        """(B, H, W, C), all of it -> (B, 1, 1, C)."""
        ...


class Residual(NamedTuple):
    """A residual branch; see `ForwardPass.residual`."""

    norm: Norm
    branch: Branch
    drop_path: DropPath | None
    window: int
    shift: int
    halo: int
    beside: GatedConvolution | None

    def dropped(self, y: Tensor) -> Tensor:
        """The branch's output, left out at random in training."""
        out: Tensor = y if self.drop_path is None else self.drop_path(y)
        return out


class ForwardPass:
    """The whole map in one piece; no tensor is overwritten."""

    def copy(self, x: Tensor) -> Tensor:
        """A map that may be changed while x is still needed (here nothing ever changes)."""
        return x

    def concatenate(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps side by side in their channels, as a map that may be changed."""
        return torch.cat(tuple(maps), -1) if len(maps) > 1 else maps[0]

    def scale(self, x: Tensor, factor: float) -> Tensor:
        """factor x; x may be overwritten."""
        return x * factor

    def pad(self, image: Tensor, height: int, width: int) -> Tensor:
        """The image with reflected rows and columns added; itself where none are missing."""
        return reflect_pad(image, height, width)

    def map(self, f: Local, x: Tensor, halo: int = 0, scale: int = 1) -> Tensor:
        """f over the map x; `halo` rows on each side reach its result."""
        return f(x)

    def add(self, onto: Tensor, f: Local, x: Tensor, halo: int = 0) -> Tensor:
        """onto + f(x); `onto` may be overwritten, x is not."""
        return (onto + f(x)).to(onto.dtype)

    def residual(
        self,
        x: Tensor,
        norm: Norm,
        branch: Branch,
        drop_path: DropPath | None = None,
        *,
        window: int = 1,
        shift: int = 0,
        halo: int = 0,
        beside: GatedConvolution | None = None,
    ) -> Tensor:
        """x + rescale(drop_path(branch(normalize(x)))), as the norm normalises and rescales.

        Args:
            x: the residual stream (B, H, W, C); may be overwritten.
            norm: one of `iln.norm.NORMS`.
            branch: what the normalised map goes through.
            drop_path: leaves the branch out at random in training.
            window: the branch works on whole windows of this many rows.
            shift: pixels by which these windows are moved right and down.
            halo: rows above and below that the branch looks at; not together with a shift.
            beside: convolutions of the same normalised map, added to the branch's output.

        Returns:
            (B, H, W, C) in x's dtype.
        """
        return self.add_branch(x, Residual(norm, branch, drop_path, window, shift, halo, beside))

    def add_branch(self, x: Tensor, step: Residual) -> Tensor:
        """What `residual` does; each way to go over a map has its own."""

        def whole(y: Tensor) -> Tensor:
            out = step.dropped(step.branch(Rows(y, shift=step.shift)))
            if step.beside is None:
                return out
            convolved = step.beside.convolve(y)
            return torch.addcmul(out, convolved, step.beside.gate(convolved))

        return step.norm.residual(x, whole)


class Checkpointed(ForwardPass):
    """The whole map in one piece, and what happens inside a branch computed again for its
    gradient instead of kept (gradient checkpointing, Chen et al. 2016): for training in little
    memory. Only the maps between the branches are held."""

    def map(self, f: Local, x: Tensor, halo: int = 0, scale: int = 1) -> Tensor:
        return _recomputed(super().map, f, x, halo, scale)

    def add(self, onto: Tensor, f: Local, x: Tensor, halo: int = 0) -> Tensor:
        return _recomputed(super().add, onto, f, x, halo)

    def add_branch(self, x: Tensor, step: Residual) -> Tensor:
        return _recomputed(super().add_branch, x, step)


def _recomputed(f: Callable[..., Tensor], *arguments: object) -> Tensor:
    out: Tensor = checkpoint(f, *arguments, use_reentrant=False)
    return out


def in_memory(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """An uninitialised tensor in memory."""
    return torch.empty(tuple(shape), dtype=dtype, device=device)


class Strips(ForwardPass):
    """Strip by strip, writing into the maps; for inference only.

    Args:
        rows: rows of a strip; rounded up to whole windows where a branch works on windows.
        allocate: makes the maps, `torch.empty` unless they should lie somewhere else.
        tick: told, after each strip, which share of one pass over a map it was.
    """

    def __init__(
        self,
        rows: int,
        allocate: Allocate = in_memory,
        tick: Callable[[float], None] = lambda share: None,
    ) -> None:
        if rows < 1:
            raise ValueError(f"a strip needs at least 1 row, not {rows}")
        self.rows, self.allocate, self.tick = rows, allocate, tick

    def _spans(self, height: int, window: int = 1) -> Iterator[tuple[int, int]]:
        step = -(-self.rows // window) * window
        for top in range(0, height, step):
            end = min(top + step, height)
            yield top, end
            self.tick((end - top) / height)

    def _context(self, x: Tensor, top: int, end: int, halo: int) -> Rows:
        above, below = min(halo, top), min(halo, x.shape[1] - end)
        return Rows(x[:, top - above : end + below], above, below, end == x.shape[1])

    def copy(self, x: Tensor) -> Tensor:
        return self.concatenate([x])

    def concatenate(self, maps: Sequence[Tensor]) -> Tensor:
        channels = sum(part.shape[-1] for part in maps)
        like = maps[0]
        out = self.allocate((*like.shape[:-1], channels), like.dtype, like.device)
        slots = torch.split(out, [part.shape[-1] for part in maps], -1)
        for part, slot in zip(maps, slots, strict=True):
            slot.copy_(part)
        return out

    def scale(self, x: Tensor, factor: float) -> Tensor:
        return x.mul_(factor)

    def pad(self, image: Tensor, height: int, width: int) -> Tensor:
        b, h, w, c = image.shape
        if (h, w) == (height, width):
            return image
        out = self.allocate((b, height, width, c), image.dtype, image.device)
        out[:, :h, :w] = image
        out[:, :h, w:] = image[:, :, bounce(w, width, image.device)[w:]]
        out[:, h:] = out[:, bounce(h, height, image.device)[h:]]
        return out

    def map(self, f: Local, x: Tensor, halo: int = 0, scale: int = 1) -> Tensor:
        out: Tensor | None = None
        for top, end in self._spans(x.shape[1]):
            rows = self._context(x, top, end, halo)
            y = rows.crop(f(rows.pixels), scale)
            if out is None:
                shape = (y.shape[0], x.shape[1] * scale, y.shape[2], y.shape[3])
                out = self.allocate(shape, y.dtype, y.device)
            out[:, top * scale : end * scale] = y
        assert out is not None
        return out

    def add(self, onto: Tensor, f: Local, x: Tensor, halo: int = 0) -> Tensor:
        for top, end in self._spans(x.shape[1]):
            rows = self._context(x, top, end, halo)
            onto[:, top:end] += rows.crop(f(rows.pixels))
        return onto

    def add_branch(self, x: Tensor, step: Residual) -> Tensor:
        norm, beside = step.norm, step.beside
        stats = norm.statistics(x)

        def normalize(rows: Tensor) -> Tensor:
            return norm.normalize(rows, stats)

        def change(rows: Rows) -> Tensor:
            y = step.branch(replace(rows, pixels=normalize(rows.pixels)))
            return norm.rescale(step.dropped(y), stats)

        convolved = None
        if beside is not None:
            # It reads rows that the branch is about to change, so it goes first; its gate needs
            # the whole convolved map, so that is kept until then.
            convolve = beside.convolve
            convolved = self.map(lambda rows: convolve(normalize(rows)), x, beside.halo)
            weight = beside.gate(convolved)
        if isinstance(step.branch, InPlaceBranch):
            step.branch.add_to(x, stats, step.shift, self.tick)
        elif step.shift:
            self._add_rolled(x, change, step.window, step.shift)
        else:
            self._add_in_place(x, change, step.window, step.halo)
        if convolved is not None:
            x = self.add(x, lambda rows: norm.rescale(rows * weight, stats), convolved)
        return x

    def _add_in_place(self, x: Tensor, change: Branch, window: int, halo: int) -> None:
        """x += change(x), where `change` looks `halo` rows beyond what it changes."""
        above = x[:, :0]  # the last `halo` rows before the strip, as they were
        for top, end in self._spans(x.shape[1], window):
            rows = self._context(x, top, end, halo)
            if halo:
                pixels = torch.cat((above, rows.pixels[:, rows.above :]), 1)
                rows = Rows(pixels, above.shape[1], rows.below, rows.bottom)
                fresh = x[:, max(top, end - halo) : end]
                above = torch.cat((above, fresh), 1)[:, -halo:]
            x[:, top:end] += change(rows)

    def _add_rolled(self, x: Tensor, change: Branch, window: int, shift: int) -> None:
        """x += change(x) on the map rolled up and left by `shift`, and rolled back."""
        height = x.shape[1]
        for top, end in self._spans(height, window):
            # Row r of the rolled map is row r + shift of x; the last ones come round.
            parts = [(top + shift, min(end + shift, height)), (0, max(end + shift - height, 0))]
            pixels = torch.cat([x[:, a:b] for a, b in parts if b > a], 1)
            rolled = torch.roll(pixels, -shift, 2)
            y = torch.roll(change(Rows(rolled, bottom=end == height, rolled=shift)), shift, 2)
            done = 0
            for a, b in parts:
                if b > a:
                    x[:, a:b] += y[:, done : done + b - a]
                    done += b - a


WHOLE = ForwardPass()
