"""Stand-ins for our layers, which have OpenVINO compute what the layer would.

Attention and feed-forward are computed together with the norm before them and the sum after them,
in place and some windows or pixels at a time. So a picture may have any size, statistics are of the
whole map in float32, and memory is that of the maps.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iln.backbones.hat import OverlappingBlock
from iln.deploy.openvino import operations
from iln.deploy.openvino.operations import Graph, Ranges
from iln.deploy.openvino.programs import PIECE, Compiler, Program, StreamProgram
from iln.deploy.openvino.shifted_windows import regions
from iln.errors import InputError
from iln.layers.attention import WindowAttention
from iln.layers.feedforward import FeedForward
from iln.layers.forward_pass import InPlaceBranch, Rows
from iln.layers.position_bias import position_bias
from iln.layers.windows import from_windows, overlapping_windows, to_windows
from iln.norm import Norm, Statistics


class CompiledFeedForward(InPlaceBranch):
    """For `iln.layers.feedforward.FeedForward` and the norm before it."""

    def __init__(
        self, mlp: FeedForward, norm: Norm, ranges: Ranges, compile_graph: Compiler
    ) -> None:
        super().__init__()

        def make(graph: Graph, count: int) -> Any:
            return operations.feed_forward(graph, mlp, norm, ranges, count)

        self.program = StreamProgram(make, 2 * mlp.fc1.out_features, norm, compile_graph)

    def add_to(
        self, x: Tensor, stats: Statistics | None, shift: int, tick: Callable[[float], None]
    ) -> None:
        pixels = x.view(-1, x.shape[-1])
        with self.program.over(stats) as run:
            for some in run.pieces(len(pixels)):
                pixels[some] = run(pixels[some])
                tick((some.stop - some.start) / len(pixels))


class CompiledAttention(InPlaceBranch):
    """For `iln.layers.attention.WindowAttention` and the norm before it."""

    def __init__(
        self, attention: WindowAttention, norm: Norm, ranges: Ranges, compile_graph: Compiler
    ) -> None:
        super().__init__()

        def make(graph: Graph, count: int) -> Any:
            return operations.window_attention(graph, attention, norm, ranges, count)

        self.window = attention.window
        self.bias = position_bias(
            attention.relative_position_bias_table, attention.relative_position_index
        )
        wide = 3 * norm.dim * self.window**2
        self.program = StreamProgram(make, wide, norm, compile_graph)

    def add_to(
        self, x: Tensor, stats: Statistics | None, shift: int, tick: Callable[[float], None]
    ) -> None:
        if len(x) != 1:
            raise InputError(f"a compiled network takes one picture at a time, not {len(x)}")
        side, (_, height, width, channels) = self.window, x.shape
        buffer = torch.empty(max(self.program.counts), side, side, channels)
        with self.program.over(stats) as run:
            for region in regions(x[0], side, shift):
                mask = 0 if region.mask is None else region.mask
                run.give("bias", (self.bias + mask)[None])
                for some in run.pieces(region.rows * region.columns):
                    windows = buffer[: some.stop - some.start]
                    region.gather(some.start, windows)
                    new = run(windows.flatten(1, 2))
                    region.scatter(some.start, new.view(windows.shape))
                    tick(len(windows) * side**2 / (height * width))

    def forward(self, *_: Any) -> Tensor:
        """Only in strips."""
        raise InputError("a compiled network computes in strips: network(image, Strips(rows))")


class CompiledLinear(nn.Module):
    """For a linear layer on (..., in)."""

    def __init__(self, layer: nn.Linear, ranges: Ranges, compile_graph: Compiler) -> None:
        super().__init__()
        self.out_features = layer.out_features
        at_once = PIECE // layer.out_features
        self.program = Program(operations.linear(layer, ranges), compile_graph, at_once)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.reshape(-1, x.shape[-1])
        out = self.program(tokens, out=tokens.new_empty(len(tokens), self.out_features))
        return out.view(*x.shape[:-1], -1)


class CompiledOverlappingBlock(OverlappingBlock):
    """For HAT's `OverlappingBlock`, whose attention it replaces; `mlp` is replaced by itself."""

    def __init__(self, block: OverlappingBlock, ranges: Ranges, compile_graph: Compiler) -> None:
        nn.Module.__init__(self)
        self.window, self.extended, self.halo = block.window, block.extended, block.halo
        self.norm1, self.norm2 = block.norm1, block.norm2
        self.mlp = block.mlp
        seen = {"": ranges["qkv"]} if "qkv" in ranges else {}
        self.project = CompiledLinear(block.qkv, seen, compile_graph)
        bias = position_bias(block.relative_position_bias_table, block.relative_position_index)
        at_once = PIECE // (2 * block.qkv.in_features * self.extended**2)
        graph = operations.attention_to_context(block.proj, bias, ranges)
        self.program = Program(graph, compile_graph, at_once)

    def attention(self, rows: Rows) -> Tensor:
        qkv = self.project(rows.pixels)
        dim = qkv.shape[-1] // 3
        q = to_windows(rows.crop(qkv[..., :dim]).contiguous(), self.window)
        missing = (self.halo - rows.above, self.halo - rows.below)
        kv = F.pad(qkv[..., dim:], (0, 0, self.halo, self.halo, *missing))
        kv = overlapping_windows(kv, self.window, self.extended).flatten(0, 2).contiguous()
        out = self.program(q.flatten(0, 2), kv, out=torch.empty_like(q).flatten(0, 2))
        return from_windows(out.view(q.shape), self.window)
