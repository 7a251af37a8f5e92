"""Table 1 and Fig. 4: nine normalisations.

The paper: x4 super-resolution with HAT1. i-LN is best, InstanceNorm close; LayerScale and RMSNorm
lie slightly above LN; without normalisation, and with ReZero, training is unstable; BatchNorm is
good with batch statistics and drops sharply in eval mode. All per-token norms diverge (LN,
RMSNorm, LayerScale), no spatially holistic one does (i-LN, LN*, IN, BN).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from iln.lab.dynamics.drawing import HUES, Figure, new_figure
from iln.lab.paper.drawings import draw_panel
from iln.lab.paper.item import Item, Report
from iln.lab.paper.pictures import score_of
from iln.lab.paper.scale import TITLES
from iln.lab.paper.statistics import GROWTH, all_above, show
from iln.lab.paper.store import Run
from iln.norm import BatchNorm

COMPARED = ("ln", "rms", "layerscale", "rezero", "none", "in", "bn", "ln*", "i-ln")
"""The paper's nine, whatever else there is."""
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


def report(page: Report) -> None:
    deciding = page.sets[-1]
    page.claim_above(f"i-LN is better than LN ({deciding})", deciding, "i-ln", "ln")
    quality = {norm: page.values(norm, deciding) for norm in COMPARED}
    others = (norm for norm in COMPARED if norm != "i-ln")
    best = max(others, key=lambda norm: mean(quality[norm]))
    text, numbers = "i-LN is the best of all nine", f"the best other is {TITLES[best]}: {{1}} dB"
    page.claim_above(f"{text} ({deciding})", deciding, "i-ln", best, numbers)
    grown = {norm: page.values(norm, "times grown") for norm in COMPARED}
    diverged = all(min(grown[norm]) > GROWTH for norm in DIVERGE)
    page.claim("Every per-token norm diverges", diverged, said(page, DIVERGE))
    calm = all(max(grown[norm]) < GROWTH for norm in CALM)
    page.claim("No spatially holistic norm does, nor ReZero", calm, said(page, CALM))
    batch = [batch_statistics(run, page, deciding) for run in page.arms["bn"]]
    page.claim(
        f"BatchNorm loses quality in eval mode ({deciding})",
        all_above(batch, quality["bn"]),
        f"{show(batch, 3)} dB with each picture's own statistics, {show(quality['bn'], 3)} with "
        "the running averages",
    )
    page.table(
        "quality",
        "PSNR in dB (the task's first score), mean and deviation over seeds",
        ["norm", *page.sets, "published: Set14, BSD100, Urban100, Manga109"],
        [
            [
                TITLES[norm],
                *page.cells(norm, page.sets),
                " / ".join(f"{v:.2f}" for v in PUBLISHED.get(norm, ())) or WORDS.get(norm, "–"),
            ]
            for norm in page.arms
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
                *page.cells(norm, measures),
                f"{sum(run.failure is not None for run in runs)} of {len(runs)}",
            ]
            for norm, runs in page.arms.items()
        ],
    )
    caption = "Fig. 4: mean square of the largest block over the steps, a line a seed."
    page.picture("magnitude", caption, draw(page.arms, "mean_square"))
    caption = "Channel entropy of the lowest block, a line a seed."
    page.picture("entropy", caption, draw(page.arms, "entropy"))


def mean(scores: Sequence[float]) -> float:
    """Of the runs that have a score; where none has, less than any."""
    good = [score for score in scores if not math.isnan(score)]
    return fmean(good) if good else -math.inf


def said(page: Report, norms: Sequence[str]) -> str:
    """How much the features of some norms have grown."""
    found = (f"{TITLES[norm]} {page.shown(norm, 'times grown')}" for norm in norms)
    return f"times grown: {', '.join(found)}"


def batch_statistics(run: Run, page: Report, test_set: str) -> float:
    """A BatchNorm network's score with the statistics of each test picture itself."""
    if run.failure is not None:
        return float("nan")
    model = run.model()
    for module in model.modules():
        if isinstance(module, BatchNorm):
            module.train()
    return score_of(model, page.scale.base, page.store, test_set)


def draw(arms: dict[str, list[Run]], measure: str) -> Figure:
    """A small panel a norm, all on the same axes."""
    figure = new_figure(10.4, 8.4)
    panels = figure.subplots(3, 3, sharex=True, sharey=True)
    for axes, (norm, runs) in zip(panels.flat, arms.items(), strict=True):
        hue = HUES[1] if norm in DIVERGE else HUES[0]
        draw_panel(axes, {norm: runs}, measure, TITLES[norm], [hue])
        axes.label_outer()
    return figure


ITEM = Item(("table1", "fig4"), __doc__, lambda scale: scale.arms(COMPARED), report)
