"""Ours: learning rates, and the one that all pages of a scale use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iln.lab.dynamics.drawing import HUES, SMALL, logarithmic, new_figure, plain
from iln.lab.paper.item import Item
from iln.lab.paper.page import Page
from iln.lab.paper.scale import TITLES, Scale
from iln.lab.paper.statistics import growth, last, score, test_sets
from iln.lab.paper.store import Run, Store
from iln.lab.training import Recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NORMS = ("ln", "i-ln")
FACTORS = (1 / 8, 1 / 4, 1 / 2, 1, 2)
"""Of the scale's own rate."""


def rated(scale: Scale, norm: str) -> dict[float, Recipe]:
    """By learning rate, with the first seed."""
    rates = [scale.base.lr * factor for factor in FACTORS]
    return {rate: scale.recipe(norm, seed=scale.seeds[0], lr=rate) for rate in rates}


def report(scale: Scale, store: Store, page: Page) -> None:
    arms = {
        norm: {rate: store[recipe] for rate, recipe in rated(scale, norm).items()} for norm in NORMS
    }
    sets = test_sets(scale.base)
    scores = {n: {r: score(run, sets[-1]) for r, run in runs.items()} for n, runs in arms.items()}
    best = {norm: max(found, key=found.__getitem__) for norm, found in scores.items()}
    for norm in NORMS:
        page.claim(
            f"{TITLES[norm]} scores best at {scale.base.lr:g}, the rate of all pages ({sets[-1]})",
            best[norm] == scale.base.lr,
            ", ".join(f"{rate:g}: {value:.3f} dB" for rate, value in scores[norm].items()),
        )
    largest = max(arms["ln"])
    grown = {norm: growth(arms[norm][largest]) for norm in NORMS}
    page.claim(
        f"At {largest:g} the features of LN grow, those of i-LN do not",
        grown["ln"] > 2 > grown["i-ln"],
        f"{grown['ln']:.3g} and {grown['i-ln']:.3g} times over the last three quarters",
    )
    page.picture("rates", "Quality and features over the learning rate.", draw(arms, sets[-1]))
    page.table(
        "rates",
        "PSNR in dB, and the worst block at the last step; one seed",
        [*("norm", "rate", *sets), "mean square", "max abs", "entropy (nats)", "times grown"],
        [
            [
                TITLES[norm],
                rate,
                *(f"{score(run, name):.3f}" for name in sets),
                last(run, "mean_square"),
                last(run, "max_abs"),
                last(run, "entropy", "min"),
                growth(run),
            ]
            for norm, runs in arms.items()
            for rate, run in runs.items()
        ],
    )


def draw(arms: dict[str, dict[float, Run]], test_set: str) -> Figure:
    figure = new_figure(10.4, 4.4)
    quality, size = figure.subplots(1, 2)
    for (norm, runs), hue in zip(arms.items(), HUES, strict=False):
        rates = list(runs)
        values = [score(run, test_set) for run in runs.values()]
        quality.plot(rates, values, color=hue, marker="o", label=TITLES[norm])
        sizes = [last(run, "mean_square") for run in runs.values()]
        size.plot(rates, sizes, color=hue, marker="o")
    plain(quality, "", "learning rate", f"{test_set}, PSNR in dB")
    plain(size, "", "learning rate", "mean square of the features\n(largest block, last step)")
    logarithmic(quality, "x")
    logarithmic(size, "x")
    logarithmic(size, "y")
    quality.legend(frameon=False, fontsize=SMALL)
    return figure


ITEM = Item(
    names=("rates",),
    title="Learning rates",
    shows="nothing of this; all its networks train at 2e-4. A smaller scale needs a rate of its "
    "own, and it should be the one that suits the baseline.",
    recipes=lambda scale: [recipe for norm in NORMS for recipe in rated(scale, norm).values()],
    report=report,
)
