"""The weights inside what other trainers save: nested dictionaries, prefixes, averages beside.

BasicSR nests them (`params`, `params_ema`), Lightning and others put a prefix before each name
(`model.`, `net_g.`), some save averaged weights beside the others under many names.
"""

from __future__ import annotations

import re
from collections.abc import ItemsView, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from iln.backbones import BACKBONES
from iln.checkpoints.published import bare, clean
from iln.errors import InputError

_MARK = "conv_first.weight"
"""What each of our networks has once, at its top."""
_DOTLESS = _MARK.replace(".", "")
"""The same where averages are kept as buffers, whose names must not have dots (LitEma)."""
DEPTH = 4
"""Dictionaries in one another that are looked into; a pickle may contain itself."""
_MOST = 64
"""Networks in one dictionary, averages counted."""
_FLOATS = (np.float16, np.float32, np.float64)
"""Of numpy, those that PyTorch has, too."""
_AVERAGED = {
    "ema", "emas", "emamodel", "modelema", "avg", "average", "averages", "averaged", "averaging",
    "swa", "shadow", "polyak", "n_averaged",
}  # fmt: skip
_ONLINE = {"online"}
"""Beside the averages in what keeps both."""
_NO_WEIGHTS = {
    "optimizer", "optimizers", "optim", "adam", "exp", "grad", "grads", "gradients", "momentum",
    "moment", "moments",
}  # fmt: skip
"""Of an optimizer, which keeps numbers by the names of the weights, averages among them."""
_MOMENTS = {"m", "v"}
"""The same, where they are the whole name."""
_TEACHERS = {"teacher", "teachers"}
_CRITICS = {"d", "netd", "dis", "disc", "discriminator", "critic"}


Keys: TypeAlias = tuple[str, ...]
"""Of dictionaries in one another, from the outermost on."""


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
    if not isinstance(content, dict):
        raise InputError(f"holds a {type(content).__name__}, no weights; expected a state dict")
    known = weights_in(content)
    ours = any(_MARK in one.tensors for one in known)
    if not ours and all(_is_no_weights(one.place) for one in known):
        if known or any(str(name).startswith("optimizer") for name in content):
            raise InputError("is a training state without weights; give the weights file beside it")
        entries = ", ".join(repr(str(name)) for name in list(content)[:5]) or "nothing"
        raise InputError(f"holds no weights but {entries}; expected a state dict, nested or not")
    best = min(known, key=_rank)
    others = tuple(one.place or "its top" for one in known if one is not best)
    return Weights(best.tensors, best.place, best.averaged, others)


def weights_in(content: dict[object, object]) -> list[Weights]:
    """All sets of weights: of our networks if there are any, else whatever tensors there are."""
    found = [one for keys, tensors in _nested(content) for one in _sets(keys, tensors)]
    known = [one for one in found if _MARK in one.tensors] or found
    lists = [one for keys, tensors in _lists(content) for one in _in_order(keys, tensors, known)]
    return [*known, *lists]


def _nested(content: dict[object, object]) -> Iterator[tuple[Keys, dict[str, Tensor]]]:
    """Every dictionary in it that holds tensors, and the keys that lead there.

    Arrays of numpy are taken for tensors where a dictionary holds no tensors.
    """
    for keys, inner in _dictionaries(content):
        tensors = {str(name): value for name, value in inner if isinstance(value, Tensor)}
        if not tensors:
            arrays = {str(n): v for n, v in inner if isinstance(v, np.ndarray)}
            numbers = {name: value for name, value in arrays.items() if value.dtype in _FLOATS}
            tensors = {name: torch.tensor(value) for name, value in numbers.items()}
        for name, tensor in tensors.items():
            if tensor.is_nested or type(tensor) not in (Tensor, nn.Parameter):
                kind = "nested tensor" if tensor.is_nested else type(tensor).__name__
                raise InputError(f"holds a {kind}, {name!r}; only plain tensors are read")
        if tensors:
            yield keys, _bare(tensors)


