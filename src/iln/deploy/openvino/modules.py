"""Stand-ins for our layers, which have OpenVINO compute what the layer would.

They take and give what the layers do inside a strip, so that a network with them walks over a
picture as before: any size, whole-map statistics in float32, memory for the maps and one strip.
"""

from collections.abc import Callable
from concurrent.futures import Future
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iln.backbones.hat import OverlappingBlock
from iln.deploy.openvino import operations
from iln.deploy.openvino.operations import Ranges
from iln.layers.attention import WindowAttention
from iln.layers.feedforward import FeedForward
from iln.layers.forward_pass import Rows
from iln.layers.position_bias import position_bias
from iln.layers.windows import from_windows, overlapping_windows, seam_masks, to_windows

PIECE = 1 << 20
"""Elements of the widest tensor that a graph works on at a time: each keeps its own memory for it,
and there are dozens of graphs. 4 MiB of float32."""

Compile = Callable[[Any], "Future[Any]"]
"""A graph -> something to infer with, when it is ready: dozens are compiled side by side."""


class Program:
    """A compiled graph that takes and gives (n, ...) tensors, some of the n at a time."""

    def __init__(self, graph: Any, compile_graph: Compile, at_once: int) -> None:
        from openvino import Tensor as Shared

        self._shared = Shared
        self._compiled = compile_graph(graph)
        self.at_once = max(1, at_once)
        self.scratch_bytes = 2 * 4 * max(PIECE, self.at_once * operations.widest(graph))
        """Bytes that it will keep for what it computes: measured, with some to spare."""

    @cached_property
    def request(self) -> Any:
        """What infers."""
        return self._compiled.result().create_infer_request()

    def __call__(self, *inputs: Tensor, out: Tensor) -> Tensor:
        """inputs, out: contiguous float32; `out` is filled and returned."""
        if not len(out):
            return out
        # Equal pieces, a few entries computed twice: each other number of them would take memory
        # of its own at first.
        size = -(-len(out) // -(-len(out) // self.at_once))
        for start in range(0, len(out), size):
            end = min(start + size, len(out))
            share = slice(end - size, end)
            for i, tensor in enumerate(inputs):
                self.request.set_input_tensor(i, self._view(tensor[share]))
            self.request.set_output_tensor(self._view(out[share]))
            self.request.infer()
        return out

    def _view(self, tensor: Tensor) -> Any:
        return self._shared(tensor.numpy(), shared_memory=True)


class CompiledLinear(nn.Module):
    """For a linear layer on (..., in)."""

    def __init__(self, layer: nn.Linear, ranges: Ranges, compile_graph: Compile) -> None:
        super().__init__()
        self.out_features = layer.out_features
        at_once = PIECE // layer.out_features
        self._run = Program(operations.linear(layer, ranges), compile_graph, at_once)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.reshape(-1, x.shape[-1])
        out = self._run(tokens, out=tokens.new_empty(len(tokens), self.out_features))
        return out.view(*x.shape[:-1], -1)


class CompiledFeedForward(nn.Module):
    """For `iln.layers.feedforward.FeedForward`."""

    def __init__(self, mlp: FeedForward, ranges: Ranges, compile_graph: Compile) -> None:
        super().__init__()
        at_once = PIECE // mlp.fc1.out_features
        self._run = Program(operations.feed_forward(mlp, ranges), compile_graph, at_once)

    def forward(self, rows: Rows) -> Tensor:
        tokens = rows.pixels.reshape(-1, rows.pixels.shape[-1])
        return self._run(tokens, out=torch.empty_like(tokens)).view(rows.pixels.shape)


class CompiledAttention(nn.Module):
    """For `iln.layers.attention.WindowAttention`; shifted: where it will be given a shift."""

    def __init__(
        self, attention: WindowAttention, shifted: bool, ranges: Ranges, compile_graph: Compile
    ) -> None:
        super().__init__()
        self.window = attention.window
        at_once = PIECE // (3 * attention.qkv.in_features * self.window**2)
        plain, masked = (
            operations.window_attention(attention, ranges, masked=masked)
            for masked in (False, True)
        )
        self._run = Program(plain, compile_graph, at_once)
        # Its widest tensor may be the bias with each window's own mask.
        at_once = min(at_once, PIECE // operations.widest(masked))
        self._run_masked = Program(masked, compile_graph, at_once) if shifted else None

    def forward(self, rows: Rows) -> Tensor:
        if rows.shift:
            return rows.roll_back(self(rows.roll()))
        windows = to_windows(rows.pixels, self.window)
        out = self._run(windows.flatten(0, 2), out=torch.empty_like(windows).flatten(0, 2))
        out = out.view(windows.shape)
        if rows.rolled:
            # As in `iln.kernels.window_attention_fused`: those few are computed again, masked.
            below, right = seam_masks(self.window, rows.rolled, windows)
            last, rest, everything = slice(-1, None), slice(None, -1), slice(None)
            self._again(windows, out, (everything, everything, last), right)
            if rows.bottom:
                self._again(windows, out, (everything, last, rest), below)
                self._again(windows, out, (everything, last, last), below + right)
        return from_windows(out, self.window)

    def _again(self, windows: Tensor, out: Tensor, some: tuple[slice, ...], mask: Tensor) -> None:
        chosen = windows[some]
        flat = chosen.flatten(0, 2).contiguous()
        masks = mask.expand(len(flat), 1, *mask.shape).contiguous()
        assert self._run_masked is not None
        if len(flat):
            out[some] = self._run_masked(flat, masks, out=torch.empty_like(flat)).view(chosen.shape)


class CompiledOverlappingBlock(OverlappingBlock):
    """For HAT's `OverlappingBlock`, whose attention it replaces; `mlp` is replaced by itself."""

    def __init__(self, block: OverlappingBlock, ranges: Ranges, compile_graph: Compile) -> None:
        nn.Module.__init__(self)
        self.window, self.extended, self.halo = block.window, block.extended, block.halo
        self.norm1, self.norm2 = block.norm1, block.norm2
        self.mlp = block.mlp
        seen = {"": ranges["qkv"]} if "qkv" in ranges else {}
        self.project = CompiledLinear(block.qkv, seen, compile_graph)
        bias = position_bias(block.relative_position_bias_table, block.relative_position_index)
        at_once = PIECE // (2 * block.qkv.in_features * self.extended**2)
        graph = operations.attention_to_context(block.proj, bias, ranges)
        self._run = Program(graph, compile_graph, at_once)

    def attention(self, rows: Rows) -> Tensor:
        qkv = self.project(rows.pixels)
        dim = qkv.shape[-1] // 3
        q = to_windows(rows.crop(qkv[..., :dim]).contiguous(), self.window)
        missing = (self.halo - rows.above, self.halo - rows.below)
        kv = F.pad(qkv[..., dim:], (0, 0, self.halo, self.halo, *missing))
        kv = overlapping_windows(kv, self.window, self.extended).flatten(0, 2).contiguous()
        out = self._run(q.flatten(0, 2), kv, out=torch.empty_like(q).flatten(0, 2))
        return from_windows(out.view(q.shape), self.window)
