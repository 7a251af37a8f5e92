"""How the last norm answers channels that carry most of the energy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from iln.backbones import Backbone
from iln.errors import InputError
from iln.lab.dynamics.drawing import HUES, INK, LABEL, Figure, logarithmic, new_figure, plain
from iln.lab.dynamics.formatting import hundredths
from iln.lab.dynamics.measures import MapSums
from iln.lab.dynamics.probe import backbone_of
from iln.layers.hooks import Hooks


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


class LastMap(Hooks):
    """Sums over the map that reaches the last norm, of all that is computed inside `with`."""

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.sums: MapSums | None = None

    def attach(self, undo: ExitStack) -> None:
        undo.callback(self.backbone.layers[-1].register_forward_hook(self._look).remove)

    def _look(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        sums = MapSums.of(output)
        self.sums = self.sums.join(sums) if self.sums else sums

    def alignment(self) -> Alignment | None:
        """With the norm's bias; None if it has none."""
        known = dict(self.backbone.norm.named_parameters())
        bias = known.get("bias", known.get("beta"))
        if bias is None or self.sums is None:
            return None
        wide = bias.detach().to("cpu", torch.float64).numpy()
        return Alignment(self.sums.energy.sqrt().numpy(), wide)


def alignment(model: nn.Module, image: Tensor) -> Alignment:
    """How the last norm's bias lines up with channel magnitude: the paper's Fig. 8.

    Under per-token LayerNorm the two grow together, because the network has to compensate for its
    dominating channels.

    Args:
        image: (B, C, H, W) in [0, 1].

    Raises:
        InputError: where the last norm has no bias.
    """
    backbone = backbone_of(model)
    with torch.no_grad(), LastMap(backbone) as last:
        backbone(image)
    found = last.alignment()
    if found is None:
        raise InputError(f"the last norm of a network with {backbone.spec.norm!r} has no bias")
    return found


def draw_alignment(alignments: Mapping[str, Alignment]) -> Figure:
    """|bias| of the last norm over channel magnitude, a dot a channel; a panel a network."""
    figure = new_figure(4.6 * len(alignments), 4.4)
    panels = figure.subplots(1, len(alignments), squeeze=False)[0]
    for axes, (name, found), hue in zip(panels, alignments.items(), HUES, strict=False):
        axes.scatter(found.magnitude, np.abs(found.bias), 34, color=hue, alpha=0.75, linewidth=0)
        plain(axes, name, "channel magnitude, sqrt(E[x²])", "|bias| of the last norm")
        logarithmic(axes, "x")
        r, rank_r = hundredths(found.correlation), hundredths(found.rank_correlation)
        note = f"r = {r}\nrank r = {rank_r}"
        paper = {"facecolor": "white", "edgecolor": "none", "pad": 2}
        place = {"transform": axes.transAxes, "va": "top"}
        axes.text(0.03, 0.97, note, fontsize=LABEL, color=INK, bbox=paper, **place)
        top = float(np.abs(found.bias).max())
        if 0 < top < math.inf:
            axes.set_ylim(-0.04 * top, 1.25 * top)  # room for the numbers
    return figure


def _pearson(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    with np.errstate(invalid="ignore"):  # of a network whose bias is not finite: NaN
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
