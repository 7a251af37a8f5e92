"""Charts as SVG: crisp at any size, coloured by the page's style, so for light and dark alike.

Every series has a colour and a shape of its own; points say their name and value when pointed at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from iln.lab.dynamics.channels import Alignment
from iln.lab.dynamics.formatting import number, share
from iln.lab.dynamics.report.axes import Axis, linear, logarithmic, written
from iln.lab.dynamics.report.markup import Markup, element, joined, picture

WIDTH, HEIGHT = 360.0, 212.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 8.0, 14.0, 38.0
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
    shown = limit if limit is not None and (not log or top * 300 > limit.value) else None
    reach = [*values, shown.value] if shown else values
    y = logarithmic(reach) if log else linear(reach, low=low)
    counts = {len(s.values) for s in series}
    marks = [_curve(index, s, y, lines=lines, unit=unit) for index, s in enumerate(series)]
    parts = [
        _grid(y, suffix=unit if unit == " %" else ""),
        _groups(series),
        _count_axis(counts, across),
    ]
    if shown:
        marks.append(_limit(y, shown, left=_clear_on_the_left(series, y, shown)))
    return _figure(title, says, series, [*parts, *marks])


def channel_bars(title: str, says: str, shares: npt.NDArray[np.float64], top: float) -> Markup:
    """Each channel's share of the energy; the strongest is named, a line marks 1 / C.

    Args:
        top: the share at which the axis ends, so that several charts can be compared.
    """
    y = linear([top], low=0.0)
    count = len(shares)
    step = (WIDTH - _LEFT - _RIGHT) / count
    finite = np.nan_to_num(shares)
    strongest = int(finite.argmax())
    bars = []
    for channel, value in enumerate(finite.tolist()):
        end = _down(y, value)
        attributes = {
            "class": "bar strongest" if channel == strongest else "bar",
            "x": _LEFT + channel * step + step * 0.1,
            "y": end,
            "width": step * 0.8,
            "height": HEIGHT - _BOTTOM - end,
        }
        hint = element("title", {}, f"channel {channel}: {share(value)}")
        bars.append(element("rect", attributes, hint))
    x = _LEFT + (strongest + 0.5) * step
    right = x > WIDTH * 0.6
    label = element(
        "text",
        {
            "class": "note",
            "x": x + (-6 if right else 6),
            "y": max(_TOP + 9, _down(y, finite[strongest]) - 4),
            "text-anchor": "end" if right else "start",
        },
        f"channel {strongest}: {share(float(finite[strongest]))}",
    )
    ticks = [0, count // 4, count // 2, 3 * count // 4, count - 1]
    below = [_tick_below(_LEFT + (c + 0.5) * step, str(c)) for c in ticks]
    even = _limit(y, Limit(1 / count, ""))
    return _figure(
        title, says, [], [_grid(y, 100.0, " %"), *below, _name_below("channel"), *bars, even, label]
    )


def alignment_chart(title: str, found: Alignment, index: int) -> Markup:
    """|bias| of the last norm over the channels' magnitude, a dot a channel."""
    bias = np.abs(found.bias)
    x, y = logarithmic(found.magnitude.tolist()), linear(bias.tolist(), low=0.0)
    dots = []
    for channel, (magnitude, size) in enumerate(zip(found.magnitude, bias, strict=True)):
        if x.shows(magnitude) and y.shows(size):
            hint = f"channel {channel}: magnitude {number(magnitude)}, |bias| {number(size)}"
            dots.append(_mark(index, _along(x, magnitude), _down(y, size), hint))
    below = [_tick_below(_along(x, tick), written(tick)) for tick in x.ticks]
    says = (
        f"r = {_two(found.correlation)}, rank r = {_two(found.rank_correlation)}; "
        "near 1, the bias takes back what the strongest channels bring."
    )
    name = _name_below("magnitude of the channel, sqrt(E[x²])")
    return _figure(title, says, [], [_grid(y), *below, name, *dots])


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


def legend(labels: Sequence[str]) -> Markup:
    """Which colour and shape is whose; nothing for one."""
    if len(labels) < 2:
        return Markup()
    keys = []
    for index, label in enumerate(labels):
        line = element("path", {"class": f"curve hue{index}", "d": "M1 7H27"})
        sample = element(
            "svg",
            {"viewBox": "0 0 28 14", "width": 28, "height": 14, "aria-hidden": "true"},
            line,
            _mark(index, 14.0, 7.0, ""),
        )
        keys.append(element("span", {"class": "key"}, sample, label))
    return element("span", {"class": "legend"}, *keys)


# --- parts ---------------------------------------------------------------------------------


def _figure(title: str, says: str, series: Sequence[Series], parts: Sequence[Markup]) -> Markup:
    attributes = {
        "viewBox": f"0 0 {WIDTH:g} {HEIGHT:g}",
        "role": "img",
        "aria-label": f"{title}. {says}",
    }
    caption = element(
        "figcaption",
        {},
        element("strong", {}, title),
        element("span", {"class": "says"}, says),
        legend([s.label for s in series]),
    )
    return element("figure", {"class": "chart"}, caption, element("svg", attributes, *parts))


