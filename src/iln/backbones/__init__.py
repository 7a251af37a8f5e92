"""The restoration Transformers: SwinIR, HAT and DRCT, each with any of the nine norms."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from iln.backbones.backbone import Backbone, Spec
from iln.backbones.convert import convert
from iln.backbones.drct import DRCT, DRCTSpec
from iln.backbones.hat import HAT, HATSpec
from iln.backbones.presets import PRESETS
from iln.backbones.swinir import SwinIR, SwinIRSpec
from iln.errors import InputError, nearest
from iln.norm import kind_inside

__all__ = [
    "BACKBONES",
    "DRCT",
    "HAT",
    "PRESETS",
    "Backbone",
    "DRCTSpec",
    "HATSpec",
    "Spec",
    "SwinIR",
    "SwinIRSpec",
    "build",
    "convert",
    "from_spec",
    "name_of",
]

BACKBONES: dict[str, tuple[type[Spec], type[Backbone]]] = {
    "swinir": (SwinIRSpec, SwinIR),
    "hat": (HATSpec, HAT),
    "drct": (DRCTSpec, DRCT),
}


def from_spec(spec: Spec) -> Backbone:
    """The untrained network that a spec describes."""
    for spec_type, backbone in BACKBONES.values():
        if type(spec) is spec_type:
            return backbone(spec)
    raise InputError(f"{type(spec).__name__} is no backbone's spec; known: {', '.join(BACKBONES)}")


def name_of(spec: Spec) -> str:
    """The name of a spec's backbone."""
    return next(name for name, (kind, _) in BACKBONES.items() if type(spec) is kind)


def build(preset: str, norm: str = "i-ln", **changes: Any) -> Backbone:
    """An untrained network, with `norm` in place of the published LayerNorm.

    Unless given, eps is the norm's own (1e-5; 1e-4 for ln* and i-ln), and RGB input loses its mean,
    and is divided by its standard deviation too with ln* and i-ln, as in the authors' code: to
    compare norms alone, give both networks the same `input_stats`.

    Args:
        preset: a name from `PRESETS`.
        changes: other hyperparameters, by their name in the spec.

    Raises:
        InputError: for a name or value that is not known.
    """
    if preset not in PRESETS:
        raise InputError(f"no preset {preset!r}; {nearest(preset, PRESETS)}")
    kind = kind_inside(norm)
    spec = PRESETS[preset]
    known = {field.name for field in fields(spec)}
    for name in changes:
        if name not in known:
            raise InputError(f"{preset} has no {name!r}; {nearest(name, known)}")
    stats = "mean+std" if kind.holistic else spec.input_stats
    defaults = {"norm": norm, "eps": kind.default_eps, "input_stats": stats}
    return from_spec(replace(spec, **{**defaults, **changes}))
