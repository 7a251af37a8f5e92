"""Our layers in OpenVINO's operations: the same products and sums, for any number of rows.

Inputs and outputs are float32, channels last. With the range of a layer's input, as
`iln.deploy.quantization.calibrate` measures it, the layer is marked to compute in int8
(FakeQuantize, from which OpenVINO makes products of integers): weights symmetric with a step for
each output channel, inputs asymmetric with one step, as in `iln.deploy.quantization.rounding`.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from iln.extras import need
from iln.layers.attention import WindowAttention
from iln.layers.feedforward import FeedForward
from iln.layers.position_bias import position_bias


class Rounding(NamedTuple):
    """How a layer computes in 8 bits: the range of its inputs, and its weights' largest integer."""

    low: float
    high: float
    top: int


Ranges = dict[str, Rounding]
"""By layer, relative to the module that a graph is made of: `qkv`, `fc1`, ...; "" for itself."""


def linear(layer: nn.Linear, ranges: Ranges) -> Any:
    """(n, in) -> (n, out)."""
    op, model = _operations()
    x = op.parameter([-1, layer.in_features], np.float32)
    seen = ranges.get("")
    return model([op.result(_product(_rounded(x, seen), layer, seen))], [x])


def feed_forward(mlp: FeedForward, ranges: Ranges) -> Any:
    """fc1, GELU, fc2: (n, C) -> (n, C)."""
    op, model = _operations()
    x = op.parameter([-1, mlp.fc1.in_features], np.float32)
    y = x
    for layer, name in ((mlp.fc1, "fc1"), (mlp.fc2, "fc2")):
        y = _product(_rounded(y, ranges.get(name)), layer, ranges.get(name))
        if layer is mlp.fc1:
            y = op.gelu(y, "ERF")
    return model([op.result(y)], [x])


def window_attention(attention: WindowAttention, ranges: Ranges, *, masked: bool) -> Any:
    """Normalised windows (n, N, C) -> the branch's output for them (n, N, C), N = w * w.

    Args:
        masked: takes a second input (n, 1, N, N), which is added to the scores.
    """
    op, model = _operations()
    qkv, count = attention.qkv, attention.window**2
    x = op.parameter([-1, count, qkv.in_features], np.float32)
    bias = _constant(
        position_bias(attention.relative_position_bias_table, attention.relative_position_index)
    )
    inputs = [x]
    if masked:
        inputs.append(op.parameter([-1, 1, count, count], np.float32))
        bias = op.add(op.unsqueeze(bias, _whole(0)), inputs[1])
    seen = ranges.get("qkv")
    rounded = _rounded(x, seen)
    parts = [_product(rounded, qkv, seen, share) for share in _thirds(qkv)]
    y = _attend(parts, bias, attention.num_heads)
    y = _product(_rounded(y, ranges.get("proj")), attention.proj, ranges.get("proj"))
    return model([op.result(y)], inputs)


def attention_to_context(proj: nn.Linear, bias: Tensor, ranges: Ranges) -> Any:
    """q (n, N, C), k and v side by side (n, M, 2 C) -> proj of the attention (n, N, C).

    Args:
        bias: (heads, N, M) of the scores.
    """
    op, model = _operations()
    heads, count, others = bias.shape
    dim = proj.in_features
    q = op.parameter([-1, count, dim], np.float32)
    kv = op.parameter([-1, others, 2 * dim], np.float32)
    k, v = op.split(kv, op.constant(np.int64(2)), 2).outputs()
    y = _attend([q, k, v], _constant(bias), heads)
    y = _product(_rounded(y, ranges.get("proj")), proj, ranges.get("proj"))
    return model([op.result(y)], [q, kv])


def widest(graph: Any) -> int:
    """Numbers of the largest tensor that a graph computes from one of its n entries."""
    shapes = [
        entry.get_output_partial_shape(0)
        for entry in graph.get_ordered_ops()
        if entry.get_type_name() != "Parameter"
    ]
    # What has no side of unknown length comes from the weights alone.
    return max(
        math.prod(int(side.get_length()) for side in shape if side.is_static)
        for shape in shapes
        if shape.is_dynamic
    )


def _attend(parts: list[Any], bias: Any, heads: int) -> Any:
    """softmax(q k^T / sqrt(d) + bias) v of windows (n, N or M, C), bias (1 or n, heads, N, M)."""
    op, _ = _operations()
    q, k, v = (
        op.transpose(op.reshape(part, _whole(0, 0, heads, -1), True), _whole(0, 2, 1, 3))
        for part in parts
    )
    if bias.get_output_partial_shape(0).rank.get_length() == 3:
        bias = op.unsqueeze(bias, _whole(0))
    y = op.scaled_dot_product_attention(q, k, v, bias)
    return op.reshape(op.transpose(y, _whole(0, 2, 1, 3)), _whole(0, 0, -1), True)


def _product(x: Any, layer: nn.Linear, seen: Rounding | None, rows: slice = slice(None)) -> Any:
    """x times (some rows of) a linear layer's weight, and its bias."""
    op, _ = _operations()
    y = op.matmul(x, _weight(layer.weight[rows], seen), False, True)
    return y if layer.bias is None else op.add(y, _constant(layer.bias[rows]))


def _thirds(qkv: nn.Linear) -> list[slice]:
    """Three small products are fused with the attention behind them; a large one would be cut."""
    dim = qkv.in_features
    return [slice(start, start + dim) for start in range(0, 3 * dim, dim)]


def _weight(weight: Tensor, seen: Rounding | None) -> Any:
    """Of 8 bits where there is a range: -top to top steps of each output channel's own.

    OpenVINO takes steps for integers if there are 255 of them; the outer ones may go unused.
    """
    constant = _constant(weight)
    if seen is None:
        return constant
    op, _ = _operations()
    largest = weight.detach().abs().amax(list(range(1, weight.ndim)), keepdim=True)
    limit = torch.where(largest == 0, 1, largest) * (127 / seen.top)
    low, high = _constant(-limit), _constant(limit)
    return op.fake_quantize(constant, low, high, low, high, 255)


def _rounded(x: Any, seen: Rounding | None) -> Any:
    """x in 256 steps between the smallest and largest value seen, 0 being one of the steps."""
    if seen is None:
        return x
    op, _ = _operations()
    low, high = min(seen.low, 0.0), max(seen.high, 0.0)
    step = (high - low) / 255 or 1.0
    low = -round(-low / step) * step
    limits = [op.constant(np.float32(limit)) for limit in (low, low + 255 * step)]
    return op.fake_quantize(x, *limits, *limits, 256)


def _constant(tensor: Tensor) -> Any:
    op, _ = _operations()
    return op.constant(tensor.detach().float().contiguous().numpy())


def _whole(*numbers: int) -> Any:
    op, _ = _operations()
    return op.constant(np.array(numbers, np.int64))


def _operations() -> tuple[Any, Any]:
    """The operations, and the class of whole graphs."""
    openvino = need("openvino", "openvino")
    return need("openvino.opset13", "openvino"), openvino.Model
