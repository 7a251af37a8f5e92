"""Fig. 1: feature magnitude and channel entropy over training, LN against i-LN."""

from __future__ import annotations

from iln.lab.dynamics import draw_training
from iln.lab.paper.drawings import draw_runs
from iln.lab.paper.item import Item
from iln.lab.paper.page import Page
from iln.lab.paper.scale import TITLES, Scale
from iln.lab.paper.statistics import all_above, growth, last, plain, seeds, show
from iln.lab.paper.store import Store

NORMS = ("ln", "i-ln")


def report(scale: Scale, store: Store, page: Page) -> None:
    arms = {TITLES[norm]: seeds(scale, store, norm) for norm in NORMS}
    sizes = {name: [last(run, "mean_square") for run in runs] for name, runs in arms.items()}
    entropies = {name: [last(run, "entropy", "min") for run in runs] for name, runs in arms.items()}
    grown = {name: [growth(run) for run in runs] for name, runs in arms.items()}

    page.claim(
        "LN: the features keep growing while the network trains",
        all_above(grown["LN"], [2.0]),
        f"mean square of the largest block grows {show(grown['LN'], None)} times over the last "
        "three quarters of the steps; more than 2 counts as growing",
    )
    page.claim(
        "i-LN: they do not",
        all_above([2.0], grown["i-LN"]),
        f"{show(grown['i-LN'], None)} times",
    )
    page.claim(
        "Features are larger under LN",
        all_above(sizes["LN"], sizes["i-LN"]),
        f"{show(sizes['LN'], None)} and {show(sizes['i-LN'], None)} at the end",
    )
    page.claim(
        "Channel entropy falls lower under LN",
        all_above(entropies["i-LN"], entropies["LN"]),
        f"{show(entropies['LN'])} and {show(entropies['i-LN'])} nats in the lowest block",
    )
    page.picture("curves", "The worst block of each run, a line a seed.", draw_runs(arms))
    page.picture(
        "blocks",
        "All blocks of the first seed's runs.",
        draw_training({name: runs[0].folder for name, runs in arms.items()}),
    )
    page.table(
        "end",
        "The last step, worst block of each network",
        ["norm", "seed", "mean square", "max abs", "entropy (nats)", "times grown", "published"],
        [
            [
                name,
                run.recipe.seed,
                last(run, "mean_square"),
                last(run, "max_abs"),
                last(run, "entropy", "min"),
                growth(run),
                {"LN": "mean square above 1e6", "i-LN": "near 1.2"}[name],
            ]
            for name, runs in arms.items()
            for run in runs
        ],
    )


ITEM = Item(
    names=("fig1",),
    title="Fig. 1: feature magnitude and channel entropy over training",
    shows="with LayerNorm the mean square of block outputs grows about exponentially over 300,000 "
    "steps, to 1e6 and beyond, and the entropy of the channels' energy collapses early. With i-LN "
    "features stay near 1.2 and entropy high.",
    recipes=lambda scale: plain(scale, *NORMS),
    report=report,
)
