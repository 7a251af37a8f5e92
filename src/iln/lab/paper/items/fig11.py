"""Fig. 11: how much seeds differ."""

from __future__ import annotations

import statistics

from iln.lab.paper.drawings import draw_runs
from iln.lab.paper.item import Item
from iln.lab.paper.page import Page
from iln.lab.paper.scale import TITLES, Scale
from iln.lab.paper.statistics import last, plain, score, seeds, test_sets
from iln.lab.paper.store import Store

NORMS = ("ln", "i-ln")
MEASURES = {"mean square": ("mean_square", "max"), "entropy": ("entropy", "min")}


def report(scale: Scale, store: Store, page: Page) -> None:
    arms = {norm: seeds(scale, store, norm) for norm in NORMS}
    sets = test_sets(scale.base)
    values = {
        norm: {
            "mean square": [last(run, "mean_square") for run in runs],
            "entropy": [last(run, "entropy", "min") for run in runs],
            **{f"PSNR {name}": [score(run, name) for run in runs] for name in sets},
        }
        for norm, runs in arms.items()
    }
    spreads = {
        norm: {name: statistics.stdev(found) for name, found in all_.items()}
        for norm, all_ in values.items()
    }
    for name in values["ln"]:
        ln, iln = spreads["ln"][name], spreads["i-ln"][name]
        page.claim(
            f"{name} varies more over seeds under LN",
            None if max(ln, iln) < FACTOR * min(ln, iln) else ln > iln,
            f"standard deviation {ln:.3g} and {iln:.3g}",
        )
    page.text(
        f"A standard deviation from {len(scale.seeds)} seeds is itself uncertain: with equal "
        f"arms it takes a ratio of about {FACTOR:g} or more to tell them apart (F test, 5 %), so "
        "smaller ratios count as undecided."
    )
    page.picture(
        "curves",
        "The worst block of every run over its steps, a line a seed.",
        draw_runs({TITLES[norm]: runs for norm, runs in arms.items()}),
    )
    page.table(
        "seeds",
        "Each seed at the last step",
        ["norm", "seed", *values["ln"]],
        [
            [TITLES[norm], seed, *(found[i] for found in values[norm].values())]
            for norm in NORMS
            for i, seed in enumerate(scale.seeds)
        ],
    )


FACTOR = 4.4
"""sqrt(F) at 5 % for 2 and 2 degrees of freedom (F = 19.0): three seeds an arm."""
ITEM = Item(
    names=("fig11",),
    title="Fig. 11: seeds",
    shows="LN's features vary widely from seed to seed, those of i-LN hardly.",
    recipes=lambda scale: plain(scale, *NORMS),
    report=report,
)
