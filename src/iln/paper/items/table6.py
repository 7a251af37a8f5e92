"""Table 6: the full-size network."""

from __future__ import annotations

from iln.paper.drawings import draw_runs
from iln.paper.item import Item
from iln.paper.page import Page
from iln.paper.reading import above, growth, last, score, show, test_sets
from iln.paper.scale import TITLES, Scale
from iln.paper.store import Store
from iln.training import Recipe

NORMS = ("ln", "i-ln")
PUBLISHED = {
    "ln": "x2 Set5 38.63 / .9630; x4 Set5 33.04 / .9056",
    "i-ln": "x2 Set5 38.65 / .9631; x4 Set5 33.12 / .9064",
}
"""PSNR and SSIM of the full HAT."""


def arm(scale: Scale, norm: str) -> list[Recipe]:
    return [scale.recipe(norm, seed=seed, **scale.wide) for seed in scale.seeds]


def report(scale: Scale, store: Store, page: Page) -> None:
    arms = {norm: [store[recipe] for recipe in arm(scale, norm)] for norm in NORMS}
    sets = test_sets(arms["ln"][0].recipe)
    for name in sets:
        scores = {norm: [score(run, name) for run in runs] for norm, runs in arms.items()}
        page.claim(
            f"i-LN is better in the widest network ({name})",
            above(scores["i-ln"], scores["ln"]),
            f"{show(scores['i-ln'], 3)} and {show(scores['ln'], 3)} dB",
        )
    sizes = {norm: [last(run, "mean_square") for run in runs] for norm, runs in arms.items()}
    page.claim(
        "Features are larger under LN",
        above(sizes["ln"], sizes["i-ln"]),
        f"mean square {show(sizes['ln'], None)} and {show(sizes['i-ln'], None)}",
    )
    page.table(
        "quality",
        "PSNR in dB, and the worst block at the last step; mean and deviation over seeds",
        ["norm", *sets, "mean square", "entropy (nats)", "times grown", "published"],
        [
            [
                TITLES[norm],
                *(show([score(run, name) for run in runs], 3) for name in sets),
                show(sizes[norm], None),
                show([last(run, "entropy", "min") for run in runs]),
                show([growth(run) for run in runs], None),
                PUBLISHED[norm],
            ]
            for norm, runs in arms.items()
        ],
    )
    page.picture(
        "curves",
        "The worst block of each run over its steps, a line a seed.",
        draw_runs({TITLES[norm]: runs for norm, runs in arms.items()}),
    )


ITEM = Item(
    names=("table6",),
    title="Table 6: the full-size network",
    shows="full HAT with i-LN is level with or slightly above LN: x2 Set5 38.65 against 38.63 dB, "
    "x4 33.12 against 33.04.",
    recipes=lambda scale: [recipe for norm in NORMS for recipe in arm(scale, norm)],
    report=report,
)
