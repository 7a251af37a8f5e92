"""A network computed as if in few bits: fake quantisation, for study.

Quantised are the linear layers and convolutions of the body: of all groups, and the convolution
after them. The first convolution and the upsampler, which see and make pixels, stay as they are,
as is usual for super-resolution; so do attention's own products (q k^T and P v), softmax, norms
and sums. A format `W4A8` has weights of 4 bits, symmetric, a step for each output channel from its
largest weight, and activations (inputs of these layers) of 8 bits, asymmetric, one step a layer.
A16 leaves activations in float. Their range is, by `ranges`:

    none       the smallest and largest value of each input itself (MinMax, no data needed)
    percentile measured before on a few pictures by `calibrate`: what lies beyond is clipped
"""

import copy
import math
import re
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from iln.backbones import Backbone
from iln.deploy.quantization.rounding import HALF_RANGE, quantize_asymmetric, quantize_symmetric
from iln.errors import InputError

FORMATS = ("W8A8", "W8A16", "W4A16", "W4A8", "W4A4")
"""Those that the field compares."""
PERCENTILE = 99.9
"""Share of a layer's inputs, in per cent, that calibration keeps in range."""
_SAMPLES = 1 << 16
"""Inputs of a layer that are looked at in a picture."""

Range = tuple[float, float]


class Bits(NamedTuple):
    """Of weights and of activations; None leaves them in float."""

    weights: int
    activations: int | None


def bits_of(name: str) -> Bits:
    """`W8A8` -> Bits(8, 8). Raises InputError for anything else than W and A with 2 to 16 bits."""
    found = re.fullmatch(r"W([0-9]+)A([0-9]+)", str(name))
    if not found or not all(2 <= int(number) <= 16 for number in found.groups()):
        raise InputError(f"no format {name!r}; accepted are W and A with 2 to 16 bits, like W4A8")
    weights, activations = map(int, found.groups())
    return Bits(weights, None if activations == 16 else activations)


def quantized(
    model: Backbone,
    bits: Bits | str,
    ranges: Mapping[str, Range] | None = None,
    *,
    half_range: bool = False,
) -> Backbone:
    """A copy of a network that computes its body in few bits; the original stays.

    Args:
        bits: what `bits_of` gives, or its name, such as `W4A8`.
        ranges: by layer, of `calibrate`; None takes each input's own smallest and largest value (of
            each strip, where the picture is computed in strips).
        half_range: 8-bit weights from -64 to 64, as CPUs without 8-bit dot products compute them.

    Raises:
        InputError: for another format, and for ranges of another network.
    """
    bits = bits if isinstance(bits, Bits) else bits_of(bits)
    missing = [] if ranges is None else [n for n in model.body_layers() if n not in ranges]
    if missing:
        raise InputError(f"ranges lack {missing[0]}; `calibrate` measures them on this network")
    rough = copy.deepcopy(model)
    top = HALF_RANGE if half_range else None
    for name, layer in rough.body_layers().items():
        weight = layer.get_parameter("weight")
        weight.data = quantize_symmetric(weight.data, bits.weights, top=top)
        if bits.activations is not None:
            limits = None if ranges is None else ranges[name]
            layer.register_forward_pre_hook(partial(_round_input, bits.activations, limits))
    return rough


def _round_input(bits: int, limits: Range | None, layer: nn.Module, inputs: Any) -> Any:
    (x,) = inputs
    low, high = limits or tuple(value.item() for value in torch.aminmax(x))
    return (quantize_asymmetric(x, bits, low, high),)


@torch.no_grad()
def calibrate(
    model: Backbone, images: Iterable[Tensor], percentile: float = PERCENTILE
) -> dict[str, Range]:
    """By layer, the range that holds `percentile` per cent of its inputs over some pictures.

    The rest is shared by both ends.

    Args:
        images: each (1, C, H, W) in [0, 1].

    Raises:
        InputError: without pictures, and for a percentile that is not in (50, 100].
    """
    if not 50 < percentile <= 100:
        raise InputError(f"percentile is {percentile:g}; it must be above 50 and at most 100")
    seen: dict[str, list[Tensor]] = {}

    look_at = _ends if percentile == 100 else _sampled

    def look(name: str, layer: nn.Module, inputs: Any) -> None:
        seen.setdefault(name, []).append(look_at(inputs[0]))

    with ExitStack() as undo:
        for name, layer in model.body_layers().items():
            undo.callback(layer.register_forward_pre_hook(partial(look, name)).remove)
        for image in images:
            model(image)
    if not seen:
        raise InputError("calibration needs at least one picture")
    tail = (1 - percentile / 100) / 2
    found = {}
    for name, parts in seen.items():
        values = torch.cat(parts).sort().values
        last = values.numel() - 1
        low, high = values[round(tail * last)], values[round((1 - tail) * last)]
        found[name] = (float(low), float(high))
    return found


def _ends(x: Tensor) -> Tensor:
    """The smallest and the largest of its values."""
    return torch.stack(torch.aminmax(x.detach())).double().cpu()


def _sampled(x: Tensor) -> Tensor:
    """Some of its values, evenly spread, in memory of their own: x itself may go.

    The stride has no factor in common with their number, and so none with that of the channels: one
    that had would look at some of the channels again and again, and never at the others.
    """
    values = x.detach().flatten()
    stride = max(1, values.numel() // _SAMPLES)
    while math.gcd(stride, values.numel()) > 1:
        stride -= 1
    return values[::stride].to("cpu", torch.float64, copy=True)
