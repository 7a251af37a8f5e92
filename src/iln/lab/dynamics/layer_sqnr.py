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
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from iln.deploy.quantization import quantize_asymmetric, quantize_symmetric, sqnr
from iln.layers.hooks import Hooks

BITS = (8, 4)
"""Of weights and activations alike: W8A8 and W4A4."""


@dataclass(frozen=True)
class LayerNoise:
    """Of one layer.

    Attributes:
        low: the lower end of its inputs' range.
        high: the upper end of its inputs' range.
        w8a8: SQNR in dB, NaN where there is no signal or something is not finite, infinite where
            nothing is lost.
        w4a4: the same with 4 bits.
    """

    kind: Literal["linear", "convolution"]
    low: float
    high: float
    w8a8: float
    w4a4: float


class _LayerHooks(Hooks):
    """`look` is shown the input and output of each layer, of all that is computed inside `with`."""

    def __init__(self, model: nn.Module) -> None:
        kinds = (nn.Linear, nn.Conv2d)
        self.layers = {
            n: module for n, module in model.named_modules() if isinstance(module, kinds)
        }

    def attach(self, undo: ExitStack) -> None:
        def hear(name: str, module: nn.Module, inputs: Any, output: Tensor) -> None:
            self.look(name, inputs[0], output)

        for name, module in self.layers.items():
            undo.callback(module.register_forward_hook(partial(hear, name)).remove)

    def look(self, name: str, x: Tensor, y: Tensor) -> None:
        raise NotImplementedError


class InputRanges(_LayerHooks):
    """The smallest and largest input of each layer, over all that is computed inside `with`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.ranges: dict[str, tuple[float, float]] = {}
        """By layer, in the order in which they compute; NaN where an input is NaN."""

    def look(self, name: str, x: Tensor, y: Tensor) -> None:
        low, high = (value.item() for value in torch.aminmax(x.detach()))
        before = self.ranges.get(name, (low, high))
        # Of numpy's, in which NaN wins.
        self.ranges[name] = float(np.minimum(low, before[0])), float(np.maximum(high, before[1]))


class NoiseMeter(_LayerHooks):
    """Computes every layer twice more, quantised, inside `with`, and adds up the difference.

    Args:
        ranges: of `InputRanges`, over the same pictures. Nothing but sums is kept.
    """

    def __init__(self, model: nn.Module, ranges: Mapping[str, tuple[float, float]]) -> None:
        super().__init__(model)
        self.ranges = ranges
        self._sums: dict[str, list[float]] = {}  # of the signal, and of the noise of each of BITS

    @property
    def noise(self) -> dict[str, LayerNoise]:
        """By layer, in the order in which they compute."""
        return {
            name: LayerNoise(
                "linear" if isinstance(self.layers[name], nn.Linear) else "convolution",
                *self.ranges[name],
                *(sqnr(signal, noise) for noise in noises),
            )
            for name, (signal, *noises) in self._sums.items()
        }

    def look(self, name: str, x: Tensor, y: Tensor) -> None:
        sums = self._sums.setdefault(name, [0.0] * (1 + len(BITS)))
        sums[0] += _energy(y)
        for i, bits in enumerate(BITS, 1):
            narrow = quantize_asymmetric(x, bits, *self.ranges[name])
            # `forward`, not a call: the copy has this very hook as well.
            sums[i] += _energy(y - _quantized(self.layers[name], bits).forward(narrow))


def _quantized(module: nn.Module, bits: int) -> Any:
    rough: Any = copy.deepcopy(module)
    rough.weight.data = quantize_symmetric(rough.weight.data, bits)
    return rough


def _energy(x: Tensor) -> float:
    """Sum of squares, in float64 where the device has it (Metal does not)."""
    wide = torch.float32 if x.device.type == "mps" else torch.float64
    norm: float = torch.linalg.vector_norm(x.detach(), dtype=wide).item()
    return norm * norm
