"""Rescued checkpoints as files: in their authors' own layout, or in ours."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from iln.atomic import atomic_write, printable
from iln.backbones.residual_stream import divided, exponents
from iln.checkpoints.files import about, called, kind_of, located, read_content
from iln.checkpoints.native import said_by, save
from iln.checkpoints.published import clean, rename
from iln.checkpoints.wrappers import DEPTH, prefixes
from iln.deploy.rescue.search import Rescued
from iln.errors import InputError


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
        if (kind == "safetensors") != (target.suffix == ".safetensors"):
            wanted = ".safetensors" if kind == "safetensors" else ".pth"
            raise InputError(
                f"{printable(target)}: the rescue of {printable(path.name)} is a file of {kind}; "
                f"give a name that ends in {wanted}"
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


def _changed(content: Any, rescued: Rescued, depth: int = DEPTH) -> Any:
    """The same with every set of weights in it divided: a file may hold plain and averaged ones."""
    if not isinstance(content, Mapping):
        return content
    inner = dict(content)
    if depth:
        inner = {name: _changed(value, rescued, depth - 1) for name, value in content.items()}
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    powers = exponents(rescued.model)
    for prefix in prefixes(tensors):
        for name in (name for name in tensors if name.startswith(prefix)):
            # One name of ours, or none for what our networks do without.
            known = clean({name.removeprefix(prefix): tensors[name]})
            for ours in rename(known, rescued.model.spec.norm):
                if ours in powers:
                    power = powers[ours] * rescued.exponents[0]
                    inner[name] = divided(tensors[name], power)
    return type(content)(inner)  # type: ignore[call-arg]
