"""Our layers in OpenVINO's operations: what a block does to some windows or pixels, as one graph.

Inputs and outputs are float32, channels last. With the range of a layer's input, as
`iln.deploy.quantization.calibrate` measures it, the layer is marked to compute in int8
(FakeQuantize, from which OpenVINO makes products of integers): weights symmetric with a step for
each output channel, inputs asymmetric with one step, as in `iln.deploy.quantization.rounding`.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from iln.extras import need
from iln.layers.attention import WindowAttention
from iln.layers.feedforward import FeedForward
from iln.norm import Norm, PerChannel


class Rounding(NamedTuple):
    """How a layer computes in 8 bits: the range of its inputs, and its weights' largest integer."""

    low: float
    high: float
    top: int


Ranges = dict[str, Rounding]
"""By layer, relative to the module that a graph is made of: `qkv`, `fc1`, ...; "" for itself."""


class Graph:
    """A graph that is being made.

    Args:
        constants: weights are constants of the graph; else they are inputs of it, so that one
            graph serves all layers of one shape.
    """

    def __init__(self, *, constants: bool) -> None:
        self._constants = constants
        self.inputs: list[Any] = []
        self.weights: dict[str, Tensor] = {}
        """By name: what the inputs that stay the same are to be."""

    def input(self, name: str, *shape: int) -> Any:
        """An input that is found by its name."""
        op, _ = _operations()
        entry = op.parameter(shape, np.float32, name)
        entry.output(0).set_names({name})
        self.inputs.append(entry)
        return entry

    def product(self, x: Any, layer: "Layer", seen: Rounding | None) -> Any:
        """x times the layer's weight, and its bias."""
        op, _ = _operations()
        x = _rounded(x, seen)
        y = op.matmul(x, self._weight(layer.name, layer.weight, seen), False, True)
        if layer.bias is None:
            return y
        return op.add(y, self._weight(layer.name + ".bias", layer.bias, None))

    def model(self, result: Any) -> Any:
        """The whole, with all its inputs."""
        op, model = _operations()
        return model([op.result(result)], self.inputs)

    def _weight(self, name: str, weight: Tensor, seen: Rounding | None) -> Any:
        if self._constants:
            return _weight(weight, seen)
        self.weights[name] = weight.detach().float().contiguous()
        return self.input(name, *weight.shape)


class Layer(NamedTuple):
    """A linear layer, (out, in) and (out)."""

    name: str
    weight: Tensor
    bias: Tensor | None


def linear(layer: nn.Linear, ranges: Ranges) -> Any:
    """(n, in) -> (n, out)."""
    graph = Graph(constants=True)
    x = graph.input("x", -1, layer.in_features)
    return graph.model(graph.product(x, Layer("", layer.weight, layer.bias), ranges.get("")))


def feed_forward(graph: Graph, mlp: FeedForward, norm: Norm, ranges: Ranges, count: int) -> Any:
    """x + rescale(fc2(GELU(fc1(normalize(x))))) for pixels x (count, C)."""
    op, _ = _operations()
    x = graph.input("x", count, norm.dim)
    y = _normalized(graph, x, norm)
    y = graph.product(y, Layer("fc1", mlp.fc1.weight, mlp.fc1.bias), ranges.get("fc1"))
    y = op.gelu(y, "ERF")
    y = graph.product(y, Layer("fc2", mlp.fc2.weight, mlp.fc2.bias), ranges.get("fc2"))
    return _added(graph, x, y)


def window_attention(
    graph: Graph, attention: WindowAttention, norm: Norm, ranges: Ranges, count: int
) -> Any:
    """x + rescale(attention(normalize(x))) for windows x (count, N, C), N = w * w.

    One more input: `bias` (1, heads, N, N) for the scores.
    """
    heads, tokens = attention.num_heads, attention.window**2
    x = graph.input("x", count, tokens, norm.dim)
    bias = graph.input("bias", 1, heads, tokens, tokens)
    y = _normalized(graph, x, norm)
    *layers, proj = _layers(attention, exactly=bool(ranges))
    y = _attend([graph.product(y, layer, ranges.get("qkv")) for layer in layers], bias, heads)
    return _added(graph, x, graph.product(y, proj, ranges.get("proj")))


