"""Exchanging a network's normalisation."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch

from iln.backbones.backbone import Backbone
from iln.errors import InputError
from iln.norm import NORMS, OUTSIDE, Norm, default_eps


def convert(model: Backbone, norm: str, eps: float | None = None) -> Backbone:
    """A copy of `model` with every norm replaced by `norm`; the original stays as it is.

    Gains and shifts per channel carry over where both schemes have them. The copy computes
    something else than the original did, so it is a start for training, not a finished model.
    eps: the new scheme's own unless given. Raises InputError for a norm that is not known.
    """
    if norm not in NORMS:
        raise InputError(f"no norm {norm!r}; known: {', '.join(NORMS)}")
    if not isinstance(model, Backbone):
        raise InputError(
            f"{type(model).__name__} is none of our backbones; "
            "docs/norms.md shows i-LN in a network of your own"
        )
    eps = default_eps(norm) if eps is None else eps
    model = copy.deepcopy(model)
    model.spec = replace(model.spec, norm=norm, eps=eps)
    for path, old in [(n, m) for n, m in model.named_modules() if isinstance(m, Norm)]:
        parent = model.get_submodule(path.rpartition(".")[0])
        outside = path in ("norm", "patch_embed.norm")
        new = (OUTSIDE if outside else NORMS)[norm](old.dim, eps)
        new.train(old.training)
        _carry_over(old, new)
        setattr(parent, path.rpartition(".")[2], new)
    return model


@torch.no_grad()
def _carry_over(old: Norm, new: Norm) -> None:
    parameters = dict(old.named_parameters())
    new.to(next(iter(parameters.values()), torch.empty(0)))
    for names in (("weight", "gamma"), ("bias", "beta")):
        source = next((parameters[n] for n in names if n in parameters), None)
        for name, target in new.named_parameters():
            if source is not None and name in names:
                target.copy_(source)