def _curve(index: int, series: Series, y: Axis, *, lines: bool, unit: str) -> Markup:
    """Points and the line between them, which breaks where a value is missing."""
    count = len(series.values)
    path, marks, pen = [], [], "M"
    for i, (value, name) in enumerate(zip(series.values, series.names, strict=True)):
        x = _LEFT + (i + 0.5) / count * (WIDTH - _LEFT - _RIGHT)
        if value is not None and math.isinf(value):
            continue
        if value is None or not y.shows(value):
            pen = "M"
            continue
        path.append(f"{pen}{x:.1f} {_down(y, value):.1f}")
        pen = "L"
        hint = f"{series.label}, {name}: {number(value)}{unit}"
        marks.append(_mark(index, x, _down(y, value), hint))
    line = element("path", {"class": f"curve hue{index}", "d": "".join(path)}) if lines else ""
    return element("g", {}, line if path else "", *marks)


def _mark(index: int, x: float, y: float, hint: str) -> Markup:
    title = element("title", {}, hint) if hint else ""
    if index == 0:
        return element("circle", {"class": "mark hue0", "cx": x, "cy": y, "r": 2.8}, title)
    shape = {"x": x - 2.6, "y": y - 2.6, "width": 5.2, "height": 5.2}
    return element("rect", {"class": f"mark hue{index}", **shape}, title)


def _groups(series: Sequence[Series]) -> Markup:
    """Upright lines where a residual group begins, where all networks have the same ones."""
    if len({tuple(_group(name) for name in s.names) for s in series}) != 1:
        return Markup()
    names = series[0].names
    lines = []
    for i in range(1, len(names)):
        if _group(names[i]) != _group(names[i - 1]):
            x = _LEFT + i / len(names) * (WIDTH - _LEFT - _RIGHT)
            place = {"class": "grid", "x1": x, "x2": x, "y1": _TOP, "y2": HEIGHT - _BOTTOM}
            lines.append(element("line", place))
    return joined(lines)


def _group(name: str) -> str:
    """`layers.2` of `layers.2.residual_group.blocks.0`; nothing for what lies outside."""
    return ".".join(name.split(".")[:2]) if name.startswith("layers.") else ""


def _grid(y: Axis, scale: float = 1.0, suffix: str = "") -> Markup:
    """Lines across, with what they stand for on the left: scale x value, and the suffix."""
    parts = []
    for tick in y.ticks:
        at = _down(y, tick)
        line = {"class": "grid", "x1": _LEFT, "x2": WIDTH - _RIGHT, "y1": at, "y2": at}
        text = written(scale * tick) + suffix
        label = {"class": "tick", "x": _LEFT - 7, "y": at + 4, "text-anchor": "end"}
        parts += [element("line", line), element("text", label, text)]
    return joined(parts)


def _count_axis(counts: set[int], across: str) -> Markup:
    """1, 2, ..., n below; only the ends where networks differ in depth."""
    if len(counts) != 1:
        ends = (("first", _LEFT, "start"), ("last", WIDTH - _RIGHT, "end"))
        ticks = [_tick_below(x, text, anchor) for text, x, anchor in ends]
        return joined([*ticks, _name_below(across)])
    count = next(iter(counts))
    step = max(1, math.ceil(count / 8))
    for nice in (1, 2, 3, 4, 6, 10, 12, 20, 24, 30, 50, 100):
        if nice >= step:
            step = nice
            break
    width = WIDTH - _LEFT - _RIGHT
    shown = [i for i in range(1, count + 1) if i == 1 or i % step == 0]
    if len(shown) > 1 and step > 1 and shown[1] - shown[0] <= step / 2:
        shown.pop(1)
    ticks = [_tick_below(_LEFT + (i - 0.5) / count * width, str(i)) for i in shown]
    return joined([*ticks, _name_below(across)])


def _tick_below(x: float, text: str, anchor: str = "middle") -> Markup:
    place = {"class": "tick", "x": x, "y": HEIGHT - _BOTTOM + 16, "text-anchor": anchor}
    return element("text", place, text)


def _name_below(text: str) -> Markup:
    place = {"class": "name", "x": (WIDTH + _LEFT - _RIGHT) / 2, "y": HEIGHT - 6}
    return element("text", {**place, "text-anchor": "middle"}, text)


def _clear_on_the_left(series: Sequence[Series], y: Axis, limit: Limit) -> bool:
    """Whether the first values lie further from the line than the last ones."""
    distances = []
    for piece in (slice(0, 3), slice(-3, None)):
        near = [v for s in series for v in s.values[piece] if v is not None and y.shows(v)]
        distances.append(min((abs(y.place(v) - y.place(limit.value)) for v in near), default=1.0))
    return distances[0] >= distances[1]


def _limit(y: Axis, limit: Limit, left: bool = False) -> Markup:
    at = _down(y, limit.value)
    line = {"class": "limit", "x1": _LEFT, "x2": WIDTH - _RIGHT, "y1": at, "y2": at}
    x, anchor = (_LEFT + 4, "start") if left else (WIDTH - _RIGHT, "end")
    place = {"class": "note", "x": x, "y": at - 5, "text-anchor": anchor}
    return joined([element("line", line), element("text", place, limit.label)])


def _along(x: Axis, value: float) -> float:
    return _LEFT + x.place(value) * (WIDTH - _LEFT - _RIGHT)


def _down(y: Axis, value: float) -> float:
    return HEIGHT - _BOTTOM - y.place(float(value)) * (HEIGHT - _TOP - _BOTTOM)


def _two(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{round(value, 2) + 0.0:.2f}"
