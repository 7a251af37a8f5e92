"""Rescued checkpoints as files: in their authors' own layout, or in ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from iln.atomic import atomic_write, printable
from iln.backbones.residual_stream import divided, exponents
from iln.checkpoints.files import about, kind_of, located, opened, read_content
from iln.checkpoints.native import describe, save
from iln.checkpoints.published import clean, rename
from iln.checkpoints.wrappers import prefixes
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
        elif rescued.in_steps or _is_ours(path):
            said = describe(path) if _is_ours(path) else dict.fromkeys(_SAID)
            before = said["training"] if isinstance(said["training"], dict) else {}
            training = {**before, "stream_divided_by_2_to_the": list(rescued.exponents)}
            save(
                rescued.model,
                target,
                overwrite=overwrite,
                task=said["task"],
                training=training,
                scores=said["scores"],
                licence=said["licence"],
            )
        else:
            _write_safetensors(path, target, rescued, overwrite)


_SAID = ("task", "training", "scores", "licence")


def _is_ours(path: Path) -> bool:
    if kind_of(path) != "safetensors":
        return False
    with opened(path) as file:
        return "iln" in (file.metadata() or {})


def _write_pickle(path: Path, target: Path, rescued: Rescued, overwrite: bool) -> None:
    changed = _changed(read_content(path)[0], rescued)
    with atomic_write(target, overwrite) as temporary:
        torch.save(changed, temporary)


def _write_safetensors(path: Path, target: Path, rescued: Rescued, overwrite: bool) -> None:
    weights, metadata = read_content(path)
    data = safetensors.torch.save(_changed(weights, rescued), metadata or None)
    with atomic_write(target, overwrite) as temporary:
        temporary.write_bytes(data)


def _changed(content: Any, rescued: Rescued) -> Any:
    """The same with every set of weights in it divided: a file may hold plain and averaged ones."""
    if not isinstance(content, Mapping):
        return content
    inner = {name: _changed(value, rescued) for name, value in content.items()}
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    ours = _our_names(tensors, rescued.model.spec.norm)
    powers = exponents(rescued.model)
    for name, tensor in tensors.items():
        if (power := powers.get(ours.get(name, ""))) is not None:
            inner[name] = divided(tensor, power * rescued.exponents[0])
    return type(content)(inner)  # type: ignore[call-arg]


def _our_names(tensors: Mapping[str, Tensor], norm: str) -> dict[str, str]:
    """What the tensors of a file are called in our networks, by their names there."""
    found = {}
    for prefix in prefixes(tensors):
        for name, tensor in tensors.items():
            if name.startswith(prefix):
                for cleaned in rename(clean({name.removeprefix(prefix): tensor}), norm):
                    found[name] = cleaned
    return found
