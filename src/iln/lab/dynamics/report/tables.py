"""The page's tables: half precision, blocks, layers, the checkpoint, and the pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, NamedTuple

from iln.images.synthetic import SamplePicture
from iln.lab.dynamics.formatting import number, share
from iln.lab.dynamics.layer_sqnr import LayerNoise
from iln.lab.dynamics.measures import BlockMeasures
from iln.lab.dynamics.report.subject import Subject
from iln.lab.dynamics.verdict import FP16_END


class Row(NamedTuple):
    """name: its header. cells: text. alarm: to be marked as bad."""

    name: str
    cells: Sequence[str]
    alarm: bool = False


class Table(NamedTuple):
    """about: what it shows, for those who hear it read. head: of all columns, the rows' names
    first. words: columns that hold text, by number, which may break."""

    about: str
    head: Sequence[str]
    rows: Sequence[Row]
    words: Sequence[int] = ()


def precisions(subject: Subject) -> Table:
    """PSNR, values that are not finite, and where they begin, in three types of number."""
    found, rows = subject.found, []
    for name, run in (
        ("float32", found.float32),
        ("fp16", found.float16),
        ("bf16", found.bfloat16),
    ):
        psnr = "–" if run.psnr is None else f"{run.psnr:.1f} dB"
        lost = f"{run.nonfinite} of {run.values}" if run.nonfinite else "none"
        cells = ["identical" if run.psnr == math.inf else psnr, lost, run.first_module or "–"]
        rows.append(Row(name, cells, bool(run.nonfinite or run.first_module)))
    about = f"{subject.name} in three types of number: PSNR against float32, values not finite"
    return Table(about, ("run in", "PSNR", "not finite", "first at"), rows, (3,))


def blocks(subject: Subject) -> Table:
    """All measures of all Transformer blocks."""
    found = subject.found.blocks
    columns: dict[str, Callable[[BlockMeasures], str]] = {
        "mean square": lambda b: number(b.mean_square),
        "max |x|": lambda b: number(b.max_abs),
        "entropy": lambda b: "–" if math.isnan(b.relative_entropy) else f"{b.relative_entropy:.2f}",
        "strongest": lambda b: f"{b.top_channel}: {share(b.top_share)}",
        "kurtosis": lambda b: number(b.kurtosis),
        "token sigma": lambda b: number(b.token_sigma),
    }
    if any(b.sigma1 is not None for b in found.values()):
        columns["sigma1"] = lambda b: "–" if b.sigma1 is None else number(b.sigma1)
        columns["sigma2"] = lambda b: "–" if b.sigma2 is None else number(b.sigma2)
    if any(b.nonfinite for b in found.values()):
        columns["not finite"] = lambda b: str(b.nonfinite)
    rows = [
        Row(
            name,
            [show(b) for show in columns.values()],
            bool(b.nonfinite) or b.max_abs > FP16_END,
        )
        for name, b in found.items()
    ]
    return Table(f"measures of every block of {subject.name}", ("block", *columns), rows)


def kinds(subject: Subject) -> Table:
    """int8 and int4 by kind of layer."""
    members: dict[str, list[LayerNoise]] = {}
    for name, layer in subject.found.layers.items():
        members.setdefault(_kind_of(name), []).append(layer)
    rows = []
    for kind, layers in members.items():
        cells = [str(len(layers))]
        known = [layer for layer in layers if not math.isnan(layer.w8a8)]
        for values in ([layer.w8a8 for layer in known], [layer.w4a4 for layer in known]):
            cells += [_db(median(values)), _db(min(values))] if values else ["–", "–"]
        rows.append(Row(kind, cells))
    head = ("layers", "how many", "int8 median", "int8 worst", "int4 median", "int4 worst")
    return Table(f"kinds of layers of {subject.name}", head, rows)


def layers(subject: Subject) -> Table:
    """int8 and int4 of each layer."""
    rows = [
        Row(name, [_db(n.w8a8), _db(n.w4a4), number(n.low), number(n.high)])
        for name, n in subject.found.layers.items()
    ]
    head = ("layer", "int8", "int4", "smallest input", "largest input")
    return Table(f"every layer of {subject.name} quantised", head, rows)


def pictures(sample_pictures: Sequence[SamplePicture]) -> Table:
    """What the numbers were measured on."""
    rows = []
    for one in sample_pictures:
        height, width, channels = one.pixels.shape
        used = f"the middle {width} x {height}" if one.cropped else "all of it"
        kind = "drawn by iln" if one.synthetic else "gray" if channels == 1 else "RGB"
        rows.append(Row(one.name, [f"{one.width} x {one.height}", used, kind]))
    return Table("pictures used", ("picture", "pixels", "used", "kind"), rows)


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


def _db(value: float) -> str:
    if math.isnan(value):
        return "–"
    return "no loss" if math.isinf(value) else f"{value:.1f} dB"
