"""Fig. 2: the same over depth, width and task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from iln.lab.dynamics.drawing import SMALL, new_figure
from iln.lab.paper.drawings import draw_panel
from iln.lab.paper.item import Arms, Item
from iln.lab.paper.page import Page
from iln.lab.paper.scale import TITLES, Scale
from iln.lab.paper.statistics import all_above, cells, show, shown, values
from iln.lab.paper.store import Store
from iln.lab.training import Recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def factors(scale: Scale) -> dict[str, dict[str, Mapping[str, Any]]]:
    """What is varied: by factor and variant, the arguments of `Scale.recipe`."""
    return {
        "depth": {name: {"spec": spec} for name, spec in scale.depths.items()},
        "width": {name: {"spec": spec} for name, spec in scale.widths.items()},
        "task": {name: {"task": name} for name in scale.tasks},
    }


def arms_of(scale: Scale) -> dict[tuple[str, str, str], list[Recipe]]:
    """By factor, variant and norm.

    Two seeds: twelve networks or more in each panel tell as much as a third one would.
    """
    return {
        (factor, name, norm): recipes[:2]
        for factor, variants in factors(scale).items()
        for name, variant in variants.items()
        for norm, recipes in scale.arms(**variant).items()
    }


def report(scale: Scale, store: Store, page: Page, arms: Arms) -> None:
    for factor, adjective in (("depth", "deeper"), ("width", "wider")):
        under_ln = chosen(arms, factor, "ln")
        ends = [values(runs, "mean square") for runs in under_ln.values()]
        page.claim(
            f"Under LN a {adjective} network has larger features",
            all_above(ends[-1], ends[0]),
            "; ".join(f"{name}: {shown(runs, 'mean square')}" for name, runs in under_ln.items()),
        )
    pairs = [(arms[f, name, "ln"], arms[f, name, "i-ln"]) for f, name, norm in arms if norm == "ln"]
    smaller = [
        all_above(values(ln, "mean square"), values(iln, "mean square")) for ln, iln in pairs
    ]
    page.claim(
        "For every depth, width and task features are larger under LN than under i-LN",
        all(smaller) if None not in smaller else None,
        f"in {smaller.count(True)} of {len(smaller)} cases, every seed",
    )
    lower = [
        all_above(values(iln, "entropy (nats)"), values(ln, "entropy (nats)")) for ln, iln in pairs
    ]
    page.claim(
        "For every depth, width and task channel entropy is lower under LN",
        all(lower) if None not in lower else None,
        f"in {lower.count(True)} of {len(lower)} cases, every seed; the other way round in "
        f"{lower.count(False)}",
    )
    for factor in factors(scale):
        page.picture(
            factor,
            f"The worst block over the steps, by {factor}: a colour a variant, a line a seed.",
            draw(arms, factor),
        )
    measures = ["mean square", "max abs", "entropy (nats)"]
    page.table(
        "end",
        "The last step, worst block of each network, mean and deviation over seeds",
        ["factor", "variant", "norm", *measures, "times grown"],
        [
            [
                *(factor, name, TITLES[norm]),
                *cells(runs, measures),
                show(values(runs, "times grown")),
            ]
            for (factor, name, norm), runs in arms.items()
        ],
    )


def chosen(arms: Arms, factor: str, norm: str) -> Arms:
    """Of one factor and norm, by variant."""
    return {name: runs for (f, name, n), runs in arms.items() if (f, n) == (factor, norm)}


def draw(arms: Arms, factor: str) -> Figure:
    """Mean square above, entropy below; LN left, i-LN right, on the same axes."""
    figure = new_figure(10.4, 7.6)
    panels = figure.subplots(2, 2, sharey="row", squeeze=False)
    for row, measure in zip(panels, ("mean_square", "entropy"), strict=True):
        for axes, norm in zip(row, ("ln", "i-ln"), strict=True):
            draw_panel(axes, chosen(arms, factor, norm), measure, TITLES[norm])
    panels[0, 0].legend(fontsize=SMALL, frameon=False)
    return figure


ITEM = Item(
    names=("fig2",),
    title="Fig. 2: depth, width and task",
    shows="the growth is seen on super-resolution, denoising, deraining and JPEG, on SwinIR, HAT "
    "and DRCT; deeper and wider networks diverge sooner and higher.",
    arms=arms_of,
    report=report,
)
