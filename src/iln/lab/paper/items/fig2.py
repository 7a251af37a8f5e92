"""Fig. 2: the same over depth, width and task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from iln.lab.dynamics.drawing import HUES, SMALL, new_figure
from iln.lab.paper.drawings import draw_arm, finish_axes
from iln.lab.paper.item import Item
from iln.lab.paper.page import Page
from iln.lab.paper.scale import TITLES, Scale
from iln.lab.paper.statistics import all_above, growth, last, show
from iln.lab.paper.store import Run, Store
from iln.lab.training import Recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NORMS = ("ln", "i-ln")
Variants = Mapping[str, Mapping[str, Any]]


def factors(scale: Scale) -> dict[str, Variants]:
    """What is varied: by factor and variant, the arguments of `Scale.recipe`."""
    return {
        "depth": {name: {"spec": spec} for name, spec in scale.depths.items()},
        "width": {name: {"spec": spec} for name, spec in scale.widths.items()},
        "task": {name: {"task": name} for name in scale.tasks},
    }


def runs_of(scale: Scale, variant: Mapping[str, Any], norm: str) -> list[Recipe]:
    """Two seeds: twelve networks or more in each panel tell as much as a third one would."""
    return [scale.recipe(norm, seed=seed, **variant) for seed in scale.seeds[:2]]


def recipes(scale: Scale) -> list[Recipe]:
    return [
        recipe
        for variants in factors(scale).values()
        for variant in variants.values()
        for norm in NORMS
        for recipe in runs_of(scale, variant, norm)
    ]


def report(scale: Scale, store: Store, page: Page) -> None:
    found = {
        factor: {
            name: {norm: [store[r] for r in runs_of(scale, variant, norm)] for norm in NORMS}
            for name, variant in variants.items()
        }
        for factor, variants in factors(scale).items()
    }
    for factor, adjective in (("depth", "deeper"), ("width", "wider")):
        ends = [[last(r, "mean_square") for r in arm["ln"]] for arm in found[factor].values()]
        page.claim(
            f"Under LN a {adjective} network has larger features",
            all_above(ends[-1], ends[0]),
            "; ".join(f"{n}: {show(e, None)}" for n, e in zip(found[factor], ends, strict=True)),
        )
    everything = [arm for variants in found.values() for arm in variants.values()]
    smaller = [
        all_above(
            [last(run, "mean_square") for run in arm["ln"]],
            [last(run, "mean_square") for run in arm["i-ln"]],
        )
        for arm in everything
    ]
    page.claim(
        "For every depth, width and task features are larger under LN than under i-LN",
        all(smaller) if None not in smaller else None,
        f"in {smaller.count(True)} of {len(smaller)} cases, every seed",
    )
    lower = [
        all_above(
            [last(run, "entropy", "min") for run in arm["i-ln"]],
            [last(run, "entropy", "min") for run in arm["ln"]],
        )
        for arm in everything
    ]
    page.claim(
        "For every depth, width and task channel entropy is lower under LN",
        all(lower) if None not in lower else None,
        f"in {lower.count(True)} of {len(lower)} cases, every seed; the other way round in "
        f"{lower.count(False)}",
    )
    for factor, variants in found.items():
        page.picture(
            factor,
            f"The worst block over the steps, by {factor}: a colour a variant, a line a seed.",
            draw(variants),
        )
    page.table(
        "end",
        "The last step, worst block of each network, mean and deviation over seeds",
        ["factor", "variant", "norm", "mean square", "max abs", "entropy (nats)", "times grown"],
        [
            [
                factor,
                name,
                TITLES[norm],
                show([last(run, "mean_square") for run in runs], None),
                show([last(run, "max_abs") for run in runs], None),
                show([last(run, "entropy", "min") for run in runs]),
                show([growth(run) for run in runs]),
            ]
            for factor, variants in found.items()
            for name, arm in variants.items()
            for norm, runs in arm.items()
        ],
    )


def draw(variants: Mapping[str, Mapping[str, list[Run]]]) -> Figure:
    """Mean square all_above, entropy below; LN left, i-LN right, on the same axes."""
    figure = new_figure(10.4, 7.6)
    panels = figure.subplots(2, 2, sharey="row", squeeze=False)
    for row, measure in zip(panels, ("mean_square", "entropy"), strict=True):
        for axes, norm in zip(row, NORMS, strict=True):
            for (name, arm), hue in zip(variants.items(), HUES, strict=False):
                draw_arm(axes, arm[norm], measure, name, hue)
            finish_axes(axes, measure, TITLES[norm])
    panels[0, 0].legend(fontsize=SMALL, frameon=False)
    return figure


ITEM = Item(
    names=("fig2",),
    title="Fig. 2: depth, width and task",
    shows="the growth is seen on super-resolution, denoising, deraining and JPEG, on SwinIR, HAT "
    "and DRCT; deeper and wider networks diverge sooner and higher.",
    recipes=recipes,
    report=report,
)
