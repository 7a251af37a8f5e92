"""Figs. 9 and 12: relative position bias.

The paper: the tables are smooth and structured under i-LN, noisy under LN.
"""

from __future__ import annotations

from iln.lab.dynamics import bias_grids, draw_position_bias, roughness
from iln.lab.paper.item import Item, Report
from iln.lab.paper.scale import TITLES, Scale
from iln.lab.paper.statistics import all_hold, show


def report(page: Report) -> None:
    models = {norm: [run.model() for run in runs] for norm, runs in page.sound.items()}
    scores = {
        norm: [
            {block: float(roughness(grid).mean()) for block, grid in bias_grids(model).items()}
            for model in all_
        ]
        for norm, all_ in models.items()
    }
    ln, iln = ([sum(s.values()) / len(s) for s in scores[norm]] for norm in ("ln", "i-ln"))
    page.claim(
        "Position bias is rougher under LN, over all blocks",
        page.sound_above(ln, iln),
        f"roughness {show(ln, 3)} and {show(iln, 3)}; 1 is independent noise",
    )
    blocks = {
        block: {norm: [s[block] for s in all_] for norm, all_ in scores.items()}
        for block in next(one for all_ in scores.values() for one in all_)
    }
    rougher = [page.sound_above(found["ln"], found["i-ln"]) for found in blocks.values()]
    page.claim(
        "... and in every single block",
        all_hold(rougher),
        f"{rougher.count(True)} of {len(rougher)} blocks, {rougher.count(False)} the other way "
        "round",
    )
    names = list(blocks)
    for name, block in (("first", names[0]), ("last", names[-1])):
        page.picture(
            name,
            f"The {name} block of the first seed's runs.",
            draw_position_bias({TITLES[n]: all_[0] for n, all_ in models.items() if all_}, block),
        )
    page.table(
        "roughness",
        "Total variation of the tables, mean over heads; mean and deviation over seeds",
        ["block", *(TITLES[norm] for norm in models)],
        [[block, *(show(one, 3) for one in found.values())] for block, found in blocks.items()],
    )
    page.text(
        "Every table starts as independent noise (roughness 1, standard deviation 0.02) and is "
        "only as smooth as training has made it; in 1,000 steps most of that noise is still there."
        if page.scale.base.steps <= 10_000
        else ""
    )


ITEM = Item(("fig9", "fig12"), __doc__, Scale.arms, report)
