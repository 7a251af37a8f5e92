"""Fig. 14: batch sizes."""

from __future__ import annotations

from iln.lab.paper.drawings import draw_runs
from iln.lab.paper.item import Item
from iln.lab.paper.page import Page
from iln.lab.paper.scale import TITLES, Scale
from iln.lab.paper.statistics import all_above, growth, last, score, show, test_sets
from iln.lab.paper.store import Run, Store
from iln.lab.training import Recipe

NORMS = ("ln", "i-ln")


def recipes(scale: Scale) -> list[Recipe]:
    return [
        scale.recipe(norm, seed=seed, batch=batch)
        for batch in scale.batches
        for norm in NORMS
        for seed in scale.seeds
    ]


def report(scale: Scale, store: Store, page: Page) -> None:
    arms: dict[tuple[int, str], list[Run]] = {
        (batch, norm): [store[scale.recipe(norm, seed=s, batch=batch)] for s in scale.seeds]
        for batch in scale.batches
        for norm in NORMS
    }
    sets = test_sets(scale.base)
    for batch in scale.batches:
        sizes = {n: [last(run, "mean_square") for run in arms[batch, n]] for n in NORMS}
        page.claim(
            f"Batch {batch}: features are larger under LN",
            all_above(sizes["ln"], sizes["i-ln"]),
            f"mean square {show(sizes['ln'], None)} and {show(sizes['i-ln'], None)}",
        )
        scores = {n: [score(run, sets[-1]) for run in arms[batch, n]] for n in NORMS}
        page.claim(
            f"Batch {batch}: i-LN is better ({sets[-1]})",
            all_above(scores["i-ln"], scores["ln"]),
            f"{show(scores['i-ln'], 3)} and {show(scores['ln'], 3)} dB",
        )
    for norm in NORMS:
        page.picture(
            f"curves-{norm}",
            f"{TITLES[norm]}: the worst block over the steps, a line a seed.",
            draw_runs({f"batch {batch}": arms[batch, norm] for batch in scale.batches}),
        )
    page.table(
        "batches",
        "PSNR in dB, and the worst block at the last step; mean and deviation over seeds",
        ["batch", "norm", *sets, "mean square", "entropy (nats)", "times grown"],
        [
            [
                batch,
                TITLES[norm],
                *(show([score(run, name) for run in runs], 3) for name in sets),
                show([last(run, "mean_square") for run in runs], None),
                show([last(run, "entropy", "min") for run in runs]),
                show([growth(run) for run in runs], None),
            ]
            for (batch, norm), runs in arms.items()
        ],
    )


ITEM = Item(
    names=("fig14",),
    title="Fig. 14: batch sizes",
    shows="LN diverges and i-LN does not, with batches of 2, 4 and 8 alike.",
    recipes=recipes,
    report=report,
)
