"""Table 1 and Fig. 4: nine ways to normalise, their quality and their features."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iln.lab.dynamics.drawing import HUES, new_figure
from iln.lab.paper.drawings import draw_panel
from iln.lab.paper.item import Arms, Item
from iln.lab.paper.page import Page
from iln.lab.paper.pictures import score_of
from iln.lab.paper.scale import TITLES, Scale
from iln.lab.paper.statistics import (
    GROWTH,
    all_above,
    cells,
    claim_above,
    show,
    test_sets,
    values,
)
from iln.lab.paper.store import Run, Store
from iln.norm import NORMS, BatchNorm

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PUBLISHED = {
    "ln": (28.79, 27.68, 26.55, 31.01),
    "in": (28.98, 27.80, 27.02, 31.46),
    "i-ln": (29.01, 27.84, 27.17, 31.82),
}
"""PSNR x4 of HAT1 on Set14, BSD100, Urban100 and Manga109."""
WORDS = {
    "rms": "slightly above LN",
    "layerscale": "slightly above LN",
    "none": "unstable",
    "rezero": "unstable",
    "bn": "good with batch statistics, much worse in eval mode",
}
DIVERGE = ("ln", "rms", "layerscale")
CALM = ("i-ln", "ln*", "in", "bn", "rezero")


def report(scale: Scale, store: Store, page: Page, arms: Arms) -> None:
    sets = test_sets(scale.base)
    deciding = sets[-1]
    quality = {norm: values(runs, deciding) for norm, runs in arms.items()}
    grown = {norm: values(runs, "times grown") for norm, runs in arms.items()}

    claim_above(page, f"i-LN is better than LN ({deciding})", deciding, arms["i-ln"], arms["ln"])
    best = max((n for n in NORMS if n != "i-ln"), key=lambda n: sum(quality[n]) / len(quality[n]))
    claim_above(
        page,
        f"i-LN is the best of all nine ({deciding})",
        deciding,
        arms["i-ln"],
        arms[best],
        f"the best other is {TITLES[best]}: {{1}} dB",
    )
    page.claim(
        "Every per-token norm diverges",
        all(min(grown[norm]) > GROWTH for norm in DIVERGE),
        "times grown: " + ", ".join(f"{TITLES[n]} {show(grown[n], None)}" for n in DIVERGE),
    )
    page.claim(
        "No spatially holistic norm does, nor ReZero",
        all(max(grown[norm]) < GROWTH for norm in CALM),
        "times grown: " + ", ".join(f"{TITLES[n]} {show(grown[n], None)}" for n in CALM),
    )
    batch = [batch_statistics(run, scale, store, deciding) for run in arms["bn"]]
    page.claim(
        f"BatchNorm loses quality in eval mode ({deciding})",
        all_above(batch, quality["bn"]),
        f"{show(batch, 3)} dB with each picture's own statistics, {show(quality['bn'], 3)} with "
        "the running averages",
    )
    page.table(
        "quality",
        "PSNR in dB (the task's first score), mean and deviation over seeds",
        ["norm", *sets, "published: Set14, BSD100, Urban100, Manga109"],
        [
            [
                TITLES[norm],
                *cells(runs, sets),
                " / ".join(f"{v:.2f}" for v in PUBLISHED.get(norm, ())) or WORDS.get(norm, "–"),
            ]
            for norm, runs in arms.items()
        ],
    )
    measures = ["mean square", "max abs", "entropy (nats)", "times grown"]
    page.table(
        "features",
        "The last step, worst block of each network, mean and deviation over seeds",
        ["norm", *measures, "not finite"],
        [
            [
                TITLES[norm],
                *cells(runs, measures),
                f"{sum(run.failure is not None for run in runs)} of {len(runs)}",
            ]
            for norm, runs in arms.items()
        ],
    )
    page.picture(
        "magnitude",
        "Fig. 4: mean square of the largest block over the steps, a line a seed.",
        draw(arms, "mean_square"),
    )
    page.picture(
        "entropy", "Channel entropy of the lowest block, a line a seed.", draw(arms, "entropy")
    )


def batch_statistics(run: Run, scale: Scale, store: Store, test_set: str) -> float:
    """A BatchNorm network's score with the statistics of each test picture itself."""
    if run.failure is not None:
        return float("nan")
    model = run.model()
    for module in model.modules():
        if isinstance(module, BatchNorm):
            module.train()
    return score_of(model, scale.base, store, test_set)


def draw(arms: Arms, measure: str) -> Figure:
    """A small panel a norm, all on the same axes."""
    figure = new_figure(10.4, 8.4)
    panels = figure.subplots(3, 3, sharex=True, sharey=True)
    for axes, (norm, runs) in zip(panels.flat, arms.items(), strict=True):
        hue = HUES[1] if norm in DIVERGE else HUES[0]
        draw_panel(axes, {norm: runs}, measure, TITLES[norm], [hue])
        axes.label_outer()
    return figure


ITEM = Item(
    names=("table1", "fig4"),
    title="Table 1 and Fig. 4: nine normalisations",
    shows="x4 super-resolution with HAT1. i-LN is best, InstanceNorm close; LayerScale and "
    "RMSNorm lie slightly above LN; without normalisation, and with ReZero, training is unstable; "
    "BatchNorm is good with batch statistics and drops sharply in eval mode. All per-token norms "
    "diverge (LN, RMSNorm, LayerScale), no spatially holistic one does (i-LN, LN*, IN, BN).",
    arms=lambda scale: scale.arms(tuple(NORMS)),
    report=report,
)
