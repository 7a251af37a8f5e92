"""Exchanging a network's normalisation."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch

from iln.backbones.backbone import Backbone
from iln.errors import InputError
from iln.norm import Norm, kind_inside, kind_outside


def convert(model: Backbone, norm: str, eps: float | None = None) -> Backbone:
    """A copy of `model` with every norm replaced by `norm`; the original stays as it is.

    Gains and shifts per channel carry over where both schemes have them. The copy computes
    something else than the original did, so it is a start for training, not a finished model.
    The input statistics stay the original's (`build` would choose others for i-LN).

    Args:
        model: one of our backbones; it stays as it is.
        norm: one of `iln.norm.NORMS`.
        eps: the new scheme's own unless given.

    Raises:
        InputError: for another network, or a norm that is not known.
    """
    kind = kind_inside(norm)
    if not isinstance(model, Backbone):
        raise InputError(
            f"{type(model).__name__} is none of our backbones; "
            "docs/norms.md shows i-LN in a network of your own"
        )
    eps = kind.default_eps if eps is None else eps
    model = copy.deepcopy(model)
    model.spec = replace(model.spec, norm=norm, eps=eps)
    model.ranges = {}  # of other features
    learns = any(parameter.requires_grad for parameter in model.parameters())
    for path, old in [(n, m) for n, m in model.named_modules() if isinstance(m, Norm)]:
        parent = model.get_submodule(path.rpartition(".")[0])
        outside = path in ("norm", "patch_embed.norm")
        new = (kind_outside(norm) if outside else kind)(old.dim, eps)
        new.train(old.training)
        new.requires_grad_(learns)
        new.to(model.conv_first.weight)
        _carry_over(old, new)
        setattr(parent, path.rpartition(".")[2], new)
    return model


@torch.no_grad()
def _carry_over(old: Norm, new: Norm) -> None:
    known = old.state_dict()
    for names in (("weight", "gamma"), ("bias", "beta")):
        source = next((known[name] for name in names if name in known), None)
        if source is not None:
            known.update(dict.fromkeys(names, source))
    for name, target in new.state_dict().items():
        if name in known:
            target.copy_(known[name])
