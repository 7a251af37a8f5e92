"""Table 2: four tasks on three backbones, LN against i-LN."""

from __future__ import annotations

from iln.lab.paper.item import Arms, Item
from iln.lab.paper.page import Cell, Page
from iln.lab.paper.scale import Scale
from iln.lab.paper.statistics import all_above, all_hold, show, shown, test_sets, values
from iln.lab.paper.store import Store
from iln.lab.training import Recipe

PUBLISHED = {
    ("derain", "HAT"): "Rain100L 34.35 to 36.20",
    ("derain", "SwinIR"): "Test100 27.45 to 29.87",
    ("denoise", "HAT"): "sigma 15, Urban100 35.489 to 35.558",
    ("jpeg", "HAT"): "q10, Urban100 28.45 to 28.52",
    ("sr", "HAT"): "BSD100 27.68 to 27.84",
}


def arms_of(scale: Scale) -> dict[tuple[str, str, str], list[Recipe]]:
    """By task, backbone and norm."""
    return {
        (task, backbone, norm): recipes
        for task in scale.tasks
        for backbone in scale.backbones
        for norm, recipes in scale.arms(task=task, network=backbone).items()
    }


def report(scale: Scale, store: Store, page: Page, arms: Arms) -> None:
    rows: list[list[Cell]] = []
    better: list[bool | None] = []
    larger: list[bool | None] = []
    for task, backbone in dict.fromkeys((task, backbone) for task, backbone, _ in arms):
        ln, iln = arms[task, backbone, "ln"], arms[task, backbone, "i-ln"]
        larger.append(all_above(values(ln, "mean square"), values(iln, "mean square")))
        for name in test_sets(ln[0].recipe):
            scores, own = values(ln, name), values(iln, name)
            better.append(all_above(own, scores))
            rows.append(
                [
                    *(task, backbone, name, shown(ln, name), shown(iln, name)),
                    show([b - a for a, b in zip(scores, own, strict=True)], 3),
                    {True: "i-LN", False: "LN", None: "–"}[better[-1]],
                    *(shown(ln, "mean square"), shown(iln, "mean square")),
                    PUBLISHED.get((task, backbone), "–"),
                ]
            )
    for text, found in (
        ("i-LN is better on every task, backbone and test set", better),
        ("Features are larger under LN on every task and backbone", larger),
    ):
        page.claim(
            text,
            all_hold(found),
            f"{found.count(True)} of {len(found)} cases, {found.count(False)} the other way "
            f"round, {found.count(None)} within the spread of the seeds",
        )
    page.table(
        "quality",
        "PSNR in dB (each task's first score), mean and deviation over seeds",
        [
            *("task", "backbone", "test set", "LN", "i-LN", "gain of a seed", "better"),
            *("mean square LN", "mean square i-LN", "published, LN to i-LN"),
        ],
        rows,
    )


ITEM = Item(
    names=("table2",),
    title="Table 2: tasks and backbones",
    shows="i-LN is better than LN for super-resolution, deraining, colour denoising and JPEG, with "
    "SwinIR, HAT and DRCT; by most for deraining (34.35 to 36.20 dB).",
    arms=arms_of,
    report=report,
)
