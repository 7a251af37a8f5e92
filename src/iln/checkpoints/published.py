"""Weights as others publish them, recognised by names and shapes.

These are the official files of SwinIR, HAT, DRCT and i-LN HAT, whose parameters have the same
names as ours. What such a file does not say is filled in by its authors' convention, and each of
these can be overridden:

    img_range     255 for a SwinIR with window 7 (its JPEG models), else 1
    conv_scale    0.01 (HAT)
    norm          i-LN where the norms hold gamma and beta; LN where a SwinIR or DRCT has weight
                  and bias; a HAT with weight and bias may be either, so there `norm` is asked for
    eps           1e-5; 1e-4 for i-LN and LN*
    input_stats   `mean+std` with gamma and beta; `mean` with weight and bias; `none` for a file
                  with weight and bias that is said to be i-LN or LN*

The last line is traiNNer-redux, whose own i-LN names its parameters like a LayerNorm. Such files
are computed as the paper's code does it. An early version of that project (commit 3f8b56f) left
the conv branch unscaled and normalised after the patch embedding, under the same names: what was
trained with it gives slightly different pictures here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import Tensor

from iln.atomic import printable
from iln.backbones import BACKBONES, Backbone, Spec
from iln.backbones.shapes import Shapes
from iln.errors import InputError
from iln.norm import NORMS

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What the caller knows of a file that does not say it; None leaves it to the convention."""

    norm: str | None = None
    input_stats: str | None = None
    img_range: float | None = None
    eps: float | None = None
    conv_scale: float | None = None


@dataclass(frozen=True)
class Recognised:
    """The network of a file.

    Attributes:
        assumed: by name, what only the convention says.
    """

    backbone: str
    spec: Spec
    assumed: dict[str, Any]


WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""What PyTorch's wrappers (DistributedDataParallel, torch.compile, FSDP, checkpointing) put into
names, anywhere."""
_COUNTERS = (
    "total_ops",
    "total_params",
    "num_updates",
    "num_batches_tracked",
    "step",
    "n_averaged",
)
"""What counts operations (thop) or steps beside the weights."""


def bare(name: str) -> str:
    """A name without what PyTorch's wrappers put into it."""
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def clean(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Bare names, without counters, and without what we build ourselves.

    Index tables and masks are shaped by the size of the training crops, so they are of no use.
    """
    return {
        bare(name): tensor
        for name, tensor in weights.items()
        if not name.rpartition(".")[2].startswith(
            ("relative_position_index", "attn_mask", *_COUNTERS)
        )
    }


def rename(weights: Mapping[str, T], norm: str) -> dict[str, T]:
    """A cleaned state dict (or its shapes), norms named as `norm` names its parameters."""
    if not NORMS[norm].holistic:
        return dict(weights)
    for old, new in (("weight", "gamma"), ("bias", "beta")):
        pattern = re.compile(rf"((?:^|\.)norm\d?)\.{old}$")
        weights = {pattern.sub(rf"\1.{new}", name): tensor for name, tensor in weights.items()}
    return dict(weights)


def recognise(shapes: Shapes, answers: Answers | None = None) -> Recognised:
    """Backbone and every hyperparameter of a cleaned state dict, given as {name: shape}.

    Raises:
        InputError: if it is none of our backbones or a variant that we do not build, if the norm
            cannot be known, or if an answer contradicts the file.
    """
    answers = answers or Answers()
    name = _backbone(shapes)
    spec_type, backbone = BACKBONES[name]
    found = backbone.read_shapes(shapes)
    norm = _norm(backbone, shapes, answers.norm)
    assumed: dict[str, Any] = {
        **backbone.conventions(found),
        "eps": NORMS[norm].default_eps,
        "input_stats": _input_stats(shapes, norm),
    }
    if "conv_scale" not in assumed and answers.conv_scale is not None:
        raise InputError(f"has no conv_scale: it is a {backbone.title}, which has no such value")
    given = {name: getattr(answers, name) for name in assumed}
    given = {name: value for name, value in given.items() if value is not None}
    spec = spec_type(**found, norm=norm, **{**assumed, **given})
    return Recognised(name, spec, {k: v for k, v in assumed.items() if k not in given})


def _backbone(shapes: Shapes) -> str:
    # A later one may have all that an earlier one has, and more.
    for name, (_, backbone) in reversed(BACKBONES.items()):
        if backbone.mark in shapes and "conv_first.weight" in shapes:
            return name
    for _, backbone in BACKBONES.values():
        if backbone.mark in shapes:
            raise InputError(
                f"is a variant of {backbone.title} that is not supported: it has no "
                "conv_first.weight"
            )
    some = printable(", ".join(list(shapes)[:3])) + (", ..." if len(shapes) > 3 else "")
    *others, last = [backbone.title for _, backbone in BACKBONES.values()]
    raise InputError(
        f"is no {', '.join(others)} or {last} (it holds {some}); only these networks are read"
    )


def _norm(backbone: type[Backbone], shapes: Shapes, asked: str | None) -> str:
    if asked is not None and asked not in NORMS:
        raise InputError(f"cannot have norm {asked!r}; known: {', '.join(NORMS)}")
    if has_gamma(shapes):
        if asked is not None and not NORMS[asked].holistic:
            raise InputError(
                f"cannot have norm {asked!r}: its norms hold gamma and beta; "
                "accepted: 'i-ln' (what it is, as a rule) or 'ln*'"
            )
        return asked or "i-ln"
    if asked is not None:
        return asked
    if not any(name.endswith(".norm1.weight") for name in shapes):
        raise InputError(f"does not tell its norm; give norm (--norm): {', '.join(NORMS)}")
    if not backbone.names_tell_norm:
        raise InputError(
            f"is a {backbone.title} whose norms are called weight and bias: with LayerNorm or "
            f"another project's i-LN {backbone.title}, and a guess could give wrong pictures; "
            "say which: norm='ln' or norm='i-ln' (--norm ln or --norm i-ln)"
        )
    return "ln"


def has_gamma(names: Iterable[str]) -> bool:
    """Whether these are the names of an i-LN's or LN*'s parameters."""
    return any(name.endswith(".norm1.gamma") for name in names)


def _input_stats(shapes: Shapes, norm: str) -> str:
    if has_gamma(shapes):
        return "mean+std"
    return "none" if NORMS[norm].holistic else "mean"
