"""Learning rates.

The paper: nothing of this; all its networks train at 2e-4. A smaller scale needs a rate of its
own, and it should be the one that suits the baseline.
"""

from __future__ import annotations

import math

from iln.lab.dynamics.drawing import HUES, SMALL, Figure, logarithmic, new_figure, plain
from iln.lab.paper.item import Item, Report
from iln.lab.paper.scale import TITLES, Scale
from iln.lab.paper.statistics import GROWTH, value
from iln.lab.training import Recipe

FACTORS = (1 / 8, 1 / 4, 1 / 2, 1, 2)
"""Of the scale's own rate."""


def arms_of(scale: Scale) -> dict[tuple[str, float], list[Recipe]]:
    """By norm and learning rate, with the first seed."""
    return {
        (norm, rate): [scale.recipe(norm, seed=scale.seeds[0], lr=rate)]
        for norm in ("ln", "i-ln")
        for rate in (scale.base.lr * factor for factor in FACTORS)
    }


def report(page: Report) -> None:
    deciding, own = page.sets[-1], page.scale.base.lr
    scores = by_rate(page, deciding)
    for norm, found in scores.items():
        good = {rate: score for rate, score in found.items() if not math.isnan(score)}
        page.claim(
            f"{TITLES[norm]} scores best at {own:g}, the rate of all pages ({deciding})",
            bool(good) and max(good, key=good.__getitem__) == own,
            ", ".join(
                f"{rate:g}: {f'{score:.3f} dB' if rate in good else 'failed'}"
                for rate, score in found.items()
            ),
        )
    grown = by_rate(page, "times grown")
    largest = max(grown["ln"])
    ln, iln = grown["ln"][largest], grown["i-ln"][largest]
    page.claim(
        f"At {largest:g} the features of LN grow, those of i-LN do not",
        ln > GROWTH > iln,
        f"{ln:.3g} and {iln:.3g} times over the last three quarters",
    )
    figure = draw(scores, by_rate(page, "mean square"), deciding)
    page.picture("rates", "Quality and features over the learning rate.", figure)
    measures = ["mean square", "max abs", "entropy (nats)", "times grown"]
    page.table(
        "rates",
        "PSNR in dB, and the worst block at the last step; one seed",
        ["norm", "rate", *page.sets, *measures],
        [
            [
                *(TITLES[norm], rate),
                *(math.nan if run.failure else f"{value(run, name):.3f}" for name in page.sets),
                *(value(run, measure) for measure in measures),
            ]
            for (norm, rate), (run,) in page.arms.items()
        ],
    )


def by_rate(page: Report, measure: str) -> dict[str, dict[float, float]]:
    """A measure by norm and learning rate."""
    found: dict[str, dict[float, float]] = {}
    for (norm, rate), (run,) in page.arms.items():
        found.setdefault(norm, {})[rate] = value(run, measure)
    return found


def draw(
    scores: dict[str, dict[float, float]], sizes: dict[str, dict[float, float]], test_set: str
) -> Figure:
    """Scores and mean squares by norm and learning rate, a panel each."""
    figure = new_figure(10.4, 4.4)
    quality, size = figure.subplots(1, 2)
    for axes, found in ((quality, scores), (size, sizes)):
        for (norm, rates), hue in zip(found.items(), HUES, strict=False):
            axes.plot(list(rates), list(rates.values()), color=hue, marker="o", label=TITLES[norm])
    plain(quality, "", "learning rate", f"{test_set}, PSNR in dB")
    plain(size, "", "learning rate", "mean square of the features\n(largest block, last step)")
    logarithmic(quality, "x")
    logarithmic(size, "x")
    logarithmic(size, "y")
    quality.legend(frameon=False, fontsize=SMALL)
    return figure


ITEM = Item(("rates",), __doc__, arms_of, report)
