"""Fig. 2: depth, width and task.

The paper: the growth is seen on super-resolution, denoising, deraining and JPEG, on SwinIR, HAT
and DRCT; deeper and wider networks diverge sooner and higher.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from iln.lab.dynamics.drawing import SMALL, Figure, new_figure
from iln.lab.paper.drawings import draw_panel
from iln.lab.paper.item import Item, Report
from iln.lab.paper.scale import TITLES, Scale
from iln.lab.paper.statistics import all_hold, show
from iln.lab.training import Recipe


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


def report(page: Report) -> None:
    for factor in ("depth", "width"):
        arms = [(factor, name, "ln") for name in factors(page.scale)[factor]]
        page.claim(
            f"Under LN {arms[-1][1]} have larger features than {arms[0][1]}",
            page.above("mean square", arms[-1], arms[0]),
            "; ".join(f"{arm[1]}: {page.shown(arm, 'mean square')}" for arm in arms),
        )
    pairs = [((f, name, "ln"), (f, name, "i-ln")) for f, name, norm in page.arms if norm == "ln"]
    smaller = [page.above("mean square", ln, iln) for ln, iln in pairs]
    page.claim(
        "For every depth, width and task features are larger under LN than under i-LN",
        all_hold(smaller),
        f"in {smaller.count(True)} of {len(smaller)} cases, every seed",
    )
    lower = [page.above("entropy (nats)", iln, ln) for ln, iln in pairs]
    page.claim(
        "For every depth, width and task channel entropy is lower under LN",
        all_hold(lower),
        f"in {lower.count(True)} of {len(lower)} cases, every seed; the other way round in "
        f"{lower.count(False)}",
    )
    for factor in factors(page.scale):
        page.picture(
            factor,
            f"The worst block over the steps, by {factor}: a colour a variant, a line a seed.",
            draw(page, factor),
        )
    measures = ["mean square", "max abs", "entropy (nats)"]
    page.table(
        "end",
        "The last step, worst block of each network, mean and deviation over seeds",
        ["factor", "variant", "norm", *measures, "times grown"],
        [
            [
                *(factor, name, TITLES[norm]),
                *page.cells((factor, name, norm), measures),
                show(page.values((factor, name, norm), "times grown")),
            ]
            for factor, name, norm in page.arms
        ],
    )


def draw(page: Report, factor: str) -> Figure:
    """Mean square above, entropy below; LN left, i-LN right, on the same axes."""
    figure = new_figure(10.4, 7.6)
    panels = figure.subplots(2, 2, sharey="row", squeeze=False)
    for row, measure in zip(panels, ("mean_square", "entropy"), strict=True):
        for axes, norm in zip(row, ("ln", "i-ln"), strict=True):
            runs = {name: page.arms[factor, name, norm] for name in factors(page.scale)[factor]}
            draw_panel(axes, runs, measure, TITLES[norm])
    panels[0, 0].legend(fontsize=SMALL, frameon=False)
    return figure


ITEM = Item(("fig2",), __doc__, arms_of, report)
