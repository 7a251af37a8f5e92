"""Which channels carry the energy, and how the last norm answers them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from iln.backbones import Backbone
from iln.errors import InputError
from iln.lab.dynamics.drawing import HUES, INK, LABEL, SMALL, logarithmic, new_figure, plain
from iln.lab.dynamics.measures import MapSums, shares
from iln.lab.dynamics.probe import backbone_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_channels(energies: Mapping[str, Tensor]) -> Figure:
    """Each channel's share of the energy, p_c, as bars; a panel for each block or network.

    energies: by the name to show, E_l[x_c^2] (C,), as in `Probe.energies`. All panels share one
    logarithmic axis; the line marks 1 / C, where all channels would be alike, and the number
    the strongest channel's share.
    """
    figure = new_figure(9.0, 1.0 + 1.9 * len(energies))
    panels = figure.subplots(len(energies), 1, sharey=True, squeeze=False)[:, 0]
    lowest = 1.0
    for axes, (name, energy) in zip(panels, energies.items(), strict=True):
        share = shares(energy).numpy()
        strongest = int(share.argmax())
        colours = [HUES[1] if c == strongest else HUES[0] for c in range(len(share))]
        axes.bar(np.arange(len(share)), share, 0.8, color=colours)
        plain(axes, name, "", "share of energy")
        axes.grid(visible=False, axis="x")
        axes.axhline(1 / len(share), color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xlim(-1, len(share))
        axes.annotate(
            f"channel {strongest}: {share[strongest]:.0%}",
            (strongest, share[strongest]),
            (6 if strongest < 0.8 * len(share) else -6, 2),
            textcoords="offset points",
            ha="left" if strongest < 0.8 * len(share) else "right",
            fontsize=SMALL,
            color=INK,
        )
        lowest = min(lowest, float(np.quantile(share[share > 0], 0.05)))
    for axes in panels:
        axes.set_ylim(max(lowest / 4, 1e-9), 2.5)
        logarithmic(axes, "y")
    panels[-1].set_xlabel("channel", fontsize=LABEL, color=INK)
    return figure


@dataclass(frozen=True)
class Alignment:
    """The last norm's bias beside the magnitude of the channels that reach it (C,)."""

    magnitude: npt.NDArray[np.float64]
    """sqrt(E_l[x_c^2]) of the map before the last norm."""
    bias: npt.NDArray[np.float64]

    @property
    def correlation(self) -> float:
        """Pearson's, of |bias| and magnitude; NaN where one of them does not vary."""
        return _pearson(np.abs(self.bias), self.magnitude)

    @property
    def rank_correlation(self) -> float:
        """Spearman's, likewise: what is left of it without the weight of a few huge channels."""
        return _pearson(_ranks(np.abs(self.bias)), _ranks(self.magnitude))


def alignment(model: nn.Module, image: Tensor) -> Alignment:
    """How the last norm's bias lines up with channel magnitude: the paper's Fig. 8.

    Under per-token LayerNorm the two grow together, because the network has to compensate for
    its dominating channels. image (B, C, H, W) in [0, 1]. Raises InputError where the last norm
    has no bias.
    """
    backbone = backbone_of(model)
    bias = last_bias(backbone)
    if bias is None:
        raise InputError(f"the last norm of a network with {backbone.spec.norm!r} has no bias")
    found: list[MapSums] = []
    hook = backbone.layers[-1].register_forward_hook(
        lambda module, inputs, output: found.append(MapSums.of(output))
    )
    try:
        with torch.no_grad():
            backbone(image)
    finally:
        hook.remove()
    return Alignment(found[0].energy.sqrt().numpy(), bias)


def last_bias(backbone: Backbone) -> npt.NDArray[np.float64] | None:
    """The bias (C,) of the norm after the last group; None if it has none."""
    known = dict(backbone.norm.named_parameters())
    bias = known.get("bias", known.get("beta"))
    return None if bias is None else bias.detach().to("cpu", torch.float64).numpy()


def draw_alignment(alignments: Mapping[str, Alignment]) -> Figure:
    """|bias| of the last norm over channel magnitude, a dot a channel; a panel a network."""
    figure = new_figure(4.6 * len(alignments), 4.4)
    panels = figure.subplots(1, len(alignments), squeeze=False)[0]
    for axes, (name, found), hue in zip(panels, alignments.items(), HUES, strict=False):
        axes.scatter(found.magnitude, np.abs(found.bias), 34, color=hue, alpha=0.75, linewidth=0)
        plain(axes, name, "channel magnitude, sqrt(E[x²])", "|bias| of the last norm")
        logarithmic(axes, "x")
        axes.text(
            0.03,
            0.97,
            f"r = {_two(found.correlation)}\nrank r = {_two(found.rank_correlation)}",
            transform=axes.transAxes,
            va="top",
            fontsize=LABEL,
            color=INK,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 2},
        )
        top = float(np.abs(found.bias).max())
        axes.set_ylim(-0.04 * top or None, 1.25 * top or None)  # room for the numbers
    return figure


def _two(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}"  # never -0.00


def _pearson(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size else float("nan")


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """0, 1, ...; equal values share the mean of their ranks."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = counts.cumsum()
    means = (ends - counts + ends - 1) / 2
    ranks: npt.NDArray[np.float64] = means[places]
    return ranks
