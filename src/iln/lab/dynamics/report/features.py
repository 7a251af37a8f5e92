"""Of some blocks: dominant channels, and pictures of the position bias."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from iln.lab.dynamics.report.charts import bias_map, channel_bars
from iln.lab.dynamics.report.markup import Markup
from iln.lab.dynamics.report.subject import Subject


def channels(subjects: Sequence[Subject]) -> list[list[Markup]]:
    """Each channel's share of the energy in some blocks of each subject; all charts end at the
    same share."""
    every = [subject.found.shares for subject in subjects]
    largest = [np.nan_to_num(found[name]).max() for found in every for name in _some(found)]
    top = min(1.0, 1.1 * max(largest, default=1.0)) or 1.0
    says = "Share of the energy; the line is 1 / C."
    return [
        [
            channel_bars(f"{where} block: {name}", says, found[name], top)
            for name, where in _some(found).items()
        ]
        for found in every
    ]


def _some(found: dict[str, Any]) -> dict[str, str]:
    """The first, the middle and the last block without twins, and which it is."""
    names = list(found)
    chosen = list(dict.fromkeys((names[0], names[len(names) // 2], names[-1])))
    places = {1: ["Only"], 2: ["First", "Last"], 3: ["First", "Middle", "Last"]}
    return dict(zip(chosen, places[len(chosen)], strict=True))


def bias_maps(subject: Subject) -> list[tuple[str, float, list[tuple[Markup, float]]]]:
    """The tables of some blocks as pictures: the block's name, the distance from a head's mean
    that has the full colour, and for each head its picture and roughness."""
    found, maps = subject.found, []
    for block in _some(dict(found.bias_grids)):
        grids = found.bias_grids[block]
        centred = grids - grids.mean((1, 2), keepdims=True)
        known = np.abs(centred[np.isfinite(centred)])
        limit = float(np.quantile(known, 0.995)) if known.any() else 1.0
        drawn = [
            bias_map(grid, limit, f"position bias of head {head} of {block}")
            for head, grid in enumerate(grids, 1)
        ]
        maps.append((block, limit, list(zip(drawn, found.roughness[block], strict=True))))
    return maps
