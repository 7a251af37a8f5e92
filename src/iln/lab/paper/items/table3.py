"""Table 3 and Fig. 7: what each half of i-LN is worth."""

from __future__ import annotations

from iln.lab.paper.drawings import draw_runs
from iln.lab.paper.item import Arms, Item
from iln.lab.paper.page import Page
from iln.lab.paper.scale import TITLES, Scale
from iln.lab.paper.statistics import (
    all_above,
    all_hold,
    cells,
    claim_above,
    shown,
    test_sets,
    values,
)
from iln.lab.paper.store import Store

PUBLISHED = {
    "ln": "27.7897 / 26.8779 / 31.5444",
    "ln*": "between the two",
    "i-ln": "27.9206 / 27.5849 / 32.1694",
}
"""PSNR x4 of HAT2 on BSD100, Urban100 and Manga109."""


def report(scale: Scale, store: Store, page: Page, arms: Arms) -> None:
    sets = test_sets(scale.base)
    for better, worse, what in (
        ("i-ln", "ln*", "The rescaling helps: i-LN is better than LN*"),
        ("ln*", "ln", "Holistic statistics help: LN* is better than LN"),
        ("i-ln", "ln", "Both together: i-LN is better than LN"),
    ):
        claim_above(page, f"{what} ({sets[-1]})", sets[-1], arms[better], arms[worse])
    entropies = {norm: values(runs, "entropy (nats)") for norm, runs in arms.items()}
    page.claim(
        "Entropy falls step by step, from i-LN to LN* to LN",
        all_hold(
            [
                all_above(entropies["i-ln"], entropies["ln*"]),
                all_above(entropies["ln*"], entropies["ln"]),
            ]
        ),
        ", ".join(f"{TITLES[n]} {shown(runs, 'entropy (nats)')}" for n, runs in arms.items())
        + " nats",
    )
    measures = [*sets, "mean square", "entropy (nats)", "times grown"]
    page.table(
        "ablation",
        "PSNR in dB, and the worst block at the last step; mean and deviation over seeds",
        ["norm", "holistic", "rescaled", *measures, "published: BSD100, Urban100, Manga109"],
        [
            [
                TITLES[norm],
                "no" if norm == "ln" else "yes",
                "yes" if norm == "i-ln" else "no",
                *cells(runs, measures),
                PUBLISHED[norm],
            ]
            for norm, runs in arms.items()
        ],
    )
    page.picture(
        "curves",
        "Fig. 7: the worst block of each run over its steps, a line a seed.",
        draw_runs(arms),
    )


ITEM = Item(
    names=("table3", "fig7"),
    title="Table 3 and Fig. 7: the two halves of i-LN",
    shows="dropping the rescaling (LN*), or the holistic statistics too (LN), costs quality, and "
    "channel entropy falls step by step.",
    arms=lambda scale: scale.arms(("ln", "ln*", "i-ln")),
    report=report,
)
