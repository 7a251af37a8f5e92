"""Fig. 1: feature magnitude and channel entropy over training, LN against i-LN."""

from __future__ import annotations

from iln.lab.dynamics import draw_training
from iln.lab.paper.drawings import draw_runs
from iln.lab.paper.item import Arms, Item
from iln.lab.paper.page import Page
from iln.lab.paper.scale import TITLES, Scale
from iln.lab.paper.statistics import GROWTH, all_above, claim_above, shown, value, values
from iln.lab.paper.store import Store

PUBLISHED = {"ln": "mean square above 1e6", "i-ln": "near 1.2"}


def report(scale: Scale, store: Store, page: Page, arms: Arms) -> None:
    ln, iln = arms["ln"], arms["i-ln"]
    page.claim(
        "LN: the features keep growing while the network trains",
        all_above(values(ln, "times grown"), [GROWTH]),
        f"mean square of the largest block grows {shown(ln, 'times grown')} times over the last "
        f"three quarters of the steps; more than {GROWTH:g} counts as growing",
    )
    page.claim(
        "i-LN: they do not",
        all_above([GROWTH], values(iln, "times grown")),
        f"{shown(iln, 'times grown')} times",
    )
    claim_above(
        page, "Features are larger under LN", "mean square", ln, iln, "{} and {} at the end"
    )
    claim_above(
        page,
        "Channel entropy falls lower under LN",
        "entropy (nats)",
        iln,
        ln,
        "{1} and {0} nats in the lowest block",
    )
    page.picture("curves", "The worst block of each run, a line a seed.", draw_runs(arms))
    page.picture(
        "blocks",
        "All blocks of the first seed's runs.",
        draw_training({TITLES[norm]: runs[0].folder for norm, runs in arms.items()}),
    )
    measures = ["mean square", "max abs", "entropy (nats)", "times grown"]
    page.table(
        "end",
        "The last step, worst block of each network",
        ["norm", "seed", *measures, "published"],
        [
            [TITLES[norm], run.recipe.seed, *(value(run, m) for m in measures), PUBLISHED[norm]]
            for norm, runs in arms.items()
            for run in runs
        ],
    )


ITEM = Item(
    names=("fig1",),
    title="Fig. 1: feature magnitude and channel entropy over training",
    shows="with LayerNorm the mean square of block outputs grows about exponentially over 300,000 "
    "steps, to 1e6 and beyond, and the entropy of the channels' energy collapses early. With i-LN "
    "features stay near 1.2 and entropy high.",
    arms=Scale.arms,
    report=report,
)
