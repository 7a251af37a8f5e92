"""Fig. 8: the last norm's bias makes up for channels that are too large."""

from __future__ import annotations

from iln.lab.dynamics import alignment, draw_alignment
from iln.lab.paper.item import Arms, Item
from iln.lab.paper.page import Page
from iln.lab.paper.pictures import picture_of
from iln.lab.paper.scale import TITLES, Scale
from iln.lab.paper.statistics import all_above, show
from iln.lab.paper.store import Store


def report(scale: Scale, store: Store, page: Page, arms: Arms) -> None:
    damaged, _ = picture_of(scale.base, store)
    found = {norm: [alignment(run.model(), damaged) for run in runs] for norm, runs in arms.items()}
    for name, correlation in (("Pearson's", "correlation"), ("Spearman's", "rank_correlation")):
        ln, iln = ([getattr(one, correlation) for one in found[norm]] for norm in ("ln", "i-ln"))
        page.claim(
            f"Bias and channel magnitude go together more under LN ({name} correlation)",
            all_above(ln, iln),
            f"{show(ln)} and {show(iln)}",
        )
    page.picture(
        "alignment",
        "Size of the last norm's bias over the magnitude of its channel; the first seed.",
        draw_alignment({TITLES[norm]: all_[0] for norm, all_ in found.items()}),
    )
    page.table(
        "alignment",
        "Correlation of bias and magnitude, and how far the largest channel stands out",
        ["norm", "seed", "correlation", "rank correlation", "largest / mean magnitude"],
        [
            [
                *(TITLES[norm], seed, one.correlation, one.rank_correlation),
                float(one.magnitude.max() / one.magnitude.mean()),
            ]
            for norm, all_ in found.items()
            for seed, one in zip(scale.seeds, all_, strict=True)
        ],
    )


ITEM = Item(
    names=("fig8",),
    title="Fig. 8: the last norm's bias and channel magnitude",
    shows="under LN the bias of the last norm lines up with the magnitude of the channels: the "
    "network makes up for the few that dominate.",
    arms=Scale.arms,
    report=report,
)
