"""Rescued checkpoints as files: in their authors' own layout, or in ours."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from iln.atomic import atomic_write, printable
from iln.backbones.residual_stream import stream_powers, times_power_of_two
from iln.checkpoints.files import about, called, kind_of, located, read_content
from iln.checkpoints.native import said_by, save
from iln.checkpoints.published import clean, rename
from iln.checkpoints.wrappers import weights_in
from iln.deploy.rescue.search import Rescued
from iln.errors import InputError

SUFFIXES = {"safetensors": (".safetensors",), "torch": (".pth", ".pt", ".ckpt")}
"""By `kind_of`."""


def check_rescue_target(source: str, target: Path) -> None:
    """Raises InputError for a name that no rescue of `source` can have; to be known before it."""
    with located(source) as path, about(called(source, path)):
        kinds = {"safetensors", kind_of(path)}  # the former where groups have powers of their own
    accepted = [suffix for kind in SUFFIXES if kind in kinds for suffix in SUFFIXES[kind]]
    if target.suffix not in accepted:
        raise InputError(
            f"{printable(target)}: the name of a rescue of {printable(source)} must end in "
            f"{' or '.join(accepted)}"
        )


def write_rescued(rescued: Rescued, source: str, target: Path, *, overwrite: bool = False) -> None:
    """Write what `rescue` found for the file `source`, in the same layout.

    A file of others stays one: same type, wrappers, prefixes and buffers, only the tensors that
    change are replaced, so that its authors' code loads it like the original. One of ours keeps
    all it says of itself.

    Where groups have powers of their own, only our own layout can say it.

    Raises:
        InputError: if the target exists, cannot be written, or has a suffix that does not fit.
    """
    with located(source) as path:
        with about(called(source, path)):
            kind = "safetensors" if rescued.in_steps else kind_of(path)
        if target.suffix not in SUFFIXES[kind]:
            raise InputError(
                f"{printable(target)}: the rescue of {printable(path.name)} is a file of {kind}; "
                f"give a name that ends in {' or '.join(SUFFIXES[kind])}"
            )
        if kind == "torch":
            _write_pickle(path, target, rescued, overwrite)
        elif (said := said_by(path)) or rescued.in_steps:
            before = said.get("training")
            training = before if isinstance(before, dict) else {"said": before} if before else {}
            training = {**training, "stream_divided_by_2_to_the": list(rescued.exponents)}
            rest = {name: said.get(name) for name in ("task", "scores", "licence")}
            save(rescued.model, target, overwrite=overwrite, training=training, **rest)
        else:
            _write_safetensors(path, target, rescued, overwrite)


def _write_pickle(path: Path, target: Path, rescued: Rescued, overwrite: bool) -> None:
    changed = _changed(read_content(path)[0], rescued)
    data = io.BytesIO()  # because torch's own writing reports a full disk in a way of its own
    torch.save(changed, data)
    with atomic_write(target, overwrite) as temporary:
        temporary.write_bytes(data.getvalue())


def _write_safetensors(path: Path, target: Path, rescued: Rescued, overwrite: bool) -> None:
    weights, metadata = read_content(path)
    data = safetensors.torch.save(_changed(weights, rescued), metadata or None)
    with atomic_write(target, overwrite) as temporary:
        temporary.write_bytes(data)


def _changed(content: Any, rescued: Rescued) -> Any:
    """The same with every set of weights in it divided: a file may hold plain and averaged ones."""
    powers = stream_powers(rescued.model)
    divided_ones: dict[int, Tensor] = {}
    for weights in weights_in(content):
        # Names of ours, without what our networks do without.
        for name, tensor in rename(clean(weights.tensors), rescued.model.spec.norm).items():
            if name in powers:
                power = powers[name] * rescued.exponents[0]
                divided_ones[id(tensor)] = times_power_of_two(tensor, power)
    done: dict[int, Any] = {}
    changed = _with(content, divided_ones, done)
    if divided_ones.keys().isdisjoint(done):
        raise InputError("holds its weights as arrays of numpy; save them as tensors first")
    return changed


def _with(content: Any, tensors: Mapping[int, Tensor], done: dict[int, Any]) -> Any:
    """A copy of nested dictionaries and lists with other tensors in place of some, by their id."""
    if id(content) in tensors:
        done[id(content)] = tensors[id(content)]
    if id(content) in done:
        return done[id(content)]
    if isinstance(content, dict):
        done[id(content)] = content  # where it contains itself
        done[id(content)] = type(content)(
            {name: _with(value, tensors, done) for name, value in dict.items(content)}
        )
    elif type(content) in (list, tuple):
        done[id(content)] = content
        done[id(content)] = type(content)(_with(value, tensors, done) for value in content)
    else:
        return content
    return done[id(content)]
