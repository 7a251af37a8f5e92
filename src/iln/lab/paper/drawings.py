"""Pictures that several items share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from iln.lab.dynamics.curves import LABELS
from iln.lab.dynamics.drawing import HUES, SMALL, Axes, Figure, logarithmic, new_figure, plain
from iln.lab.paper.scale import TITLES
from iln.lab.paper.statistics import WORST, worst
from iln.lab.paper.store import Run


def draw_runs(
    arms: Mapping[str, Sequence[Run]], measures: Sequence[str] = ("mean_square", "entropy")
) -> Figure:
    """The worst block of every run over its steps: a panel a measure, a colour an arm, a line a
    seed. At most six arms, by norm or the name to show."""
    figure = new_figure(5.2 * len(measures), 4.4)
    panels = figure.subplots(1, len(measures), squeeze=False)[0]
    for axes, measure in zip(panels, measures, strict=True):
        draw_panel(axes, arms, measure)
    panels[0].legend(fontsize=SMALL, frameon=False, loc="best")
    return figure


def draw_panel(
    axes: Axes,
    arms: Mapping[str, Sequence[Run]],
    measure: str,
    title: str = "",
    hues: Sequence[str] = HUES,
) -> None:
    """One panel of it; only the first line of an arm is named."""
    for (arm, runs), hue in zip(arms.items(), hues, strict=False):
        label: str | None = TITLES.get(arm, arm)
        for run in runs:
            values = worst(run, measure)
            mark = "o" if len(values) == 1 else ""
            steps = run.history.steps
            axes.plot(steps, values, color=hue, linewidth=1.5, label=label, marker=mark)
            label = None
    where = "largest" if WORST[measure] == "max" else "lowest"
    plain(axes, title, "step", f"{LABELS[measure]}\n({where} block)")
    if WORST[measure] == "max":
        logarithmic(axes, "y")
    axes.margins(x=0.02)
