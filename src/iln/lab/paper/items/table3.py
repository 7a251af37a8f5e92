"""Table 3 and Fig. 7: the two halves of i-LN.

The paper: dropping the rescaling (LN*), or the holistic statistics too (LN), costs quality, and
channel entropy falls step by step.
"""

from __future__ import annotations

from iln.lab.paper.item import Item, Report
from iln.lab.paper.scale import TITLES
from iln.lab.paper.statistics import all_hold

PUBLISHED = {
    "ln": "27.7897 / 26.8779 / 31.5444",
    "ln*": "between the two",
    "i-ln": "27.9206 / 27.5849 / 32.1694",
}
"""PSNR x4 of HAT2 on BSD100, Urban100 and Manga109."""


def report(page: Report) -> None:
    deciding = page.sets[-1]
    for better, worse, what in (
        ("i-ln", "ln*", "The rescaling helps: i-LN is better than LN*"),
        ("ln*", "ln", "Holistic statistics help: LN* is better than LN"),
        ("i-ln", "ln", "Both together: i-LN is better than LN"),
    ):
        page.claim_above(f"{what} ({deciding})", deciding, better, worse)
    entropy = "entropy (nats)"
    found = (f"{TITLES[norm]} {page.shown(norm, entropy)}" for norm in page.arms)
    page.claim(
        "Entropy falls step by step, from i-LN to LN* to LN",
        all_hold([page.above(entropy, "i-ln", "ln*"), page.above(entropy, "ln*", "ln")]),
        f"{', '.join(found)} nats",
    )
    measures = [*page.sets, "mean square", entropy, "times grown"]
    page.table(
        "ablation",
        "PSNR in dB, and the worst block at the last step; mean and deviation over seeds",
        ["norm", "holistic", "rescaled", *measures, "published: BSD100, Urban100, Manga109"],
        [
            [
                TITLES[norm],
                "no" if norm == "ln" else "yes",
                "yes" if norm == "i-ln" else "no",
                *page.cells(norm, measures),
                PUBLISHED[norm],
            ]
            for norm in page.arms
        ],
    )
    page.curves("Fig. 7: the worst block of each run over its steps, a line a seed.")


ITEM = Item(("table3", "fig7"), __doc__, lambda scale: scale.arms(("ln", "ln*", "i-ln")), report)
