"""Knob: a picture darkened and brightened.

The paper: i-LN multiplies every branch by the sigma of the features, so a block answers in
proportion to its input (no figure shows that; this does).
"""

from __future__ import annotations

from statistics import fmean

import torch
from torch import Tensor

from iln.backbones import Backbone
from iln.lab.dynamics import Probe
from iln.lab.dynamics.drawing import HUES, LABEL, SMALL, Figure, new_figure, plain, short
from iln.lab.paper.item import Item, Report
from iln.lab.paper.pictures import picture_of
from iln.lab.paper.scale import TITLES, Scale
from iln.lab.paper.statistics import show

LIGHTS = {"darkened": (0.5, 0.0), "as it is": (1.0, 0.0), "brightened": (0.5, 0.5)}
"""Contrast and what is added, so that no pixel leaves [0, 1]."""


def sigmas(model: Backbone, image: Tensor) -> list[float]:
    """Deviation of every block's output over all values, in the order of the blocks."""
    with torch.no_grad(), Probe(model) as probe:
        model(image)
    return [sums.maps.values.deviation for sums in probe.sums.values()]


def error(model: Backbone, image: Tensor, target: Tensor, contrast: float) -> float:
    """Root mean square error of the output in 8-bit levels, over the contrast that is left."""
    with torch.no_grad():
        output = model(image)
    return float((output - target).double().square().mean().sqrt()) * 255 / contrast


def report(page: Report) -> None:
    picture, clean = picture_of(page.scale.base, page.store)
    models = {norm: [run.model() for run in runs] for norm, runs in page.sound.items()}
    any_model = next(model for all_ in models.values() for model in all_)
    blocks = [short(name) for name in any_model.blocks()]
    lit = {light: (c * picture + b, c * clean + b) for light, (c, b) in LIGHTS.items()}
    found: dict[tuple[str, str], list[list[float]]] = {}
    errors: dict[tuple[str, str], list[float]] = {}
    for norm, all_ in models.items():
        for light, (image, target) in lit.items():
            found[norm, light] = [sigmas(model, image) for model in all_]
            errors[norm, light] = [error(m, image, target, LIGHTS[light][0]) for m in all_]
    for light in ("darkened", "brightened"):
        ratios = {
            norm: [
                fmean(a / b for a, b in zip(lit_so, as_it_is, strict=True))
                for lit_so, as_it_is in zip(
                    found[norm, light], found[norm, "as it is"], strict=True
                )
            ]
            for norm in models
        }
        far = {norm: [abs(ratio - 0.5) for ratio in ratios[norm]] for norm in models}
        page.claim(
            f"Half the contrast, {light}: features of i-LN follow it, more than those of LN",
            page.sound_above(far["ln"], far["i-ln"]),
            f"sigma is {show(ratios['i-ln'])} times as large under i-LN, "
            f"{show(ratios['ln'])} times under LN, mean over blocks",
        )
        ln, iln = (
            [b / a for a, b in zip(errors[norm, "as it is"], errors[norm, light], strict=True)]
            for norm in ("ln", "i-ln")
        )
        page.claim(
            f"The {light} picture costs LN more than i-LN",
            page.sound_above(ln, iln),
            f"relative error {show(ln, 3)} and {show(iln, 3)} times that of the picture as it is",
        )
    figure = draw(found, blocks)
    page.picture("sigma", "Deviation of every block's output; a line a seed.", figure)
    page.table(
        "error",
        "Root mean square error in 8-bit levels, over the contrast left; mean over seeds",
        ["norm", *LIGHTS],
        [[TITLES[n], *(show(errors[n, light], 3) for light in LIGHTS)] for n in models],
    )
    page.table(
        "sigma",
        "Deviation of every block's output, mean and deviation over seeds",
        ["norm", "light", *blocks],
        [
            [TITLES[norm], light, *(show(block, None) for block in zip(*runs, strict=True))]
            for (norm, light), runs in found.items()
            if runs
        ],
    )
    page.text(
        "Darkened: x / 2; brightened: 1/2 + x / 2, with the target changed alike, so that contrast "
        "is halved in both and no pixel is cut off. The networks take x less a fixed mean over a "
        "fixed deviation, so darkening also shifts what enters the first convolution."
    )


def draw(found: dict[tuple[str, str], list[list[float]]], blocks: list[str]) -> Figure:
    figure = new_figure(10.4, 4.4)
    panels = figure.subplots(1, 2)
    for axes, norm in zip(panels, ("ln", "i-ln"), strict=True):
        for light, hue in zip(LIGHTS, HUES, strict=False):
            for number, line in enumerate(found[norm, light]):
                label = light if number == 0 else None
                axes.plot(blocks, line, color=hue, marker="o", markersize=4, label=label)
        plain(axes, TITLES[norm], "block", "sigma of its output")
        axes.set_ylim(bottom=0)
        axes.tick_params(axis="x", labelsize=SMALL)
    panels[0 if found["ln", "as it is"] else 1].legend(frameon=False, fontsize=LABEL)
    return figure


ITEM = Item(("knob",), __doc__, Scale.arms, report)
