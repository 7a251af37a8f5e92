"""Fig. 1: feature magnitude and channel entropy over training.

The paper: with LayerNorm the mean square of block outputs grows about exponentially over 300,000
steps, to 1e6 and beyond, and the entropy of the channels' energy collapses early. With i-LN
features stay near 1.2 and entropy high.
"""

from __future__ import annotations

from iln.lab.dynamics import draw_training
from iln.lab.paper.item import Item, Report
from iln.lab.paper.scale import TITLES, Scale
from iln.lab.paper.statistics import GROWTH, all_above, value

PUBLISHED = {"ln": "mean square above 1e6", "i-ln": "near 1.2"}


def report(page: Report) -> None:
    page.claim(
        "LN: the features keep growing while the network trains",
        all_above(page.values("ln", "times grown"), [GROWTH]),
        f"mean square of the largest block grows {page.shown('ln', 'times grown')} times over the "
        f"last three quarters of the steps; more than {GROWTH:g} counts as growing",
    )
    page.claim(
        "i-LN: they do not",
        all_above([GROWTH], page.values("i-ln", "times grown")),
        f"{page.shown('i-ln', 'times grown')} times",
    )
    text, numbers = "Features are larger under LN", "{} and {} at the end"
    page.claim_above(text, "mean square", "ln", "i-ln", numbers)
    text, numbers = "Channel entropy falls lower under LN", "{1} and {0} nats in the lowest block"
    page.claim_above(text, "entropy (nats)", "i-ln", "ln", numbers)
    page.curves("The worst block of each run, a line a seed.")
    page.picture(
        "blocks",
        "All blocks of the first seed's runs.",
        draw_training({TITLES[norm]: runs[0].folder for norm, runs in page.arms.items()}),
    )
    measures = ["mean square", "max abs", "entropy (nats)", "times grown"]
    page.table(
        "end",
        "The last step, worst block of each network",
        ["norm", "seed", *measures, "published"],
        [
            [TITLES[norm], run.recipe.seed, *(value(run, m) for m in measures), PUBLISHED[norm]]
            for norm, runs in page.arms.items()
            for run in runs
        ],
    )


ITEM = Item(("fig1",), __doc__, Scale.arms, report)
