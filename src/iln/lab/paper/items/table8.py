"""Table 8: remedies for LN, gradient clipping and a penalty on the features."""

from __future__ import annotations

from typing import Any

from iln.lab.paper.drawings import draw_runs
from iln.lab.paper.item import Item
from iln.lab.paper.page import Page
from iln.lab.paper.scale import Scale
from iln.lab.paper.statistics import all_above, growth, last, score, show, test_sets
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


def arm(scale: Scale, changes: dict[str, Any]) -> list[Recipe]:
    return [scale.recipe(seed=seed, **changes) for seed in scale.seeds]


def report(scale: Scale, store: Store, page: Page) -> None:
    arms = {name: [store[r] for r in arm(scale, changes)] for name, changes in ARMS.items()}
    sets = test_sets(scale.base)
    sizes = {name: [last(run, "max_abs") for run in runs] for name, runs in arms.items()}
    quality = {name: [score(run, sets[-1]) for run in runs] for name, runs in arms.items()}
    page.claim(
        "Clipping does not tame the features of LN",
        all_above(sizes["LN, clipped"], sizes["i-LN"]),
        f"max abs {show(sizes['LN, clipped'], None)}; plain LN {show(sizes['LN'], None)}, i-LN "
        f"{show(sizes['i-LN'], None)}",
    )
    page.claim(
        "The KLD penalty does",
        all_above(sizes["LN"], sizes["LN, KLD"]),
        f"max abs {show(sizes['LN, KLD'], None)}",
    )
    page.claim(
        f"... and costs quality ({sets[-1]})",
        all_above(quality["LN"], quality["LN, KLD"]),
        f"{show(quality['LN'], 3)} without and {show(quality['LN, KLD'], 3)} dB with it",
    )
    for name in ("LN, clipped", "LN, KLD"):
        page.claim(
            f"i-LN is better than {name} ({sets[-1]})",
            all_above(quality["i-LN"], quality[name]),
            f"{show(quality['i-LN'], 3)} and {show(quality[name], 3)} dB",
        )
    page.table(
        "remedies",
        "PSNR in dB, and the worst block at the last step; mean and deviation over seeds",
        [
            *("arm", *sets, "max abs", "mean square", "entropy (nats)", "times grown"),
            *("gradient norm", "published"),
        ],
        [
            [
                name,
                *(show([score(run, test) for run in runs], 3) for test in sets),
                show(sizes[name], None),
                show([last(run, "mean_square") for run in runs], None),
                show([last(run, "entropy", "min") for run in runs]),
                show([growth(run) for run in runs], None),
                show([run.gradient_norm for run in runs], None),
                PUBLISHED[name],
            ]
            for name, runs in arms.items()
        ],
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
    recipes=lambda scale: [recipe for changes in ARMS.values() for recipe in arm(scale, changes)],
    report=report,
)
