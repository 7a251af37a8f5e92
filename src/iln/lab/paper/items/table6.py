"""Table 6: the full-size network."""

from __future__ import annotations

from iln.lab.paper.drawings import draw_runs
from iln.lab.paper.item import Item
from iln.lab.paper.page import Page
from iln.lab.paper.scale import TITLES, Scale
from iln.lab.paper.statistics import all_above, growth, last, score, show, test_sets
from iln.lab.paper.store import Store
from iln.lab.training import Recipe

NORMS = ("ln", "i-ln")
PUBLISHED = {
    "ln": "x2 Set5 38.63 / .9630; x4 Set5 33.04 / .9056",
    "i-ln": "x2 Set5 38.65 / .9631; x4 Set5 33.12 / .9064",
}
"""PSNR and SSIM of the full HAT."""


Arm = tuple[str, float]
"""Norm and learning rate."""


def arms_of(scale: Scale) -> dict[Arm, list[Recipe]]:
    """Both norms at each rate, a recipe a seed."""
    own = scale.recipe(**scale.wide).lr
    return {
        (norm, own * factor): [
            scale.recipe(norm, seed=seed, **{**scale.wide, "lr": own * factor})
            for seed in scale.seeds
        ]
        for factor in scale.wide_rates
        for norm in NORMS
    }


def report(scale: Scale, store: Store, page: Page) -> None:
    arms = {arm: [store[recipe] for recipe in recipes] for arm, recipes in arms_of(scale).items()}
    rates = sorted({rate for _, rate in arms}, reverse=True)
    several = len(rates) > 1
    sets = test_sets(next(iter(arms.values()))[0].recipe)
    for rate in rates:
        at = f" at a rate of {rate:g}" if several else ""
        ln, own = arms["ln", rate], arms["i-ln", rate]
        for name in sets:
            scores = [[score(run, name) for run in runs] for runs in (own, ln)]
            page.claim(
                f"i-LN is better in the widest network{at} ({name})",
                all_above(*scores),
                f"{show(scores[0], 3)} and {show(scores[1], 3)} dB",
            )
        sizes = [[last(run, "mean_square") for run in runs] for runs in (ln, own)]
        page.claim(
            f"Features are larger under LN{at}",
            all_above(*sizes),
            f"mean square {show(sizes[0], None)} and {show(sizes[1], None)}",
        )
    page.table(
        "quality",
        "PSNR in dB, and the worst block at the last step; mean and deviation over seeds",
        ["norm", "rate", *sets, "mean square", "entropy (nats)", "times grown", "published"],
        [
            [
                TITLES[norm],
                rate,
                *(show([score(run, name) for run in runs], 3) for name in sets),
                show([last(run, "mean_square") for run in runs], None),
                show([last(run, "entropy", "min") for run in runs]),
                show([growth(run) for run in runs], None),
                PUBLISHED[norm],
            ]
            for (norm, rate), runs in arms.items()
        ],
    )
    page.picture(
        "curves",
        "The worst block of each run over its steps, a line a seed.",
        draw_runs(
            {
                f"{TITLES[norm]}, {rate:g}" if several else TITLES[norm]: runs
                for (norm, rate), runs in arms.items()
            }
        ),
    )


ITEM = Item(
    names=("table6",),
    title="Table 6: the full-size network",
    shows="full HAT with i-LN is level with or slightly above LN: x2 Set5 38.65 against 38.63 dB, "
    "x4 33.12 against 33.04.",
    recipes=lambda scale: [recipe for recipes in arms_of(scale).values() for recipe in recipes],
    report=report,
)
