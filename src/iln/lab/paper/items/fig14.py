"""Fig. 14: batch sizes."""

from __future__ import annotations

from iln.lab.paper.drawings import draw_runs
from iln.lab.paper.item import Arms, Item
from iln.lab.paper.page import Page
from iln.lab.paper.scale import TITLES, Scale
from iln.lab.paper.statistics import cells, claim_above, test_sets
from iln.lab.paper.store import Store
from iln.lab.training import Recipe


def arms_of(scale: Scale) -> dict[tuple[int, str], list[Recipe]]:
    """By batch size and norm."""
    return {
        (batch, norm): recipes
        for batch in scale.batches
        for norm, recipes in scale.arms(batch=batch).items()
    }


def report(scale: Scale, store: Store, page: Page, arms: Arms) -> None:
    sets = test_sets(scale.base)
    for batch in scale.batches:
        ln, iln = arms[batch, "ln"], arms[batch, "i-ln"]
        text = f"Batch {batch}: features are larger under LN"
        claim_above(page, text, "mean square", ln, iln, "mean square {} and {}")
        claim_above(page, f"Batch {batch}: i-LN is better ({sets[-1]})", sets[-1], iln, ln)
    for norm in ("ln", "i-ln"):
        page.picture(
            f"curves-{norm}",
            f"{TITLES[norm]}: the worst block over the steps, a line a seed.",
            draw_runs({f"batch {batch}": arms[batch, norm] for batch in scale.batches}),
        )
    measures = [*sets, "mean square", "entropy (nats)", "times grown"]
    page.table(
        "batches",
        "PSNR in dB, and the worst block at the last step; mean and deviation over seeds",
        ["batch", "norm", *measures],
        [[batch, TITLES[norm], *cells(runs, measures)] for (batch, norm), runs in arms.items()],
    )


ITEM = Item(
    names=("fig14",),
    title="Fig. 14: batch sizes",
    shows="LN diverges and i-LN does not, with batches of 2, 4 and 8 alike.",
    arms=arms_of,
    report=report,
)
