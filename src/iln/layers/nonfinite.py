"""Where numbers stop being finite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from iln.layers.hooks import Hooks


class FiniteWatch(Hooks):
    """Looks at what modules compute inside `with`: the largest, and who gave infinity or NaN.

    One forward pass inside each `with`; several `with` count as one, and the earliest in any pass
    is the first. Compiled networks call no hooks. Norms are not seen, since blocks ask for them by
    method.

    Args:
        places: by the name to call them.
    """

    def __init__(self, places: Mapping[str, nn.Module]) -> None:
        self.places = dict(places)
        self.spoiled: dict[str, int] = {}
        """By place that gave a value that is not finite: which call of a pass it was."""
        self.peaks: dict[str, float] = {}
        """By place: the largest finite |value|."""
        self._calls = 0

    def attach(self, undo: ExitStack) -> None:
        self._calls = 0
        for name, module in self.places.items():
            look = partial(self._look, name)
            undo.callback(module.register_forward_hook(look).remove)

    def first(self, among: Mapping[str, nn.Module] | None = None) -> str | None:
        """The first place that is not finite; among all of them, or the names given."""
        names = [name for name in self.spoiled if among is None or name in among]
        return min(names, key=lambda name: self.spoiled[name], default=None)

    def _look(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if not isinstance(output, Tensor) or not output.numel():
            return
        self._calls += 1
        low, high = (value.item() for value in torch.aminmax(output.detach()))
        spoiled = not (math.isfinite(low) and math.isfinite(high))
        peak = max(-low, high)
        if spoiled:
            self.spoiled[name] = min(self.spoiled.get(name, self._calls), self._calls)
            finite = output.detach()[torch.isfinite(output)]
            peak = finite.abs().max().item() if finite.numel() else 0.0
        self.peaks[name] = max(self.peaks.get(name, 0.0), peak)