def attention_to_context(proj: nn.Linear, bias: Tensor, ranges: Ranges) -> Any:
    """q (n, N, C), k and v side by side (n, M, 2 C) -> proj of the attention (n, N, C).

    Args:
        bias: (heads, N, M) of the scores.
    """
    op, _ = _operations()
    graph = Graph(constants=True)
    heads, count, others = bias.shape
    dim = proj.in_features
    q = graph.input("q", -1, count, dim)
    kv = graph.input("kv", -1, others, 2 * dim)
    k, v = op.split(kv, op.constant(np.int64(2)), 2).outputs()
    scaled = op.multiply(q, op.constant(np.float32((dim // heads) ** -0.5)))
    y = _attend([scaled, k, v], _constant(bias[None]), heads)
    return graph.model(graph.product(y, Layer("", proj.weight, proj.bias), ranges.get("proj")))


def widest(graph: Any) -> int:
    """Numbers of the largest tensor that a graph computes, from one of its n entries if n may be
    any number."""
    shapes = [
        entry.get_output_partial_shape(0)
        for entry in graph.get_ordered_ops()
        if entry.get_type_name() != "Parameter"
    ]
    # Where any shape is open, what has no such side comes from the weights alone.
    opened = [shape for shape in shapes if shape.is_dynamic] or shapes
    return max(
        math.prod(int(side.get_length()) for side in shape if side.is_static) for shape in opened
    )


def _layers(attention: WindowAttention, *, exactly: bool) -> list[Layer]:
    """Those of q (with the scores' 1 / sqrt(d)), k, v, and `proj`.

    Three small products are fused with the attention behind them; a large one would be cut. Unless
    `exactly` as they are, k has no bias (it adds the same to all scores of a query, which softmax
    does not see), and that of v is added after `proj` (the weights of each query sum to 1).
    """
    qkv, proj = attention.qkv, attention.proj
    scale = (qkv.in_features // attention.num_heads) ** -0.5
    q, k, v = qkv.weight.detach().chunk(3)
    biases = torch.zeros(3 * qkv.in_features) if qkv.bias is None else qkv.bias.detach()
    of_q, of_k, of_v = biases.chunk(3)
    return [
        Layer("q", q * scale, of_q * scale),
        Layer("k", k, of_k if exactly else None),
        Layer("v", v, of_v if exactly else None),
        Layer("proj", proj.weight, proj.bias if exactly else proj.bias + proj.weight @ of_v),
    ]


def _normalized(graph: Graph, x: Any, norm: Norm) -> Any:
    """The norm of x; the graph is given the values of `PerChannel`, or all of it."""
    op, _ = _operations()
    if type(norm).per_channel is Norm.per_channel:
        return graph.input("normal", *x.get_output_shape(0))
    mean, gain, shift = (graph.input(name, norm.dim) for name in PerChannel._fields)
    return op.add(op.multiply(op.subtract(x, mean), gain), shift)


def _added(graph: Graph, x: Any, y: Any) -> Any:
    """x + factor y, the factor of each channel being what the norm's `rescale` multiplies it by."""
    op, _ = _operations()
    factor = graph.input("factor", x.get_output_shape(0)[-1])
    return graph.model(op.add(x, op.multiply(y, factor)))


def _attend(parts: Sequence[Any], bias: Any, heads: int) -> Any:
    """softmax(q k^T + bias) v of windows (n, N or M, C), bias (1, heads, N, M)."""
    op, _ = _operations()
    q, k, v = (
        op.transpose(op.reshape(part, _whole(0, 0, heads, -1), True), _whole(0, 2, 1, 3))
        for part in parts
    )
    y = op.scaled_dot_product_attention(q, k, v, bias, op.constant(np.float32(1)))
    return op.reshape(op.transpose(y, _whole(0, 2, 1, 3)), _whole(0, 0, -1), True)


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
