"""Where in a picture a block's features are large: maps over its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from iln.errors import InputError, nearest
from iln.lab.dynamics.drawing import AMOUNT, INK, SMALL, Figure, bare, new_figure, short
from iln.lab.dynamics.measures import token_pieces
from iln.lab.dynamics.probe import backbone_of


@dataclass(frozen=True)
class TokenMaps:
    """Of a block's output for one picture, (H, W) each, without the padding.

    Attributes:
        sigma: the standard deviation over channels of every token, what LayerNorm divides by.
        energy: E_c[x_lc^2] of every token.
    """

    sigma: npt.NDArray[np.float64]
    energy: npt.NDArray[np.float64]


def token_maps(model: nn.Module, image: Tensor, blocks: Sequence[str] = ()) -> dict[str, TokenMaps]:
    """By block; of those named, or else of the first, the middle and the last one.

    Args:
        image: (1, C, H, W) in [0, 1].

    Raises:
        InputError: for several pictures or an unknown block.
    """
    backbone = backbone_of(model)
    if image.shape[0] != 1:
        raise InputError(f"{image.shape[0]} pictures; maps are drawn of one at a time")
    known = backbone.blocks()
    names = list(known)
    chosen = list(blocks) or list(dict.fromkeys((names[0], names[len(names) // 2], names[-1])))
    for name in chosen:
        if name not in known:
            raise InputError(f"no block {name!r}; {nearest(name, names)}")
    found: dict[str, TokenMaps] = {}
    cell = backbone.spec.unshuffle
    size = [-(-side // cell) for side in image.shape[2:]]

    def keep(name: str, block: nn.Module, inputs: Any, output: Tensor) -> None:
        pieces = [
            torch.stack((tokens.var(1, correction=0).sqrt(), tokens.square().mean(1))).cpu()
            for tokens in token_pieces(output.detach())
        ]
        both = torch.cat(pieces, 1).view(2, *output.shape[1:3])[:, : size[0], : size[1]].numpy()
        found[name] = TokenMaps(both[0], both[1])

    with torch.no_grad(), ExitStack() as hooks:
        for name in chosen:
            hooks.callback(known[name].register_forward_hook(partial(keep, name)).remove)
        backbone(image)
    return found


def draw_token_maps(image: Tensor, maps: dict[str, TokenMaps]) -> Figure:
    """The picture, and beside it, block by block, its tokens' sigma (above) and energy (below).

    Colours go from the 1st to the 99th percentile of each map.

    Args:
        image: (1, C, H, W) in [0, 1].
    """
    height, width = image.shape[2:]
    across = 3.0 * min(1.6, max(0.6, width / height))
    down = 0.8 * across * height / width + 0.5
    figure = new_figure(across * (len(maps) + 1), 2 * down)
    from matplotlib.ticker import MaxNLocator  # new_figure says where it is missing

    panels = figure.subplots(2, len(maps) + 1, squeeze=False)
    pixels = image[0].detach().clamp(0, 1).permute(1, 2, 0).to("cpu", torch.float32).numpy()
    panels[0, 0].imshow(pixels.repeat(3, 2) if pixels.shape[2] == 1 else pixels)
    bare(panels[0, 0], "picture")
    panels[1, 0].set_axis_off()
    for column, (name, found) in enumerate(maps.items(), 1):
        for axes, title, values in (
            (panels[0, column], f"sigma, block {short(name)}", found.sigma),
            (panels[1, column], f"energy, block {short(name)}", found.energy),
        ):
            low, high = np.quantile(values, (0.01, 0.99))
            drawn = axes.imshow(values, cmap=AMOUNT, vmin=low, vmax=high)
            bare(axes, title)
            bar = figure.colorbar(drawn, ax=axes, shrink=0.9, pad=0.02, format="%.3g")
            bar.locator = MaxNLocator(4)
            bar.ax.tick_params(labelsize=SMALL, labelcolor=INK)
            bar.outline.set_visible(False)
    return figure
