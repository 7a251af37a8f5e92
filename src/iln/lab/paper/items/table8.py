"""Table 8: remedies for LN, gradient clipping and a penalty on the features."""

from __future__ import annotations

from typing import Any

from iln.lab.paper.drawings import draw_runs
from iln.lab.paper.item import Arms, Item
from iln.lab.paper.page import Page
from iln.lab.paper.scale import Scale
from iln.lab.paper.statistics import cells, claim_above, shown, test_sets
from iln.lab.paper.store import Store
from iln.lab.training import Recipe

ARMS: dict[str, dict[str, Any]] = {
    "LN": {"norm": "ln"},
    "LN, clipped": {"norm": "ln", "clip": 0.1},
    "LN, KLD": {"norm": "ln", "kld": 1e-3},
    "i-LN": {"norm": "i-ln"},
}
PUBLISHED = {
    "LN": "max abs 5.8e6",
    "LN, clipped": "max abs 5.6e6",
    "LN, KLD": "tamed, at a cost in quality",
    "i-LN": "calm, and the best",
}


def arms_of(scale: Scale) -> dict[str, list[Recipe]]:
    return {
        name: [scale.recipe(seed=seed, **changes) for seed in scale.seeds]
        for name, changes in ARMS.items()
    }


def report(scale: Scale, store: Store, page: Page, arms: Arms) -> None:
    sets = test_sets(scale.base)
    iln, ln, clipped, kld = (arms[name] for name in ("i-LN", "LN", "LN, clipped", "LN, KLD"))
    claim_above(
        page,
        "Clipping does not tame the features of LN",
        "max abs",
        clipped,
        iln,
        f"max abs {{}}; plain LN {shown(ln, 'max abs')}, i-LN {{}}",
    )
    claim_above(page, "The KLD penalty does", "max abs", ln, kld, "max abs {1}")
    text = f"... and costs quality ({sets[-1]})"
    claim_above(page, text, sets[-1], ln, kld, "{} without and {} dB with it")
    for name in ("LN, clipped", "LN, KLD"):
        text = f"i-LN is better than {name} ({sets[-1]})"
        claim_above(page, text, sets[-1], iln, arms[name])
    measures = [*sets, "max abs", "mean square", "entropy (nats)", "times grown", "gradient norm"]
    page.table(
        "remedies",
        "PSNR in dB, and the worst block at the last step; mean and deviation over seeds",
        ["arm", *measures, "published"],
        [[name, *cells(runs, measures), PUBLISHED[name]] for name, runs in arms.items()],
    )
    page.picture(
        "curves",
        "The worst block of each run over its steps, a line a seed.",
        draw_runs(arms, ("max_abs", "entropy")),
    )
    page.text(
        "The paper names the remedies without their settings. Here the gradient of all parameters "
        f"is clipped to a norm of {ARMS['LN, clipped']['clip']:g}, and the penalty is "
        f"{ARMS['LN, KLD']['kld']:g} times the mean divergence KL(N(mu, sigma²) || N(0, 1)) of the "
        "blocks' outputs, over all values of a picture."
    )


ITEM = Item(
    names=("table8",),
    title="Table 8: clipping, a penalty, or i-LN",
    shows="gradient clipping leaves features at 5.6e6; a KLD penalty tames them but costs quality.",
    arms=arms_of,
    report=report,
)
