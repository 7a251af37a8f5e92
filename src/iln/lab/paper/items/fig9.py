"""Figs. 9 and 12: tables of relative position bias, smooth or noisy."""

from __future__ import annotations

from iln.lab.dynamics import bias_grids, draw_position_bias, roughness
from iln.lab.paper.item import Item
from iln.lab.paper.page import Page
from iln.lab.paper.scale import TITLES, Scale
from iln.lab.paper.statistics import all_above, plain, seeds, show
from iln.lab.paper.store import Store

NORMS = ("ln", "i-ln")


def report(scale: Scale, store: Store, page: Page) -> None:
    models = {n: [run.model() for run in seeds(scale, store, n)] for n in NORMS}
    scores = {
        norm: [
            {block: float(roughness(grid).mean()) for block, grid in bias_grids(model).items()}
            for model in all_
        ]
        for norm, all_ in models.items()
    }
    means = {n: [sum(s.values()) / len(s) for s in all_] for n, all_ in scores.items()}
    blocks = list(scores["ln"][0])
    page.claim(
        "Position bias is rougher under LN, over all blocks",
        all_above(means["ln"], means["i-ln"]),
        f"roughness {show(means['ln'], 3)} and {show(means['i-ln'], 3)}; 1 is independent noise",
    )
    rougher = [
        all_above([s[block] for s in scores["ln"]], [s[block] for s in scores["i-ln"]])
        for block in blocks
    ]
    page.claim(
        "... and in every single block",
        False if False in rougher else None if None in rougher else True,
        f"{rougher.count(True)} of {len(rougher)} blocks, {rougher.count(False)} the other way "
        "round",
    )
    shown = {TITLES[norm]: all_[0] for norm, all_ in models.items()}
    for name, block in (("first", blocks[0]), ("last", blocks[-1])):
        page.picture(
            name, f"The {name} block of the first seed's runs.", draw_position_bias(shown, block)
        )
    page.table(
        "roughness",
        "Total variation of the tables, mean over heads; mean and deviation over seeds",
        ["block", *(TITLES[norm] for norm in NORMS)],
        [[block, *(show([s[block] for s in scores[n]], 3) for n in NORMS)] for block in blocks],
    )
    page.text(
        "Every table starts as independent noise (roughness 1, standard deviation 0.02) and is "
        "only as smooth as training has made it; in 1,000 steps most of that noise is still there."
        if scale.base.steps <= 10_000
        else ""
    )


ITEM = Item(
    names=("fig9", "fig12"),
    title="Figs. 9 and 12: relative position bias",
    shows="the tables are smooth and structured under i-LN, noisy under LN.",
    recipes=lambda scale: plain(scale, *NORMS),
    report=report,
)
