"""What charts show; `templates/charts.html` draws it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np
import numpy.typing as npt

from iln.lab.dynamics.formatting import hundredths, number, share
from iln.lab.dynamics.report.axes import Axis, linear, logarithmic
from iln.lab.dynamics.report.markup import Markup, draw, picture
from iln.lab.dynamics.report.subject import Subject

_BLUE, _ORANGE = (54, 136, 212), (226, 118, 26)
"""Of position bias below and above its mean: as bright on white as on black paper."""


@dataclass(frozen=True)
class Series:
    """One network's values, NaN where there is nothing to show, and what each is of."""

    label: str
    values: Sequence[float]
    names: Sequence[str]


def depth_chart(
    subjects: Sequence[Subject],
    title: str,
    says: str,
    of: str,
    measure: str = "",
    *,
    scale: float = 1,
    log: bool = False,
    lines: bool = True,
    low: float | None = None,
    limit: tuple[float, str] | None = None,
    across: str = "block",
    unit: str = "",
) -> Markup:
    """A measure from the first to the last block or layer, a curve for each subject.

    Args:
        says: one sentence under the title.
        of: `blocks` or `layers`, or what else `Diagnosis` has of each of them.
        measure: of its name; the mean over heads without one.
        scale: what values are multiplied by.
        lines: join the points.
        low: where a linear axis begins.
        limit: value and label of a line across, drawn, and within the axis, if the values come near
            it.
        across: what is counted.
        unit: of the values, written after them.
    """
    series = []
    for subject in subjects:
        found = getattr(subject.found, of)
        values = [getattr(one, measure) if measure else mean(one) for one in found.values()]
        series.append(Series(subject.name, [scale * value for value in values], list(found)))
    reach = [value for one in series for value in one.values]
    top = max(filter(math.isfinite, reach), default=0.0)
    if limit and log and top * 300 <= limit[0]:
        limit = None
    if limit:
        reach.append(limit[0])
    y = logarithmic(reach) if log else linear(reach, low=low)
    return draw(
        "depth_chart",
        title=title,
        says=says,
        labels=[s.label for s in series],
        y=y,
        suffix=unit if unit == " %" else "",
        groups=_groups(series),
        ticks=_counted({len(s.values) for s in series}),
        across=across,
        curves=[_points(s, y, unit) for s in series],
        lines=lines,
        limit=limit,
        limit_left=limit is not None and _clear_on_the_left(series, y, limit[0]),
    )


def channel_bars(title: str, says: str, shares: npt.NDArray[np.float64], top: float) -> Markup:
    """Each channel's share of the energy; the strongest is named, a line marks 1 / C.

    Args:
        top: the share at which the axis ends, so that several charts can be compared.
    """
    finite = np.nan_to_num(shares).tolist()
    return draw(
        "channel_bars",
        title=title,
        says=says,
        y=linear([top], low=0.0),
        shares=finite,
        hints=[f"channel {channel}: {share(value)}" for channel, value in enumerate(finite)],
        strongest=finite.index(max(finite)),
    )


def alignment_chart(subject: Subject, index: int) -> Markup | None:
    """|bias| of the last norm over the channels' magnitude, a dot a channel; None where there is
    no bias."""
    found = subject.found.alignment
    if found is None:
        return None
    bias, magnitudes = np.abs(found.bias).tolist(), found.magnitude.tolist()
    x, y = logarithmic(magnitudes), linear(bias, low=0.0)
    title = f"|bias| of the last norm of {subject.name}"
    both = found.correlation, found.rank_correlation
    r, rank_r = (hundredths(value, "undefined") for value in both)
    says = (
        f"r = {r}, rank r = {rank_r}; "
        "near 1, the bias takes back what the strongest channels bring."
    )
    points = [
        (m, b, f"channel {channel}: magnitude {number(m)}, |bias| {number(b)}")
        for channel, (m, b) in enumerate(zip(magnitudes, bias, strict=True))
        if x.shows(m) and y.shows(b)
    ]
    return draw("alignment_chart", title=title, says=says, x=x, y=y, points=points, index=index)


def bias_map(grid: npt.NDArray[np.float64], limit: float, alt: str) -> Markup:
    """A head's table (n, n) as a picture: blue below its mean, orange above, clear at it.

    The page shows through, so it works on light and on dark paper.

    Args:
        limit: the distance from the mean that has the full colour.
    """
    signed = np.nan_to_num((grid - grid.mean()) / limit).clip(-1, 1)
    pixels = np.empty((*grid.shape, 4), np.uint8)
    pixels[..., :3] = np.where(signed[..., None] < 0, _BLUE, _ORANGE)
    pixels[..., 3] = np.round(255 * np.abs(signed))
    return picture(pixels, alt, "map")


# --- parts ---------------------------------------------------------------------------------


def _points(series: Series, y: Axis, unit: str) -> list[tuple[str, float, float, str]]:
    """(pen, place from 0 to 1, value, hint). The pen is M where no line leads to it: at the first,
    and after a value that is missing."""
    points, pen = [], "M"
    for i, (value, name) in enumerate(zip(series.values, series.names, strict=True)):
        if y.shows(value):
            hint = f"{series.label}, {name}: {number(value)}{unit}"
            points.append((pen, (i + 0.5) / len(series.values), value, hint))
            pen = "L"
        elif not math.isinf(value):
            pen = "M"
    return points


def _groups(series: Sequence[Series]) -> list[float]:
    """Where a residual group begins, from 0 to 1, if all networks have the same ones."""
    every = [[_group(name) for name in s.names] for s in series]
    first, count = every[0], len(every[0])
    if any(other != first for other in every):
        return []
    return [i / count for i in range(1, count) if first[i] != first[i - 1]]


def _group(name: str) -> str:
    """`layers.2` of `layers.2.residual_group.blocks.0`; nothing for what lies outside."""
    return ".".join(name.split(".")[:2]) if name.startswith("layers.") else ""


def _counted(counts: set[int]) -> list[tuple[float, str, str]]:
    """(place from 0 to 1, text, anchor) for 1, 2, ..., n; only the ends where networks differ in
    depth."""
    if len(counts) != 1:
        return [(0, "first", "start"), (1, "last", "end")]
    (count,) = counts
    step = max(1, math.ceil(count / 8))
    nice = (1, 2, 3, 4, 6, 10, 12, 20, 24, 30, 50, 100)
    step = next((n for n in nice if n >= step), step)
    shown = [i for i in range(1, count + 1) if i == 1 or i % step == 0]
    if len(shown) > 1 and step > 1 and shown[1] - shown[0] <= step / 2:
        shown.pop(1)
    return [((i - 0.5) / count, str(i), "middle") for i in shown]


def _clear_on_the_left(series: Sequence[Series], y: Axis, limit: float) -> bool:
    """Whether the first values lie further from the line than the last ones."""
    distances = []
    for piece in (slice(0, 3), slice(-3, None)):
        near = [v for s in series for v in s.values[piece] if y.shows(v)]
        distances.append(min((abs(y.place(v) - y.place(limit)) for v in near), default=1.0))
    return distances[0] >= distances[1]
