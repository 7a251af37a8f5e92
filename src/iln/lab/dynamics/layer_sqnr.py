"""How much noise int8 and int4 would add to each layer, measured and not run through the network.

Each linear layer and convolution gets the float network's own input, so that a layer's number is
its own doing and not that of the layers before it:

    y = W x + b        y' = Q_w(W) Q_a(x) + b        SQNR = 10 log10(sum y^2 / sum (y - y')^2)

Q_w is symmetric, with a step for every output channel, from its largest weight. Q_a is
asymmetric, one step for the layer, from the smallest and largest input over all pictures
(`iln.deploy.quantization.rounding`). Attention's own products stay in float.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from iln.deploy.quantization import quantize_asymmetric, quantize_symmetric, sqnr
from iln.layers.hooks import Hooks

BITS = (8, 4)
"""Of weights and activations alike: W8A8 and W4A4."""


@dataclass(frozen=True)
class LayerNoise:
    """Of one layer. low, high: its inputs' range. w8a8, w4a4: SQNR in dB, NaN where there is no
    signal or something is not finite, infinite where nothing is lost."""

    kind: Literal["linear", "convolution"]
    low: float
    high: float
    w8a8: float
    w4a4: float


class InputRanges(Hooks):
    """The smallest and largest input of each layer, over all that is computed inside `with`."""

    def __init__(self, model: nn.Module) -> None:
        self.layers = _layers(model)
        self.ranges: dict[str, tuple[float, float]] = {}
        """By layer, in the order in which they compute; NaN where an input is NaN."""

    def attach(self, undo: ExitStack) -> None:
        _listen(undo, self.layers, self._look)

    def _look(self, name: str, module: nn.Module, x: Tensor, y: Tensor) -> None:
        low, high = (value.item() for value in torch.aminmax(x.detach()))
        if name in self.ranges:
            before = self.ranges[name]
            low, high = _least(low, before[0]), -_least(-high, -before[1])
        self.ranges[name] = (low, high)


@dataclass
class _Sums:
    signal: float = 0.0
    noise: list[float] = field(default_factory=lambda: [0.0] * len(BITS))


class NoiseMeter(Hooks):
    """Computes every layer twice more, quantised, inside `with`, and adds up the difference.

    Args:
        ranges: of `InputRanges`, over the same pictures. Nothing but sums is kept.
    """

    def __init__(self, model: nn.Module, ranges: Mapping[str, tuple[float, float]]) -> None:
        self.layers = _layers(model)
        self.ranges = ranges
        self._sums: dict[str, _Sums] = {}

    def attach(self, undo: ExitStack) -> None:
        _listen(undo, self.layers, self._look)

    @property
    def noise(self) -> dict[str, LayerNoise]:
        """By layer, in the order in which they compute."""
        return {
            name: LayerNoise(
                "linear" if isinstance(self.layers[name], nn.Linear) else "convolution",
                *self.ranges[name],
                *(sqnr(sums.signal, noise) for noise in sums.noise),
            )
            for name, sums in self._sums.items()
        }

    def _look(self, name: str, module: nn.Module, x: Tensor, y: Tensor) -> None:
        sums = self._sums.setdefault(name, _Sums())
        sums.signal += _energy(y)
        for i, bits in enumerate(BITS):
            rough = _quantized(module, bits)
            # `forward`, not a call: the copy has this very hook as well.
            sums.noise[i] += _energy(
                y - rough.forward(quantize_asymmetric(x, bits, *self.ranges[name]))
            )


def _layers(model: nn.Module) -> dict[str, nn.Module]:
    kinds = (nn.Linear, nn.Conv2d)
    return {name: module for name, module in model.named_modules() if isinstance(module, kinds)}


def _listen(
    undo: ExitStack,
    layers: Mapping[str, nn.Module],
    look: Callable[[str, nn.Module, Tensor, Tensor], None],
) -> None:
    def hear(name: str, module: nn.Module, inputs: Any, output: Tensor) -> None:
        look(name, module, inputs[0], output)

    for name, module in layers.items():
        undo.callback(module.register_forward_hook(partial(hear, name)).remove)


def _quantized(module: nn.Module, bits: int) -> Any:
    rough: Any = copy.deepcopy(module)
    rough.weight.data = quantize_symmetric(rough.weight.data, bits)
    return rough


def _energy(x: Tensor) -> float:
    """Sum of squares, in float64 where the device has it (Metal does not)."""
    wide = torch.float32 if x.device.type == "mps" else torch.float64
    norm: float = torch.linalg.vector_norm(x.detach(), dtype=wide).item()
    return norm * norm


def _least(a: float, b: float) -> float:
    """min, but NaN wins."""
    return a if math.isnan(a) or a < b else b
