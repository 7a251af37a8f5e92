"""Table 6: the full-size network.

The paper: full HAT with i-LN is level with or slightly above LN: x2 Set5 38.65 against 38.63 dB,
x4 33.12 against 33.04.
"""

from __future__ import annotations

from iln.lab.paper.item import Item, Report
from iln.lab.paper.scale import TITLES, Scale
from iln.lab.paper.statistics import test_sets
from iln.lab.training import Recipe

PUBLISHED = {
    "ln": "x2 Set5 38.63 / .9630; x4 Set5 33.04 / .9056",
    "i-ln": "x2 Set5 38.65 / .9631; x4 Set5 33.12 / .9064",
}
"""PSNR and SSIM of the full HAT."""


def arms_of(scale: Scale) -> dict[tuple[str, float], list[Recipe]]:
    """By norm and learning rate."""
    own = scale.recipe(**scale.wide).lr
    return {
        (norm, own * factor): recipes
        for factor in scale.wide_rates
        for norm, recipes in scale.arms(**{**scale.wide, "lr": own * factor}).items()
    }


def report(page: Report) -> None:
    rates = sorted({rate for _, rate in page.arms}, reverse=True)
    several = len(rates) > 1
    sets = test_sets(page.arms["ln", rates[0]][0].recipe)
    for rate in rates:
        at = f" at a rate of {rate:g}" if several else ""
        ln, iln = ("ln", rate), ("i-ln", rate)
        for name in sets:
            page.claim_above(f"i-LN is better in the widest network{at} ({name})", name, iln, ln)
        text = f"Features are larger under LN{at}"
        page.claim_above(text, "mean square", ln, iln, "mean square {} and {}")
    measures = [*sets, "mean square", "entropy (nats)", "times grown"]
    page.table(
        "quality",
        "PSNR in dB, and the worst block at the last step; mean and deviation over seeds",
        ["norm", "rate", *measures, "published"],
        [
            [TITLES[norm], rate, *page.cells((norm, rate), measures), PUBLISHED[norm]]
            for norm, rate in page.arms
        ],
    )
    named = {
        f"{TITLES[norm]}, {rate:g}" if several else norm: runs
        for (norm, rate), runs in page.arms.items()
    }
    page.curves(arms=named)


ITEM = Item(("table6",), __doc__, arms_of, report)
