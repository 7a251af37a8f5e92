"""Weights of 4 bits in files: two to a byte, with a step for every 32 of them.

A weight (out, ...) is flattened to (out, n) and cut into groups of 32 along n. In each group

    w = s q,   q = -8 .. 7,   s a float16

with s chosen, among fractions of max|w| / 7, to make the squared error least: large weights may
be cut off a little where that serves the many small ones. That is 4.5 bits a weight. Networks
compute with the float32 weights that `unpack` gives back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from iln.errors import InputError

GROUP = 32
"""Weights that share a step."""
_FRACTIONS = tuple(0.5 + 0.025 * i for i in range(21))
_CODES, _STEPS = ".q4", ".step"


def pack(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Codes (out, groups, 16) uint8 and steps (out, groups) float16 of a weight (out, ...)."""
    values = _grouped(weight.detach().float())
    if not values.isfinite().all():
        raise InputError("has weights that are infinite or NaN, which 4 bits cannot hold")
    largest = values.abs().amax(-1, keepdim=True)
    best = torch.full_like(largest, torch.inf)
    steps = torch.zeros_like(largest)
    for fraction in _FRACTIONS:
        step = (largest * (fraction / 7)).half().float()
        error = (_coded(values, step) * step - values).square().sum(-1, keepdim=True)
        steps = torch.where(error < best, step, steps)
        best = torch.minimum(best, error)
    codes = (_coded(values, steps) + 8).to(torch.uint8)
    return codes[..., 0::2] | codes[..., 1::2] << 4, steps.squeeze(-1).half()


def unpack(codes: Tensor, steps: Tensor, shape: torch.Size) -> Tensor:
    """The weight of that shape, float32. Raises InputError for tensors of another weight."""
    out, count = shape[0], shape[1:].numel()
    groups = -(-count // GROUP)
    if codes.shape != (out, groups, GROUP // 2) or steps.shape != (out, groups):
        raise InputError(
            f"has 4-bit weights {tuple(codes.shape)} with steps {tuple(steps.shape)} where "
            f"{tuple(shape)} was expected; get the file again"
        )
    halves = torch.stack((codes & 15, codes >> 4), -1).flatten(-2).float() - 8
    values = halves * steps.float()[..., None]
    return values.flatten(1)[:, :count].reshape(shape)


def packed(weights: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """The same weights, those named replaced by their codes and steps."""
    found = dict(weights)
    for name in names:
        found[name + _CODES], found[name + _STEPS] = pack(found.pop(name))
    return found


def unpacked(weights: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """`packed` undone.

    Args:
        shapes: of all weights of the network.

    Raises:
        InputError: for packed weights that belong to nothing, or to another weight.
    """
    found = dict(weights)
    for codes in [name for name in weights if name.endswith(_CODES)]:
        name = codes.removesuffix(_CODES)
        if name not in shapes or name + _STEPS not in found:
            raise InputError(f"has 4-bit weights {name} that belong to nothing; get it again")
        found[name] = unpack(found.pop(codes), found.pop(name + _STEPS), shapes[name])
    return found


def _grouped(weight: Tensor) -> Tensor:
    """(out, ...) -> (out, groups, 32), zeros at the end."""
    flat = weight.flatten(1)
    flat = torch.nn.functional.pad(flat, (0, -flat.shape[1] % GROUP))
    return flat.view(len(flat), -1, GROUP)


def _coded(values: Tensor, step: Tensor) -> Tensor:
    return (values / step.where(step > 0, 1)).round().clamp(-8, 7)
