"""Dividing a network's residual stream by a power of two, with its function unchanged.

Every reader of the stream x either normalises it (the blocks, the last norm) or is linear or
LeakyReLU in it (the convolutions that end a group, DRCT's adjust layers). So x / K does as well as
x, if all that is added to it is divided too:

    what                                               LN and its like     i-LN
    entry: norm after the patch embedding              gain, offset / K    gamma, beta / K
    output of attention and MLP (`proj`, `fc2`)        weight, bias / K    - (sigma is / K itself)
    HAT's conv branch: second convolution              weight, bias / K    -
                       first layer of its gate         weight * K          -
    convolutions inside groups, adjust layers          bias / K            bias / K
    last norm                                          - (it normalises)   gamma * K

The gate is a sigmoid and not free of scale, hence its K; its bias stays. LayerScale has a factor
per channel at the end of each branch, which is divided in place of the three rows above;
BatchNorm's running averages follow the stream. eps, beside the variance, would have to be divided
by K^2; it stays as it is, so that the authors' own code can load the result, and that costs
about eps / (2 variance) of the features once they are small again. With K a power of two nothing
else is rounded, unless a weight becomes so small that its type has no digits left for it.

Without a norm before the branches (`none`, `rezero`) the branches see the stream's scale, so
nothing of this holds.

K may differ from group to group: what enters a group is then multiplied by the power of two
between the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from iln.backbones import Backbone
from iln.errors import InputError
from iln.norm import NORMS, Norm


def stream_powers(model: Backbone) -> dict[str, int]:
    """By the name of a parameter or buffer, the power of K that it is multiplied by for the stream
    to be divided by K; what is not named stays.

    Raises:
        InputError: for a network whose branches see the stream as it is.
    """
    kind = NORMS[model.spec.norm]
    if not kind.removes_scale:
        raise InputError(
            f"a network with norm {model.spec.norm!r} cannot be rescued: nothing normalises "
            "what its branches read, so a smaller stream is another function"
        )
    found: dict[str, int] = {}
    for name, _ in model.patch_embed.named_parameters(prefix="patch_embed"):
        found[name] = -1
    for name, block in model.blocks().items():
        if not kind.carries_scale:
            powers = getattr(block, "branch_powers", None)
            if powers is None:
                raise InputError(f"{type(block).__name__} does not say its branch_powers")
            found |= {f"{name}.{own}": power for own, power in powers.items()}
    inside_norms = {n: m for n, m in model.named_modules() if isinstance(m, Norm)}
    del inside_norms["patch_embed.norm"]  # all of it, above
    for name, norm in inside_norms.items():
        found |= {f"{name}.{own}": power for own, power in norm.stream_powers.items()}
    inside = {id(module) for block in model.blocks().values() for module in block.modules()}
    for name, module in model.layers.named_modules(prefix="layers"):
        if isinstance(module, nn.Conv2d) and id(module) not in inside:
            found[f"{name}.bias"] = -1
    return found


def times_power_of_two(tensor: Tensor, power: int) -> Tensor:
    """tensor * 2^power, in its own dtype."""
    return torch.ldexp(tensor, torch.tensor(power)).to(tensor.dtype)


def group_of(name: str, groups: int) -> int:
    """Which residual group's stream a parameter belongs to: the first one at the entry, the last
    one after all of them."""
    first, _, rest = name.partition(".")
    if first == "layers":
        return int(rest.partition(".")[0])
    return 0 if first == "patch_embed" else groups - 1


@torch.no_grad()
def divide_stream(model: Backbone, exponents_of_groups: Sequence[int]) -> None:
    """Divide the residual stream of a network by 2^e in each of its groups, in place.

    Args:
        exponents_of_groups: e for every residual group; negative ones multiply. Where they differ,
            the stream is divided by the difference between two groups (`Spec.stream_steps`), which
            the authors' own code does not do.

    Raises:
        InputError: as `stream_powers`.
    """
    totals = list(exponents_of_groups)
    tensors = dict(model.state_dict())
    powers = stream_powers(model)
    for name, power in powers.items():
        if name in tensors:  # a layer may have no bias
            exponent = totals[group_of(name, len(totals))]
            tensors[name].copy_(times_power_of_two(tensors[name], power * exponent))
    blocks = tuple(f"{name}." for name in model.blocks())
    for name, (low, high) in model.ranges.items():
        reads_stream = name.startswith("layers.") and not name.startswith(blocks)
        if reads_stream or powers.get(f"{name}.weight") == 1:
            factor = 2.0 ** -totals[group_of(name, len(totals))]
            model.ranges[name] = low * factor, high * factor
    before = model.spec.stream_steps or (0,) * len(totals)
    steps = [0, *(b - a for a, b in pairwise(totals))]
    total_steps = tuple(old + new for old, new in zip(before, steps, strict=True))
    model.spec = replace(model.spec, stream_steps=total_steps if any(total_steps) else ())
