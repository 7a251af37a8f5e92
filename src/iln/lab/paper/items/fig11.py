"""Fig. 11: seeds.

The paper: LN's features vary widely from seed to seed, those of i-LN hardly.
"""

from __future__ import annotations

import statistics
from math import isfinite, log

from iln.lab.paper.item import Item, Report
from iln.lab.paper.scale import TITLES, Scale
from iln.lab.paper.statistics import value

FACTOR = 4.4
"""sqrt(F) at 5 % for 2 and 2 degrees of freedom (F = 19.0): three seeds an arm."""


def report(page: Report) -> None:
    measures = {"mean square": "mean square", "entropy": "entropy (nats)"}
    measures |= {f"PSNR {name}": name for name in page.sets}
    for name, measure in measures.items():
        # Magnitudes lie orders apart, so what can be compared is by which factor they vary.
        of, said = (log, "the logarithm's ") if name == "mean square" else (float, "")
        values = [[*map(of, page.values(norm, measure))] for norm in ("ln", "i-ln")]
        if not all(isfinite(value) for arm in values for value in arm):
            page.claim(f"{name} varies more over seeds under LN", None, "a run has failed")
            continue
        ln, iln = map(statistics.stdev, values)
        page.claim(
            f"{name} varies more over seeds under LN",
            None if max(ln, iln) < FACTOR * min(ln, iln) else ln > iln,
            f"{said}standard deviation {ln:.3g} and {iln:.3g}",
        )
    page.text(
        f"A standard deviation from {len(page.scale.seeds)} seeds is itself uncertain: with equal "
        f"arms it takes a ratio of about {FACTOR:g} or more to tell them apart (F test, 5 %), so "
        "smaller ratios count as undecided."
    )
    page.curves("The worst block of every run over its steps, a line a seed.")
    page.table(
        "seeds",
        "Each seed at the last step",
        ["norm", "seed", *measures],
        [
            [TITLES[norm], run.recipe.seed, *(value(run, m) for m in measures.values())]
            for norm, runs in page.arms.items()
            for run in runs
        ],
    )


ITEM = Item(("fig11",), __doc__, Scale.arms, report)
