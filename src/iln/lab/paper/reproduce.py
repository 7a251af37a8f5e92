"""One item of the paper, from training to its page."""

from __future__ import annotations

import math
import platform
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import torch

import iln
from iln.errors import InputError, nearest
from iln.lab.dynamics.drawing import new_figure
from iln.lab.paper.item import Item, Report
from iln.lab.paper.page import Page
from iln.lab.paper.scale import Scale
from iln.lab.paper.store import Store, Tell
from iln.lab.paper.synthetic_data import draw_data
from iln.lab.training.report import Say

_NAMES = (
    *("fig1", "fig2", "table1", "table2", "table3", "fig8", "fig9", "fig11", "fig14"),
    *("table4", "table6", "table8", "structure", "knob", "rates"),
)
ITEMS: dict[str, Item] = {
    name: import_module(f"iln.lab.paper.items.{name}").ITEM for name in _NAMES
}
"""By their own names, which are those of their files, in the order of the paper."""


def find_item(name: str) -> Item:
    """By any of its names. Raises InputError naming the nearest."""
    for item in ITEMS.values():
        if name in item.names:
            return item
    known = [known for item in ITEMS.values() for known in item.names]
    raise InputError(f"the paper has no {name!r} here; {nearest(name, known)}")


def reproduce(
    item: Item,
    scale: Scale,
    store: Store,
    folder: Path,
    *,
    jobs: int,
    say: Say,
    tell: Tell,
    overwrite: bool = False,
) -> Page | None:
    """Train what an item still needs, and write its page into `folder`.

    Args:
        jobs: runs at a time.

    Returns:
        The page, or None if SIGINT or SIGTERM asked to stop; called again, it goes on there.

    Raises:
        InputError: for a folder that holds something already (unless `overwrite`), and for pictures
            that are missing.
    """
    page = Report(item, scale, store, folder, overwrite=overwrite)
    new_figure(1, 1)  # says before the training where matplotlib is missing
    if scale.name == "smoke":
        draw_data(store.data_root)
    if not store.train(item.recipes(scale), jobs, say, tell):
        return None
    item.report(page)
    page.finish(_how(page))
    return page


def _how(page: Report) -> list[str]:
    item, scale = page.item, page.scale
    # Two arms may share a run.
    runs = {run.folder: run for runs in page.arms.values() for run in runs}.values()
    steps = sorted({run.recipe.steps for run in runs})
    seeds = sorted({run.recipe.seed for run in runs})
    lengths, numbers = " and ".join(map(str, steps)), ", ".join(map(str, seeds))
    hours = sum(run.seconds for run in runs) / 3600
    lines = [
        f"`iln paper {item.names[0]} --scale {scale.name}`, page written "
        f"{datetime.now(UTC):%Y-%m-%d} with iln {iln.__version__} and PyTorch {torch.__version__} "
        f"on {platform.system()} {platform.machine()}.",
        f"{len(runs)} runs of {lengths} steps; seeds {numbers}; {hours:.1f} "
        "hours of training in all, where runs share the machine. Other pages use some of them too.",
        scale.note,
    ]
    if len(seeds) > 1:
        lines.append(
            "± is the standard deviation over seeds. Of two arms one counts as above the other "
            f"only if each of its seeds is above each of the other's ({len(seeds)} against "
            f"{len(seeds)}: by chance once in {math.comb(2 * len(seeds), len(seeds))} times); else "
            "the claim is not decided."
        )
    failed = [run.folder.name for run in runs if run.failure is not None]
    if failed:
        lines.append(f"Not finite, and stopped: {', '.join(failed)}.")
    return lines