def _bare(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without what wrappers put into the names, where these stay apart."""
    names = {name: bare(name) for name in tensors}
    if len(set(names.values())) < len(names):
        return tensors
    return {names[name]: tensor for name, tensor in tensors.items()}


def _dictionaries(
    content: dict[object, object],
) -> Iterator[tuple[Keys, ItemsView[object, object]]]:
    """What it and all dictionaries in it hold, each once."""
    waiting: list[tuple[Keys, dict[object, object]]] = [((), content)]
    seen = {id(content)}
    while waiting:
        keys, dictionary = waiting.pop(0)
        inner = dict.items(dictionary)  # an attribute may hide the method
        yield keys, inner
        for name, value in inner if len(keys) < DEPTH else ():
            if isinstance(value, dict) and id(value) not in seen:
                seen.add(id(value))
                waiting.append(((*keys, str(name)), value))


def _lists(content: dict[object, object]) -> Iterator[tuple[Keys, list[Tensor]]]:
    """Lists of tensors: averages without names, in the order of a network's parameters."""
    for keys, inner in _dictionaries(content):
        for name, value in inner:
            if isinstance(value, list | tuple) and value:
                tensors = [one for one in value if isinstance(one, Tensor) and not one.is_nested]
                if len(tensors) == len(value):
                    yield (*keys, str(name)), tensors


def _in_order(keys: Keys, tensors: list[Tensor], known: list[Weights]) -> Iterator[Weights]:
    """Such averages by the names of the set of weights that they fit, if any."""
    place = ".".join(keys)
    if not _says(place, _AVERAGED) or _is_no_weights(place):
        return
    for one in known:
        parameters = clean(one.tensors)
        learned = {name: t for name, t in one.tensors.items() if name in parameters}
        shapes = [tensor.shape for tensor in learned.values()]
        if not one.averaged and shapes == [tensor.shape for tensor in tensors]:
            yield Weights(dict(zip(learned, tensors, strict=True)), place, averaged=True)
            return


def _sets(keys: tuple[str, ...], tensors: dict[str, Tensor]) -> Iterator[Weights]:
    """The networks in one dictionary, each under a prefix of its own."""
    marks = sum(name.endswith((_MARK, _DOTLESS)) for name in tensors)
    if marks > _MOST:  # all names are gone through for each
        raise InputError(f"holds {marks} networks side by side; at most {_MOST} are read")
    found = prefixes(tensors)
    for prefix in found:
        others = tuple(one for one in found if one != prefix and one.startswith(prefix))
        inside = {
            name.removeprefix(prefix): tensor
            for name, tensor in tensors.items()
            if name.startswith(prefix) and not name.startswith(others)
        }
        place = ".".join((*keys, *(part for part in bare(prefix).split(".") if part)))
        averaged = (_says(place, _AVERAGED) or "n_averaged" in tensors) and not _says(
            place, _ONLINE | _NO_WEIGHTS
        )
        yield Weights(inside, place, averaged)
        yield from _dotless(keys, tensors, inside)


def _dotless(keys: Keys, tensors: dict[str, Tensor], known: dict[str, Tensor]) -> Iterator[Weights]:
    """Averages beside the weights, under their names without dots."""
    for name in tensors:
        if name.endswith(_DOTLESS) and _MARK in known:
            start = name.removesuffix(_DOTLESS)
            averages = {old: tensors.get(start + old.replace(".", "")) for old in known}
            found = {old: tensor for old, tensor in averages.items() if tensor is not None}
            yield Weights(found, ".".join((*keys, start.strip("."))), averaged=True)


def prefixes(names: Iterable[str]) -> list[str]:
    """What stands before the names of a network's tensors, of each network among them."""
    found = [name.removesuffix(_MARK) for name in names if name.endswith(_MARK)]
    return [prefix for prefix in found if not prefix or prefix.endswith(".")] or [""]


def _rank(one: Weights) -> tuple[bool, ...]:
    """The smaller the better; of equals the first."""
    names = clean(one.tensors)
    return (
        not any(backbone.mark in names for _, backbone in BACKBONES.values()),
        _is_no_weights(one.place),
        _says(one.place, _CRITICS),
        not one.averaged,
        _says(one.place, _TEACHERS),
    )


def _is_no_weights(place: str) -> bool:
    return _says(place, _NO_WEIGHTS) or not _MOMENTS.isdisjoint(place.lower().split("."))


def _says(place: str, words: set[str]) -> bool:
    """Whether one of the words is a part of a place such as `params-ema`, `net_d` or `EMAModel`."""
    parts = {part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", place)}
    keys = set(place.lower().split("."))
    joined = {re.sub(r"[_\-\s]+", "", key) for key in keys}
    return bool(words & (parts | joined | keys))


def _listed(places: tuple[str, ...]) -> str:
    return ", ".join(places[:3]) + (", ..." if len(places) > 3 else "")
