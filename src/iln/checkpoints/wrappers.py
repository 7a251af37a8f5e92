"""The weights inside what other trainers save: nested dictionaries, prefixes, averages beside.

BasicSR nests them (`params`, `params_ema`), Lightning and others put a prefix before each name
(`model.`, `net_g.`), some save averaged weights beside the others under many names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from iln.checkpoints.published import WRAPPERS
from iln.errors import InputError

_MARK = "conv_first.weight"
"""What each of our networks has once, at its top."""
DEPTH = 4
"""Dictionaries in one another that are looked into; a pickle may contain itself."""
_AVERAGED = {"ema", "avg", "average", "averaged", "swa", "shadow", "polyak", "n_averaged"}
_ONLINE = {"online"}
"""Beside the averages in what keeps both."""
_NO_WEIGHTS = {"optimizer", "optimizers", "optim", "exp", "grad", "grads", "gradients", "momentum"}
"""Of an optimizer, which keeps numbers by the names of the weights, averages among them."""
_CRITICS = {"d", "netd", "dis", "disc", "discriminator", "critic"}


@dataclass(frozen=True)
class Weights:
    """One set of weights in a file.

    Attributes:
        tensors: by name, without what stands before each of them.
        place: under which keys, and which prefix, they were found; empty for a plain state dict.
        averaged: whether the place, or a counter beside them, says that they are averages.
        others: places of the sets that were not taken.
    """

    tensors: dict[str, Tensor]
    place: str
    averaged: bool
    others: tuple[str, ...] = ()

    @property
    def note(self) -> str | None:
        """Which were taken, where there was a choice."""
        if not self.others:
            return None
        kind = "averaged weights" if self.averaged else "weights"
        return f"takes the {kind} in {self.place or 'its top'}, not those in {_listed(self.others)}"


def find_weights(content: object) -> Weights:
    """The weights of a network in what `torch.load` returned; averaged ones are preferred.

    Raises:
        InputError: if there are none.
    """
    if not isinstance(content, Mapping):
        raise InputError(f"holds a {type(content).__name__}, no weights; expected a state dict")
    found = [one for keys, tensors in _nested(content) for one in _sets(keys, tensors)]
    known = [one for one in found if _MARK in one.tensors] or found
    if not known:
        if any(str(name).startswith("optimizer") for name in content):
            raise InputError("is a training state without weights; give the weights file beside it")
        entries = ", ".join(repr(str(name)) for name in list(content)[:5]) or "nothing"
        raise InputError(f"holds no weights but {entries}; expected a state dict, nested or not")
    best = min(known, key=_rank)
    others = tuple(one.place or "its top" for one in known if one is not best)
    return Weights(best.tensors, best.place, best.averaged, others)


def _nested(
    content: Mapping[object, object], keys: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], dict[str, Tensor]]]:
    """Every dictionary in it that holds tensors, and the keys that lead there."""
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if tensors:
        yield keys, tensors
    if len(keys) < DEPTH:
        for name, value in content.items():
            if isinstance(value, Mapping):
                yield from _nested(value, (*keys, str(name)))


def _sets(keys: tuple[str, ...], tensors: dict[str, Tensor]) -> Iterator[Weights]:
    """The networks in one dictionary, each under a prefix of its own."""
    found = prefixes(tensors)
    for prefix in found:
        others = tuple(one for one in found if one != prefix and one.startswith(prefix))
        inside = {
            name.removeprefix(prefix): tensor
            for name, tensor in tensors.items()
            if name.startswith(prefix) and not name.startswith(others)
        }
        parts = [part for part in prefix.split(".") if part and part not in WRAPPERS]
        place = ".".join((*keys, *parts))
        averaged = (_says(place, _AVERAGED) or "n_averaged" in tensors) and not _says(
            place, _ONLINE | _NO_WEIGHTS
        )
        yield Weights(inside, place, averaged)


def prefixes(names: Iterable[str]) -> list[str]:
    """What stands before the names of a network's tensors, of each network among them."""
    found = [name.removesuffix(_MARK) for name in names if name.endswith(_MARK)]
    return [prefix for prefix in found if not prefix or prefix.endswith(".")] or [""]


def _rank(one: Weights) -> tuple[bool, bool, bool]:
    """The smaller the better; of equals the first."""
    return _says(one.place, _NO_WEIGHTS), _says(one.place, _CRITICS), not one.averaged


def _says(place: str, words: set[str]) -> bool:
    """Whether one of the words is a part of a place such as `params-ema` or `net_d`."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", place)  # emaModel
    keys = apart.lower().split(".")
    parts = {part for key in keys for part in re.split(r"[_\-\s]+", key)}
    joined = {re.sub(r"[_\-\s]+", "", key) for key in keys}
    return bool(words & (parts | joined | set(keys)))


def _listed(places: tuple[str, ...]) -> str:
    return ", ".join(places[:3]) + (", ..." if len(places) > 3 else "")
