"""Fig. 11: how much seeds differ."""

from __future__ import annotations

import statistics

from iln.lab.paper.drawings import draw_runs
from iln.lab.paper.item import Arms, Item
from iln.lab.paper.page import Page
from iln.lab.paper.scale import TITLES, Scale
from iln.lab.paper.statistics import test_sets, value, values
from iln.lab.paper.store import Store

FACTOR = 4.4
"""sqrt(F) at 5 % for 2 and 2 degrees of freedom (F = 19.0): three seeds an arm."""


def report(scale: Scale, store: Store, page: Page, arms: Arms) -> None:
    measures = {"mean square": "mean square", "entropy": "entropy (nats)"}
    measures |= {f"PSNR {name}": name for name in test_sets(scale.base)}
    for name, measure in measures.items():
        ln, iln = (statistics.stdev(values(arms[norm], measure)) for norm in ("ln", "i-ln"))
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
        "curves", "The worst block of every run over its steps, a line a seed.", draw_runs(arms)
    )
    page.table(
        "seeds",
        "Each seed at the last step",
        ["norm", "seed", *measures],
        [
            [TITLES[norm], run.recipe.seed, *(value(run, m) for m in measures.values())]
            for norm, runs in arms.items()
            for run in runs
        ],
    )


ITEM = Item(
    names=("fig11",),
    title="Fig. 11: seeds",
    shows="LN's features vary widely from seed to seed, those of i-LN hardly.",
    arms=Scale.arms,
    report=report,
)
