"""What charts show and where it lies; `templates/charts.html` draws it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from iln.lab.dynamics.channels import Alignment
from iln.lab.dynamics.formatting import number, share
from iln.lab.dynamics.report.axes import Axis, linear, logarithmic, written
from iln.lab.dynamics.report.markup import Markup, draw, picture

WIDTH, HEIGHT = 360, 212
LEFT, RIGHT, TOP, BOTTOM = 46, WIDTH - 8, 14, HEIGHT - 38
"""The edges of what lies between the axes."""
_BLUE, _ORANGE = (54, 136, 212), (226, 118, 26)
"""Of position bias below and above its mean: as bright on white as on black paper."""


@dataclass(frozen=True)
class Series:
    """One network's values, None or NaN where there is nothing to show, and what each is of."""

    label: str
    values: Sequence[float | None]
    names: Sequence[str]


@dataclass(frozen=True)
class Limit:
    """A line across a chart."""

    value: float
    label: str


def depth_chart(
    title: str,
    says: str,
    series: Sequence[Series],
    *,
    log: bool = False,
    lines: bool = True,
    low: float | None = None,
    limit: Limit | None = None,
    across: str = "block",
    unit: str = "",
) -> Markup:
    """Values from the first to the last block or layer.

    Args:
        says: one sentence under the title.
        lines: join the points.
        low: where a linear axis begins.
        limit: drawn, and within the axis, if the values come near it.
        across: what is counted.
        unit: of the values, written after them.
    """
    values = [v for s in series for v in s.values]
    top = max((v for v in values if v is not None and math.isfinite(v)), default=0.0)
    if limit is not None and log and top * 300 <= limit.value:
        limit = None
    reach = [*values, limit.value] if limit else values
    y = logarithmic(reach) if log else linear(reach, low=low)
    return draw(
        "depth_chart",
        _KNOWN,
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
        limit_left=limit is not None and _clear_on_the_left(series, y, limit),
    )


def channel_bars(title: str, says: str, shares: npt.NDArray[np.float64], top: float) -> Markup:
    """Each channel's share of the energy; the strongest is named, a line marks 1 / C.

    Args:
        top: the share at which the axis ends, so that several charts can be compared.
    """
    finite = np.nan_to_num(shares).tolist()
    return draw(
        "channel_bars",
        _KNOWN,
        title=title,
        says=says,
        y=linear([top], low=0.0),
        shares=finite,
        hints=[f"channel {channel}: {share(value)}" for channel, value in enumerate(finite)],
        strongest=finite.index(max(finite)),
    )


def alignment_chart(title: str, found: Alignment, index: int) -> Markup:
    """|bias| of the last norm over the channels' magnitude, a dot a channel."""
    bias, magnitudes = np.abs(found.bias).tolist(), found.magnitude.tolist()
    x, y = logarithmic(magnitudes), linear(bias, low=0.0)
    says = (
        f"r = {_two(found.correlation)}, rank r = {_two(found.rank_correlation)}; "
        "near 1, the bias takes back what the strongest channels bring."
    )
    points = [
        (m, b, f"channel {channel}: magnitude {number(m)}, |bias| {number(b)}")
        for channel, (m, b) in enumerate(zip(magnitudes, bias, strict=True))
        if x.shows(m) and y.shows(b)
    ]
    return draw(
        "alignment_chart", _KNOWN, title=title, says=says, x=x, y=y, points=points, index=index
    )


def bias_map(grid: npt.NDArray[np.float64], limit: float, alt: str) -> Markup:
    """A head's table (n, n) as a picture: blue below its mean, orange above, clear at it.

    limit: the distance from the mean that has the full colour. The page shows through, so it
    works on light and on dark paper.
    """
    signed = np.nan_to_num((grid - grid.mean()) / limit).clip(-1, 1)
    pixels = np.empty((*grid.shape, 4), np.uint8)
    pixels[..., :3] = np.where(signed[..., None] < 0, _BLUE, _ORANGE)
    pixels[..., 3] = np.round(255 * np.abs(signed))
    return picture(pixels, alt, "map")


# --- parts ---------------------------------------------------------------------------------


def _points(series: Series, y: Axis, unit: str) -> list[tuple[str, float, float, str]]:
    """(pen, x, y, hint); the pen is M where no line leads to it: first, or a value is missing."""
    points, pen = [], "M"
    for i, (value, name) in enumerate(zip(series.values, series.names, strict=True)):
        if value is not None and y.shows(value):
            hint = f"{series.label}, {name}: {number(value)}{unit}"
            points.append((pen, _spread(i, len(series.values)), _down(y, value), hint))
            pen = "L"
        elif value is None or not math.isinf(value):
            pen = "M"
    return points


def _groups(series: Sequence[Series]) -> list[float]:
    """Where a residual group begins, if all networks have the same ones."""
    every = [[_group(name) for name in s.names] for s in series]
    first, count = every[0], len(every[0])
    if any(other != first for other in every):
        return []
    starts = [i for i in range(1, count) if first[i] != first[i - 1]]
    return [LEFT + i / count * (RIGHT - LEFT) for i in starts]


def _group(name: str) -> str:
    """`layers.2` of `layers.2.residual_group.blocks.0`; nothing for what lies outside."""
    return ".".join(name.split(".")[:2]) if name.startswith("layers.") else ""


def _counted(counts: set[int]) -> list[tuple[float, str, str]]:
    """(x, text, anchor) for 1, 2, ..., n; only the ends where networks differ in depth."""
    if len(counts) != 1:
        return [(LEFT, "first", "start"), (RIGHT, "last", "end")]
    (count,) = counts
    step = max(1, math.ceil(count / 8))
    nice = (1, 2, 3, 4, 6, 10, 12, 20, 24, 30, 50, 100)
    step = next((n for n in nice if n >= step), step)
    shown = [i for i in range(1, count + 1) if i == 1 or i % step == 0]
    if len(shown) > 1 and step > 1 and shown[1] - shown[0] <= step / 2:
        shown.pop(1)
    return [(_spread(i - 1, count), str(i), "middle") for i in shown]


def _clear_on_the_left(series: Sequence[Series], y: Axis, limit: Limit) -> bool:
    """Whether the first values lie further from the line than the last ones."""
    distances = []
    for piece in (slice(0, 3), slice(-3, None)):
        near = [v for s in series for v in s.values[piece] if v is not None and y.shows(v)]
        distances.append(min((abs(y.place(v) - y.place(limit.value)) for v in near), default=1.0))
    return distances[0] >= distances[1]


def _spread(index: int, count: int) -> float:
    """x of one of several things side by side."""
    return LEFT + (index + 0.5) / count * (RIGHT - LEFT)


def _along(x: Axis, value: float) -> float:
    return LEFT + x.place(value) * (RIGHT - LEFT)


def _down(y: Axis, value: float) -> float:
    return BOTTOM - y.place(value) * (BOTTOM - TOP)


def _two(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{round(value, 2) + 0.0:.2f}"


_KNOWN: dict[str, object] = {
    **{"WIDTH": WIDTH, "HEIGHT": HEIGHT, "LEFT": LEFT, "RIGHT": RIGHT, "TOP": TOP},
    **{"BOTTOM": BOTTOM, "along": _along, "down": _down, "written": written},
}
"""To the macros."""
