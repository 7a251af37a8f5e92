"""Table 2: tasks and backbones.

The paper: i-LN is better than LN for super-resolution, deraining, colour denoising and JPEG, with
SwinIR, HAT and DRCT; by most for deraining (34.35 to 36.20 dB).
"""

from __future__ import annotations

from iln.lab.paper.item import Item, Report
from iln.lab.paper.page import Cell
from iln.lab.paper.scale import Scale
from iln.lab.paper.statistics import all_hold, show, test_sets
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


def report(page: Report) -> None:
    rows: list[list[Cell]] = []
    better: list[bool | None] = []
    larger: list[bool | None] = []
    for task, backbone in dict.fromkeys((task, backbone) for task, backbone, _ in page.arms):
        ln, iln = (task, backbone, "ln"), (task, backbone, "i-ln")
        larger.append(page.above("mean square", ln, iln))
        for name in test_sets(page.arms[ln][0].recipe):
            better.append(page.above(name, iln, ln))
            gains = [
                b - a for a, b in zip(page.values(ln, name), page.values(iln, name), strict=True)
            ]
            rows.append(
                [
                    *(task, backbone, name, page.shown(ln, name), page.shown(iln, name)),
                    *(show(gains, 3), {True: "i-LN", False: "LN", None: "–"}[better[-1]]),
                    *(page.shown(ln, "mean square"), page.shown(iln, "mean square")),
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


ITEM = Item(("table2",), __doc__, arms_of, report)
