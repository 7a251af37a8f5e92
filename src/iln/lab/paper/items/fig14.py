"""Fig. 14: batch sizes.

The paper: LN diverges and i-LN does not, with batches of 2, 4 and 8 alike.
"""

from __future__ import annotations

from iln.lab.paper.item import Item, Report
from iln.lab.paper.scale import TITLES, Scale
from iln.lab.training import Recipe


def arms_of(scale: Scale) -> dict[tuple[int, str], list[Recipe]]:
    """By batch size and norm."""
    return {
        (batch, norm): recipes
        for batch in scale.batches
        for norm, recipes in scale.arms(batch=batch).items()
    }


def report(page: Report) -> None:
    deciding, batches = page.sets[-1], page.scale.batches
    for batch in batches:
        ln, iln = (batch, "ln"), (batch, "i-ln")
        text = f"Batch {batch}: features are larger under LN"
        page.claim_above(text, "mean square", ln, iln, "mean square {} and {}")
        page.claim_above(f"Batch {batch}: i-LN is better ({deciding})", deciding, iln, ln)
    for norm in ("ln", "i-ln"):
        caption = f"{TITLES[norm]}: the worst block over the steps, a line a seed."
        arms = {f"batch {batch}": page.arms[batch, norm] for batch in batches}
        page.curves(caption, arms, name=f"curves-{norm}")
    measures = [*page.sets, "mean square", "entropy (nats)", "times grown"]
    page.table(
        "batches",
        "PSNR in dB, and the worst block at the last step; mean and deviation over seeds",
        ["batch", "norm", *measures],
        [[batch, TITLES[norm], *page.cells((batch, norm), measures)] for batch, norm in page.arms],
    )


ITEM = Item(("fig14",), __doc__, arms_of, report)
