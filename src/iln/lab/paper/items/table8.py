"""Table 8: clipping, a penalty, or i-LN.

The paper: gradient clipping leaves features at 5.6e6; a KLD penalty tames them but costs quality.
"""

from __future__ import annotations

from typing import Any

from iln.lab.paper.item import Item, Report
from iln.lab.paper.scale import Scale
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


def report(page: Report) -> None:
    deciding = page.sets[-1]
    text = "Clipping does not tame the features of LN"
    numbers = f"max abs {{}}; plain LN {page.shown('LN', 'max abs')}, i-LN {{}}"
    page.claim_above(text, "max abs", "LN, clipped", "i-LN", numbers)
    page.claim_above("The KLD penalty does", "max abs", "LN", "LN, KLD", "max abs {1}")
    text, numbers = f"... and costs quality ({deciding})", "{} without and {} dB with it"
    page.claim_above(text, deciding, "LN", "LN, KLD", numbers)
    for name in ("LN, clipped", "LN, KLD"):
        page.claim_above(f"i-LN is better than {name} ({deciding})", deciding, "i-LN", name)
    measures = ["max abs", "mean square", "entropy (nats)", "times grown", "gradient norm"]
    page.table(
        "remedies",
        "PSNR in dB, and the worst block at the last step; mean and deviation over seeds",
        ["arm", *page.sets, *measures, "published"],
        [[name, *page.cells(name, [*page.sets, *measures]), PUBLISHED[name]] for name in page.arms],
    )
    page.curves(measures=("max_abs", "entropy"))
    page.text(
        "The paper names the remedies without their settings. Here the gradient of all parameters "
        f"is clipped to a norm of {ARMS['LN, clipped']['clip']:g}, and the penalty is "
        f"{ARMS['LN, KLD']['kld']:g} times the mean divergence KL(N(mu, sigma²) || N(0, 1)) of the "
        "blocks' outputs, over all values of a picture."
    )


ITEM = Item(("table8",), __doc__, arms_of, report)
