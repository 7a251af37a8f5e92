"""Where numbers stop being finite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn

from iln.backbones import Backbone


class FiniteWatch:
    """Looks at what modules compute inside `with`: the largest, and who gave infinity or NaN.

    places: by the name to call them. Several forward passes count as one. Compiled networks call
    no hooks. Norms are not seen, since blocks ask for them by method.
    """

    def __init__(self, places: Mapping[str, nn.Module]) -> None:
        self.places = dict(places)
        self.spoiled: dict[str, bool] = {}
        """By place, in the order in which they finish: whether a value was not finite."""
        self.peaks: dict[str, float] = {}
        """By place: the largest finite |value|."""
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        for name, module in self.places.items():
            look = partial(self._look, name)
            self._undo.callback(module.register_forward_hook(look).remove)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._undo.close()

    def first(self, among: Mapping[str, nn.Module] | None = None) -> str | None:
        """The first place that is not finite; among all of them, or the names given."""
        names = self.spoiled if among is None else (n for n in self.spoiled if n in among)
        return next((name for name in names if self.spoiled[name]), None)

    def _look(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if not isinstance(output, Tensor) or not output.numel():
            return
        low, high = (value.item() for value in torch.aminmax(output.detach()))
        spoiled = not (math.isfinite(low) and math.isfinite(high))
        self.spoiled[name] = self.spoiled.get(name, False) or spoiled
        peak = max(-low, high)
        if spoiled:
            finite = output.detach()[torch.isfinite(output)]
            peak = finite.abs().max().item() if finite.numel() else 0.0
        self.peaks[name] = max(self.peaks.get(name, 0.0), peak)


def stages(model: Backbone) -> dict[str, nn.Module]:
    """What computes one after the other: the first convolution, every block, the last layers."""
    first, last = {"conv_first": model.conv_first}, {"conv_after_body": model.conv_after_body}
    return {**first, **model.blocks(), "norm": model.norm, **last}
