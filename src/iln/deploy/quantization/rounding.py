"""Fake quantisation: values rounded to the few that an integer type can say, kept as floats.

Integers q of b bits stand for the values s (q - z), with a step s and, if asymmetric, a zero
point z that is itself one of the integers, so that 0 (a convolution's padding) stays exactly 0.
Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference" (2018), eq. 1. Rounding is to the nearest, halves to the even integer.
"""

import math

import torch
from torch import Tensor

from iln.errors import InputError

HALF_RANGE = 64
"""The largest integer of 8-bit weights that no CPU computes wrongly: without 8-bit dot products,
x86 adds two products of an unsigned and a signed number in 16 bits, and 2 * 255 * 64 < 2^15."""


def quantize_symmetric(x: Tensor, bits: int, *, top: int | None = None) -> Tensor:
    """Weights, around 0, in x's shape and dtype:

        s = max|x| / Q,  q = clamp(round(x / s), -Q, Q),  s q,  Q = 2^(bits - 1) - 1

    Each slice along the first dimension, the output channels of linear layers and convolutions,
    has a step of its own. Slices of zeros stay zeros; one with a value that is not finite becomes
    NaN.

    Args:
        bits: 2 to 16.
        top: a smaller Q (`HALF_RANGE`).
    """
    largest_code = _levels(bits) // 2 - 1
    top = largest_code if top is None else min(top, largest_code)
    others = list(range(1, x.ndim))
    largest = x.abs().amax(others, keepdim=True) if others and x.numel() else x.abs()
    step = torch.where(largest == 0, 1, largest / top)
    return (x / step).round().clamp(-top, top) * step


def quantize_asymmetric(x: Tensor, bits: int, low: float, high: float) -> Tensor:
    """Activations, all with one step, for a range seen before, in x's shape and dtype:

        s = (high - low) / (2^bits - 1),  z = round(-low / s)
        q = clamp(round(x / s) + z, 0, 2^bits - 1),  s (q - z)

    The range is stretched to contain 0. What lies outside is clamped. All is NaN if the range is
    not finite.

    Args:
        bits: 2 to 16.
        low: the smallest value to be expected.
        high: the largest value to be expected.
    """
    top = _levels(bits) - 1
    low, high = min(low, 0.0), max(high, 0.0)
    if not math.isfinite(high - low):
        return torch.full_like(x, math.nan)
    if low == high:
        return torch.zeros_like(x)
    step = (high - low) / top
    zero = round(-low / step)
    return (x / step).round_().clamp_(-zero, top - zero).mul_(step)


def sqnr(signal: float, noise: float) -> float:
    """Signal-to-quantisation-noise ratio in dB: 10 log10(signal / noise).

    Infinite without noise; NaN without signal, or where one of them is not finite.

    Args:
        signal: sum of y^2.
        noise: sum of (y - y_quantised)^2.
    """
    if not signal > 0 or not math.isfinite(signal) or not math.isfinite(noise):
        return math.nan
    return 10 * math.log10(signal / noise) if noise else math.inf


def _levels(bits: int) -> int:
    if not 2 <= bits <= 16:
        raise InputError(f"{bits} bits; accepted: 2 to 16")
    return 1 << bits
