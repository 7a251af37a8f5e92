"""Table 6: the full-size network."""

from __future__ import annotations

from iln.lab.paper.drawings import draw_runs
from iln.lab.paper.item import Arms, Item
from iln.lab.paper.page import Page
from iln.lab.paper.scale import TITLES, Scale
from iln.lab.paper.statistics import cells, claim_above, test_sets
from iln.lab.paper.store import Store
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


def report(scale: Scale, store: Store, page: Page, arms: Arms) -> None:
    rates = sorted({rate for _, rate in arms}, reverse=True)
    several = len(rates) > 1
    sets = test_sets(arms["ln", rates[0]][0].recipe)
    for rate in rates:
        at = f" at a rate of {rate:g}" if several else ""
        ln, iln = arms["ln", rate], arms["i-ln", rate]
        for name in sets:
            claim_above(page, f"i-LN is better in the widest network{at} ({name})", name, iln, ln)
        text = f"Features are larger under LN{at}"
        claim_above(page, text, "mean square", ln, iln, "mean square {} and {}")
    measures = [*sets, "mean square", "entropy (nats)", "times grown"]
    page.table(
        "quality",
        "PSNR in dB, and the worst block at the last step; mean and deviation over seeds",
        ["norm", "rate", *measures, "published"],
        [
            [TITLES[norm], rate, *cells(runs, measures), PUBLISHED[norm]]
            for (norm, rate), runs in arms.items()
        ],
    )
    named = {
        f"{TITLES[norm]}, {rate:g}" if several else norm: runs
        for (norm, rate), runs in arms.items()
    }
    page.picture(
        "curves", "The worst block of each run over its steps, a line a seed.", draw_runs(named)
    )


ITEM = Item(
    names=("table6",),
    title="Table 6: the full-size network",
    shows="full HAT with i-LN is level with or slightly above LN: x2 Set5 38.65 against 38.63 dB, "
    "x4 33.12 against 33.04.",
    arms=arms_of,
    report=report,
)
