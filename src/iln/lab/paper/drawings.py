"""Pictures that several items share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from iln.lab.dynamics.curves import LABELS
from iln.lab.dynamics.drawing import HUES, LABEL, SMALL, logarithmic, new_figure, plain
from iln.lab.paper.statistics import over_blocks
from iln.lab.paper.store import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EXTREMES: dict[str, Literal["max", "min"]] = {
    "mean_square": "max",
    "max_abs": "max",
    "entropy": "min",
}
"""Which block stands for a network: where the measure is worst."""


def draw_runs(
    arms: Mapping[str, Sequence[Run]], measures: Sequence[str] = ("mean_square", "entropy")
) -> Figure:
    """The worst block of every run over its steps: a panel a measure, a colour an arm, a line a
    seed. At most six arms."""
    figure = new_figure(5.2 * len(measures), 4.4)
    panels = figure.subplots(1, len(measures), squeeze=False)[0]
    for axes, measure in zip(panels, measures, strict=True):
        for (name, runs), hue in zip(arms.items(), HUES, strict=False):
            draw_arm(axes, runs, measure, name, hue)
        finish_axes(axes, measure)
    panels[0].legend(fontsize=SMALL, frameon=False, loc="best")
    return figure


def draw_arm(axes: Axes, runs: Sequence[Run], measure: str, name: str, hue: str) -> None:
    """A line a seed, the first of them named."""
    for number, run in enumerate(runs):
        values = over_blocks(run, measure, EXTREMES[measure])
        label = name if number == 0 else None
        mark = "o" if len(values) == 1 else ""
        axes.plot(run.history.steps, values, color=hue, linewidth=1.5, label=label, marker=mark)


def finish_axes(axes: Axes, measure: str, title: str = "") -> None:
    """Labels, and a logarithmic axis for what grows."""
    where = "largest" if EXTREMES[measure] == "max" else "lowest"
    plain(axes, title, "step", f"{LABELS[measure]}\n({where} block)")
    axes.yaxis.label.set_fontsize(LABEL)
    if EXTREMES[measure] == "max":
        logarithmic(axes, "y")
    axes.margins(x=0.02)
