"""What unfolds below the charts: every number, channels, tables of position bias, the files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import mean, median
from typing import Any

import numpy as np

from iln.dynamics.layer_noise import LayerNoise
from iln.dynamics.report.charts import (
    Series,
    alignment_chart,
    bias_map,
    channel_bars,
    depth_chart,
)
from iln.dynamics.report.markup import Markup, element, joined
from iln.dynamics.report.subject import Subject
from iln.dynamics.report.tables import Row, table
from iln.dynamics.specimens import Specimen
from iln.dynamics.verdict import FP16_END, number, share

DEFINITIONS = (
    ("mean square", "E[x²] over all pixels and channels of a block's output x"),
    ("max |x|", "the largest magnitude of a block's output; float16 ends at 65504"),
    ("entropy", "-Σ p ln p of the channels' shares p of the energy, divided by ln C"),
    ("strongest", "the channel with the largest share of the energy Σ x², and that share"),
    ("kurtosis", "E[(x - E[x])⁴] / Var[x]²: 3 for a Gaussian, large where few values are huge"),
    ("token sigma", "standard deviation over channels of each pixel, mean over pixels"),
    ("sigma1, sigma2", "what the block's two norms divide by, where that is one number a picture"),
    ("PSNR", "10 log10(1 / E[(y - y32)²]), both clipped to [0, 1]; what is not finite is black"),
    (
        "int8, int4",
        "SQNR = 10 log10(Σ y² / Σ (y - y')²) of a layer's output y. y' has weights in 8 (4) bits, "
        "symmetric with a step for each output channel, and inputs in 8 (4) bits, asymmetric over "
        "their range on these pictures. The input is the float network's: a layer's own noise only",
    ),
    (
        "roughness",
        "mean difference of neighbours in a table of position bias, over its standard deviation: "
        "1 for independent noise, near 0 for a smooth table",
    ),
)


def details(subjects: Sequence[Subject], specimens: Sequence[Specimen]) -> list[Markup]:
    """One `<details>` for each theme."""
    return [
        _unfold("Every block", "magnitude, channels, kurtosis, sigma", _blocks(subjects)),
        _unfold("Every layer in int8 and int4", "by kind, then one by one", _layers(subjects)),
        _unfold("Dominant channels", "first, middle and last block", _channels(subjects)),
        _unfold("Position bias", "what heads add over key - query", _position_bias(subjects)),
        _unfold("The last norm", "does its bias answer the channels?", _last_norm(subjects)),
        _unfold("The checkpoint", "what the file says, what was assumed", _files(subjects)),
        _unfold("The pictures", "what the numbers were measured on", _pictures(specimens)),
        _unfold("Definitions", "what each number is", _definitions()),
    ]


def _unfold(title: str, hint: str, content: Markup) -> Markup:
    summary = element("summary", {}, title, element("span", {"class": "quiet"}, f" – {hint}"))
    return element("details", {}, summary, content)


def _each(subjects: Sequence[Subject], part: Any) -> Markup:
    """part(subject), below each one's name where there are two."""
    parts: list[Markup] = []
    for subject in subjects:
        if len(subjects) > 1:
            parts.append(element("h3", {}, subject.name))
        parts.append(part(subject))
    return joined(parts)


# --- blocks and layers ---------------------------------------------------------------------


def _blocks(subjects: Sequence[Subject]) -> Markup:
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
    return element("div", {}, drawn, _each(subjects, _block_table))


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


def _layers(subjects: Sequence[Subject]) -> Markup:
    return _each(subjects, _layer_tables)


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


# --- channels, tables, the last norm -------------------------------------------------------


def _channels(subjects: Sequence[Subject]) -> Markup:
    every = [subject.found.shares for subject in subjects]
    largest = [np.nan_to_num(found[n]).max() for found in every for n in _some(list(found))]
    top = min(1.0, 1.1 * max(largest, default=1.0)) or 1.0

    def bars(subject: Subject) -> Markup:
        found = subject.found.shares
        charts = [
            channel_bars(
                f"{where}: {name}", "Share of the energy; the line is 1 / C.", found[name], top
            )
            for where, name in zip(_places(found), _some(list(found)), strict=False)
        ]
        return element("div", {"class": "charts"}, *charts)

    return _each(subjects, bars)


