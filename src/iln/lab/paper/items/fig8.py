"""Fig. 8: the last norm's bias and channel magnitude.

The paper: under LN the bias of the last norm lines up with the magnitude of the channels: the
network makes up for the few that dominate.
"""

from __future__ import annotations

from iln.lab.dynamics import alignment, draw_alignment
from iln.lab.paper.item import Item, Report
from iln.lab.paper.pictures import picture_of
from iln.lab.paper.scale import TITLES, Scale
from iln.lab.paper.statistics import show


def report(page: Report) -> None:
    damaged, _ = picture_of(page.scale.base, page.store)
    found = {
        norm: [alignment(run.model(), damaged) for run in runs] for norm, runs in page.sound.items()
    }
    for name, correlation in (("Pearson's", "correlation"), ("Spearman's", "rank_correlation")):
        ln, iln = ([getattr(one, correlation) for one in found[norm]] for norm in ("ln", "i-ln"))
        page.claim(
            f"Bias and channel magnitude go together more under LN ({name} correlation)",
            page.sound_above(ln, iln),
            f"{show(ln)} and {show(iln)}",
        )
    page.picture(
        "alignment",
        "Size of the last norm's bias over the magnitude of its channel; the first seed.",
        draw_alignment({TITLES[norm]: all_[0] for norm, all_ in found.items() if all_}),
    )
    page.table(
        "alignment",
        "Correlation of bias and magnitude, and how far the largest channel stands out",
        ["norm", "seed", "correlation", "rank correlation", "largest / mean magnitude"],
        [
            [
                *(TITLES[norm], run.recipe.seed, one.correlation, one.rank_correlation),
                float(one.magnitude.max() / one.magnitude.mean()),
            ]
            for norm, all_ in found.items()
            for run, one in zip(page.sound[norm], all_, strict=True)
        ],
    )


ITEM = Item(("fig8",), __doc__, Scale.arms, report)
