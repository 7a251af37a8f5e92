"""Rescued checkpoints as files: in their authors' own layout, or in ours."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from iln.atomic import atomic_write, printable
from iln.backbones.residual_stream import divided, exponents
from iln.checkpoints.files import about, kind_of, located, read_tensors
from iln.checkpoints.native import save
from iln.checkpoints.published import WRAPPERS, clean, rename
from iln.deploy.export.about import said_by
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
        with about(path):
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
            training = before if isinstance(before, dict) else {}
            training = {**training, "stream_divided_by_2_to_the": list(rescued.exponents)}
            rest = {name: said.get(name) for name in ("task", "scores", "licence")}
            save(rescued.model, target, overwrite=overwrite, training=training, **rest)
        else:
            _write_safetensors(path, target, rescued, overwrite)


def _write_pickle(path: Path, target: Path, rescued: Rescued, overwrite: bool) -> None:
    content = torch.load(path, map_location="cpu", weights_only=True)
    changed = _changed(content, rescued)
    with atomic_write(target, overwrite) as temporary:
        torch.save(changed, temporary)


def _write_safetensors(path: Path, target: Path, rescued: Rescued, overwrite: bool) -> None:
    weights, metadata = read_tensors(path)
    data = safetensors.torch.save(_changed(weights, rescued), metadata or None)
    with atomic_write(target, overwrite) as temporary:
        temporary.write_bytes(data)


def _changed(content: Any, rescued: Rescued) -> Any:
    """The same with every set of weights in it divided: a file may hold plain and averaged ones."""
    if not isinstance(content, Mapping):
        return content
    inner = {
        name: _changed(value, rescued) if name in WRAPPERS else value
        for name, value in content.items()
    }
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    powers = exponents(rescued.model)
    for name, tensor in tensors.items():
        # One name of ours, or none for what our networks do without.
        for ours in rename(clean({name: tensor}), rescued.model.spec.norm):
            if ours in powers:
                inner[name] = divided(tensor, powers[ours] * rescued.exponents[0])
    return type(content)(inner)  # type: ignore[call-arg]