def _some(names: list[str]) -> list[str]:
    """The first, the middle and the last, without twins."""
    return list(dict.fromkeys((names[0], names[len(names) // 2], names[-1])))


def _places(found: dict[str, Any]) -> list[str]:
    count = len(_some(list(found)))
    return {1: ["Only block"], 2: ["First block", "Last block"]}.get(
        count, ["First block", "Middle block", "Last block"]
    )


def _position_bias(subjects: Sequence[Subject]) -> Markup:
    chart = depth_chart(
        "Roughness of the tables",
        "Mean over heads: near 1 noise, near 0 smooth.",
        [
            Series(s.name, [mean(h) for h in s.found.roughness.values()], list(s.found.roughness))
            for s in subjects
        ],
        low=0.0,
    )
    legend = element(
        "p",
        {"class": "quiet"},
        "Each picture is a head: what it adds to the score of a key that lies so far down and "
        "right of the query, which is in the middle. Orange is more than the head's mean, blue "
        "is less.",
    )
    charts = element("div", {"class": "charts"}, chart)
    return element("div", {}, charts, legend, _each(subjects, _maps))


def _maps(subject: Subject) -> Markup:
    found, parts = subject.found, []
    for name in _some(list(found.bias_grids)):
        grids = found.bias_grids[name]
        centred = grids - grids.mean((1, 2), keepdims=True)
        known = np.abs(centred[np.isfinite(centred)])
        limit = float(np.quantile(known, 0.995)) if known.any() else 1.0
        figures = [
            element(
                "figure",
                {},
                bias_map(grid, limit, f"position bias of head {head} of {name}"),
                element("figcaption", {}, f"head {head}: {_rough(rough)}"),
            )
            for head, (grid, rough) in enumerate(zip(grids, found.roughness[name], strict=True), 1)
        ]
        says = f"{name}, full colour at ±{number(limit)}; below each its roughness"
        parts += [
            element("p", {"class": "quiet"}, says),
            element("div", {"class": "maps"}, *figures),
        ]
    return joined(parts)


def _rough(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def _last_norm(subjects: Sequence[Subject]) -> Markup:
    charts = []
    for index, subject in enumerate(subjects):
        if (found := subject.found.alignment) is None:
            says = f"The last norm of {subject.name} has no bias."
            charts.append(element("p", {}, says))
        else:
            title = f"|bias| of the last norm of {subject.name}"
            charts.append(alignment_chart(title, found, index))
    return element("div", {"class": "charts"}, *charts)


# --- files ---------------------------------------------------------------------------------


def _files(subjects: Sequence[Subject]) -> Markup:
    return _each(subjects, _file)


def _file(subject: Subject) -> Markup:
    about = subject.about
    said = {
        key: about.get(key)
        for key in ("task", "training", "scores", "licence", "dtype", "bytes")
        if about.get(key) is not None
    }
    facts: dict[str, Any] = {
        "backbone": subject.backbone,
        "parameters": subject.parameters,
        **said,
        **vars(subject.spec),
    }
    note = ""
    if not about:
        filled = ", ".join(f"{key} {_said(value)}" for key, value in subject.assumed.items())
        note = (
            "The file does not describe itself. Its kind was recognised by names and shapes; "
            f"filled in by convention: {filled or 'nothing, all was given'}."
        )
    return element("div", {}, element("p", {}, note) if note else Markup(), _facts(facts))


def _pictures(specimens: Sequence[Specimen]) -> Markup:
    rows = []
    for specimen in specimens:
        height, width, channels = specimen.pixels.shape
        used = f"the middle {width} x {height}" if specimen.cropped else "all of it"
        kind = "drawn by iln" if specimen.synthetic else "gray" if channels == 1 else "RGB"
        rows.append(Row(specimen.name, [f"{specimen.width} x {specimen.height}", used, kind]))
    head = ("picture", "pixels", "used", "kind")
    return table("pictures used", head, rows)


def _definitions() -> Markup:
    return _facts(dict(DEFINITIONS))


def _facts(facts: dict[str, Any]) -> Markup:
    pairs = [
        part
        for key, value in facts.items()
        for part in (element("dt", {}, key), element("dd", {}, _said(value)))
    ]
    return element("dl", {}, *pairs)


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_said(entry)}" for key, entry in value.items())
    if isinstance(value, (list, tuple)):
        apart = " / " if any(isinstance(entry, dict) for entry in value) else ", "
        return apart.join(_said(entry) for entry in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value == "" else str(value)
