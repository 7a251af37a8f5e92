"""Table 3 and Fig. 7: what each half of i-LN is worth."""

from __future__ import annotations

from iln.lab.paper.drawings import draw_runs
from iln.lab.paper.item import Item
from iln.lab.paper.page import Page
from iln.lab.paper.scale import TITLES, Scale
from iln.lab.paper.statistics import all_above, growth, last, plain, score, seeds, show, test_sets
from iln.lab.paper.store import Store

NORMS = ("ln", "ln*", "i-ln")
PUBLISHED = {
    "ln": "27.7897 / 26.8779 / 31.5444",
    "ln*": "between the two",
    "i-ln": "27.9206 / 27.5849 / 32.1694",
}
"""PSNR x4 of HAT2 on BSD100, Urban100 and Manga109."""


def report(scale: Scale, store: Store, page: Page) -> None:
    arms = {norm: seeds(scale, store, norm) for norm in NORMS}
    sets = test_sets(scale.base)
    deciding = sets[-1]
    quality = {norm: [score(run, deciding) for run in runs] for norm, runs in arms.items()}
    for better, worse, what in (
        ("i-ln", "ln*", "The rescaling helps: i-LN is better than LN*"),
        ("ln*", "ln", "Holistic statistics help: LN* is better than LN"),
        ("i-ln", "ln", "Both together: i-LN is better than LN"),
    ):
        page.claim(
            f"{what} ({deciding})",
            all_above(quality[better], quality[worse]),
            f"{show(quality[better], 3)} and {show(quality[worse], 3)} dB",
        )
    entropies = {n: [last(run, "entropy", "min") for run in runs] for n, runs in arms.items()}
    steps = [
        all_above(entropies[high], entropies[low]) for high, low in (("i-ln", "ln*"), ("ln*", "ln"))
    ]
    page.claim(
        "Entropy falls step by step, from i-LN to LN* to LN",
        False if False in steps else None if None in steps else True,
        ", ".join(f"{TITLES[n]} {show(e)}" for n, e in entropies.items()) + " nats",
    )
    page.table(
        "ablation",
        "PSNR in dB, and the worst block at the last step; mean and deviation over seeds",
        [
            *("norm", "holistic", "rescaled", *sets),
            *("mean square", "entropy (nats)", "times grown"),
            "published: BSD100, Urban100, Manga109",
        ],
        [
            [
                TITLES[norm],
                "no" if norm == "ln" else "yes",
                "yes" if norm == "i-ln" else "no",
                *(show([score(run, name) for run in runs], 3) for name in sets),
                show([last(run, "mean_square") for run in runs], None),
                show(entropies[norm]),
                show([growth(run) for run in runs], None),
                PUBLISHED[norm],
            ]
            for norm, runs in arms.items()
        ],
    )
    page.picture(
        "curves",
        "Fig. 7: the worst block of each run over its steps, a line a seed.",
        draw_runs({TITLES[norm]: runs for norm, runs in arms.items()}),
    )


ITEM = Item(
    names=("table3", "fig7"),
    title="Table 3 and Fig. 7: the two halves of i-LN",
    shows="dropping the rescaling (LN*), or the holistic statistics too (LN), costs quality, and "
    "channel entropy falls step by step.",
    recipes=lambda scale: plain(scale, *NORMS),
    report=report,
)
