"""Structure: Propositions 1 and 2 on real features.

The paper: per-token LayerNorm is in general no homothety of the tokens, not even conformal, so
differences between pixels are lost; LN* maps x_l - x_k to (x_l - x_k) / sigma, and i-LN gives
sigma back. The paper proves it; this looks at trained networks.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from iln.backbones import Backbone
from iln.lab.dynamics.drawing import HUES, SMALL, Figure, new_figure, plain, short
from iln.lab.paper.item import Item, Report
from iln.lab.paper.pictures import picture_of
from iln.lab.paper.scale import TITLES, Scale
from iln.lab.paper.statistics import show
from iln.norm import NORMS

TOKENS = 400
"""So many pixels are drawn at random, and the distances of all their pairs looked at."""


@torch.no_grad()
def normalised(norm: str, x: Tensor) -> Tensor:
    """What a norm without its affine part makes of a map (1, H, W, C); i-LN with its sigma."""
    module = NORMS[norm](x.shape[-1]).to(x.dtype)  # gain 1 and offset 0 when new
    stats = module.statistics(x)
    y = module.normalize(x, stats)
    return module.rescale(y, stats)


def distances(x: Tensor) -> Tensor:
    """Of all pairs among `TOKENS` tokens of a map (1, H, W, C): (pairs,)."""
    tokens = x.flatten(0, 2)
    order = torch.randperm(len(tokens), generator=torch.Generator().manual_seed(0))
    return torch.pdist(tokens[order[:TOKENS]])


def spread(before: Tensor, after: Tensor) -> float:
    """Relative spread of the factors by which distances changed; 0 for a homothety."""
    kept = before > 1e-6 * before.max()
    factors = after[kept] / before[kept]
    return float(factors.std() / factors.mean())


def report(page: Report) -> None:
    damaged, _ = picture_of(page.scale.base, page.store)
    rows: list[list[str | float | int]] = []
    found: dict[str, list[float]] = {"ln": [], "ln*": [], "i-ln": []}
    for trained, runs in page.sound.items():
        for run in runs:
            for block, x in inputs_of_blocks(run.model(), damaged):
                before = distances(x)
                spreads = {n: spread(before, distances(normalised(n, x))) for n in found}
                for norm, value in spreads.items():
                    found[norm].append(value)
                rows.append([TITLES[trained], run.recipe.seed, short(block), *spreads.values()])
    page.claim(
        "Proposition 1: LayerNorm does not keep the structure of the pixels",
        min(found["ln"]) > 0.01,
        f"pairwise distances change by factors with a relative spread of {show(found['ln'], 3)} "
        f"(at least {min(found['ln']):.3f}) over all blocks and networks",
    )
    for norm in ("ln*", "i-ln"):
        page.claim(
            f"Proposition 2: {TITLES[norm]} keeps it",
            max(found[norm]) < 1e-5,
            f"relative spread at most {max(found[norm]):.1e}",
        )
    page.text(
        "x is what reaches a block's first norm, for one test picture. Each norm is applied to it "
        "without its learned gain and offset, and the distances of pixels before and after are "
        "compared: a homothety changes all of them by the same factor. (With gains that differ "
        "between channels no norm is one.)"
    )
    middle = {
        TITLES[trained]: inputs_of_blocks(runs[0].model(), damaged)
        for trained, runs in page.sound.items()
        if runs
    }
    page.picture(
        "distances",
        "Distances of pixels before and after, in the middle block of the first seed's networks "
        "(rows: how they were trained; columns: the norm applied).",
        draw({name: maps[len(maps) // 2][1] for name, maps in middle.items()}),
    )
    page.table(
        "spread",
        "Relative spread of the factors by which distances change",
        ["trained with", "seed", "block", *(TITLES[norm] for norm in found)],
        rows,
    )


def inputs_of_blocks(model: Backbone, image: Tensor) -> list[tuple[str, Tensor]]:
    """Each block's name and what reaches it, (1, H, W, C) float64; picture as the model takes."""
    found: list[tuple[str, Tensor]] = []

    def note(name: str, block: nn.Module, inputs: Any) -> None:
        found.append((name, inputs[0].detach().double()))

    with torch.no_grad(), ExitStack() as hooks:
        for name, block in model.blocks().items():
            hooks.callback(block.register_forward_pre_hook(partial(note, name)).remove)
        model(image)
    return found


def draw(maps: dict[str, Tensor]) -> Figure:
    """A panel for each network and norm, a dot a pair of pixels."""
    figure = new_figure(12.0, 3.7 * len(maps))
    panels = figure.subplots(len(maps), 3, squeeze=False)
    for row, (name, x) in zip(panels, maps.items(), strict=True):
        before = distances(x)
        chosen = torch.arange(0, len(before), max(1, len(before) // 3000))
        for axes, norm, hue in zip(row, ("ln", "ln*", "i-ln"), HUES, strict=False):
            after = distances(normalised(norm, x))
            axes.scatter(before[chosen], after[chosen], 4, color=hue, alpha=0.4, linewidth=0)
            plain(axes, TITLES[norm], "distance before", "after")
            note = f"trained with {name}\nspread of factors {spread(before, after):.2g}"
            axes.text(0.04, 0.94, note, transform=axes.transAxes, va="top", fontsize=SMALL)
            axes.set_xlim(left=0)
            axes.set_ylim(0, 1.25 * float(after.max()))
    return figure


ITEM = Item(("structure",), __doc__, Scale.arms, report)
