"""Details: every block and every layer, as charts and tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from iln.lab.dynamics.formatting import number, share
from iln.lab.dynamics.layer_sqnr import LayerNoise
from iln.lab.dynamics.report.charts import (
    Series,
    depth_chart,
)
from iln.lab.dynamics.report.markup import Markup, element
from iln.lab.dynamics.report.subject import Subject
from iln.lab.dynamics.report.tables import Row, each, table
from iln.lab.dynamics.verdict import FP16_END


def blocks(subjects: Sequence[Subject]) -> Markup:
    """All measures of all Transformer blocks."""
    charts = [
        depth_chart(title, says, _series(subjects, measure), log=True)
        for title, says, measure in (
            ("Kurtosis", "3 for a Gaussian; large where few values are huge.", "kurtosis"),
            (
                "Sigma of a pixel",
                "Standard deviation over channels, mean over pixels.",
                "token_sigma",
            ),
        )
    ]
    drawn = element("div", {"class": "charts"}, *charts)
    return element("div", {}, drawn, each(subjects, _block_table))


def _series(subjects: Sequence[Subject], measure: str) -> list[Series]:
    return [
        Series(s.name, [getattr(b, measure) for b in s.found.blocks.values()], list(s.found.blocks))
        for s in subjects
    ]


def _block_table(subject: Subject) -> Markup:
    found = subject.found
    sigmas = any(block.sigma1 is not None for block in found.blocks.values())
    head = ["block", "mean square", "max |x|", "entropy", "strongest", "kurtosis", "token sigma"]
    head += ["sigma1", "sigma2"] if sigmas else []
    spoiled = any(block.nonfinite for block in found.blocks.values())
    head += ["not finite"] if spoiled else []
    rows = []
    for name, b in found.blocks.items():
        cells = [
            number(b.mean_square),
            number(b.max_abs),
            "–" if math.isnan(b.relative_entropy) else f"{b.relative_entropy:.2f}",
            f"{b.top_channel}: {share(b.top_share)}",
            number(b.kurtosis),
            number(b.token_sigma),
        ]
        if sigmas:
            cells += ["–" if s is None else number(s) for s in (b.sigma1, b.sigma2)]
        cells += [str(b.nonfinite)] if spoiled else []
        rows.append(Row(name, cells, bool(b.nonfinite) or b.max_abs > FP16_END))
    return table(f"measures of every block of {subject.name}", head, rows)


def layers(subjects: Sequence[Subject]) -> Markup:
    """int8 and int4 by kind of layer, and of each layer."""
    return each(subjects, _layer_tables)


def _layer_tables(subject: Subject) -> Markup:
    layers = subject.found.layers
    kinds: dict[str, list[LayerNoise]] = {}
    for name, layer in layers.items():
        kinds.setdefault(_kind_of(name), []).append(layer)
    rows = []
    for kind, members in kinds.items():
        known = [m for m in members if not math.isnan(m.w8a8)]
        cells = [str(len(members))]
        for bits in ("w8a8", "w4a4"):
            values = [getattr(m, bits) for m in known]
            cells += [_db(median(values)), _db(min(values))] if values else ["–", "–"]
        rows.append(Row(kind, cells))
    head = ("layers", "how many", "int8 median", "int8 worst", "int4 median", "int4 worst")
    by_kind = table(f"kinds of layers of {subject.name}", head, rows)
    singles = [
        Row(name, [_db(n.w8a8), _db(n.w4a4), number(n.low), number(n.high)])
        for name, n in layers.items()
    ]
    names = ("layer", "int8", "int4", "smallest input", "largest input")
    every = table(f"every layer of {subject.name} quantised", names, singles)
    one_by_one = element("details", {}, element("summary", {}, "One by one"), every)
    return element("div", {}, by_kind, one_by_one)


def _kind_of(name: str) -> str:
    """`attn.qkv` of `layers.0.residual_group.blocks.0.attn.qkv`: what repeats over depth."""
    if not name.startswith("layers."):
        return name
    return (
        ".".join(
            part
            for part in name.split(".")[1:]
            if not part.isdigit() and part not in ("residual_group", "blocks")
        )
        or name
    )


def _db(value: float) -> str:
    if math.isnan(value):
        return "–"
    return "no loss" if math.isinf(value) else f"{value:.1f} dB"
