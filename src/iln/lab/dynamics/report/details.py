"""Details of the page that take more than a template: kinds of layers, and what a file says."""

from __future__ import annotations

import math
from statistics import median
from typing import Any

from iln.lab.dynamics.formatting import sqnr
from iln.lab.dynamics.layer_sqnr import LayerNoise
from iln.lab.dynamics.report.subject import Subject


def kinds(subject: Subject) -> list[tuple[str, list[str]]]:
    """Of each kind of layer how many there are, and the median and worst of int8 and int4."""
    members: dict[str, list[LayerNoise]] = {}
    for name, layer in subject.found.layers.items():
        members.setdefault(_kind_of(name), []).append(layer)
    rows = []
    for kind, layers in members.items():
        cells = [str(len(layers))]
        known = [layer for layer in layers if not math.isnan(layer.w8a8)]
        for values in ([layer.w8a8 for layer in known], [layer.w4a4 for layer in known]):
            cells += [sqnr(median(values)), sqnr(min(values))] if values else ["–", "–"]
        rows.append((kind, cells))
    return rows


def facts(subject: Subject) -> dict[str, str]:
    """What the file says of itself, and what the network is."""
    about = subject.about
    keys = ("task", "training", "scores", "licence", "dtype", "bytes")
    told = {key: about[key] for key in keys if about.get(key) is not None}
    known = {"backbone": subject.backbone, "parameters": subject.parameters}
    return {name: said(value) for name, value in (known | told | vars(subject.spec)).items()}


def said(value: Any) -> str:
    """A value of a file's description, in words."""
    if isinstance(value, dict):
        return "; ".join(f"{key}: {said(entry)}" for key, entry in value.items())
    if isinstance(value, (list, tuple)):
        apart = " / " if any(isinstance(entry, dict) for entry in value) else ", "
        return apart.join(said(entry) for entry in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value == "" else str(value)


def _kind_of(name: str) -> str:
    """`attn.qkv` of `layers.0.residual_group.blocks.0.attn.qkv`: what repeats over depth."""
    if not name.startswith("layers."):
        return name
    parts = (part for part in name.split(".")[1:] if not part.isdigit())
    return ".".join(p for p in parts if p not in ("residual_group", "blocks")) or name
