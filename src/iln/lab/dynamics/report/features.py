"""Details: dominant channels, tables of position bias, and the last norm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import mean
from typing import Any

import numpy as np

from iln.lab.dynamics.formatting import number
from iln.lab.dynamics.report.charts import (
    Series,
    alignment_chart,
    bias_map,
    channel_bars,
    depth_chart,
)
from iln.lab.dynamics.report.markup import Markup, element, joined
from iln.lab.dynamics.report.subject import Subject
from iln.lab.dynamics.report.tables import each


def channels(subjects: Sequence[Subject]) -> Markup:
    """Each channel's share of the energy in some blocks; all charts end at the same share."""
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

    return each(subjects, bars)


def _some(names: list[str]) -> list[str]:
    """The first, the middle and the last, without twins."""
    return list(dict.fromkeys((names[0], names[len(names) // 2], names[-1])))


def _places(found: dict[str, Any]) -> list[str]:
    count = len(_some(list(found)))
    return {1: ["Only block"], 2: ["First block", "Last block"]}.get(
        count, ["First block", "Middle block", "Last block"]
    )


def position_bias(subjects: Sequence[Subject]) -> Markup:
    """Roughness over depth, and the tables of some blocks as pictures."""
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
    return element("div", {}, charts, legend, each(subjects, _maps))


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


def last_norm(subjects: Sequence[Subject]) -> Markup:
    """|bias| over the magnitude of the channels, where there is a bias."""
    charts = []
    for index, subject in enumerate(subjects):
        if (found := subject.found.alignment) is None:
            says = f"The last norm of {subject.name} has no bias."
            charts.append(element("p", {}, says))
        else:
            title = f"|bias| of the last norm of {subject.name}"
            charts.append(alignment_chart(title, found, index))
    return element("div", {"class": "charts"}, *charts)
