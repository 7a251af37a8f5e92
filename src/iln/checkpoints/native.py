"""Save our checkpoint format; load ours and those that others publish.

`save` writes one safetensors file whose metadata says everything needed to rebuild the network:
backbone, spec (norm, eps and input statistics are part of it), and, where given, what it was
trained for, on what, how well it does, and its licence. `load` reads such files, and those that
others publish (see `iln.checkpoints.published` for what they leave out and how that is filled in).

The metadata is one JSON object under the key `iln`:

    format     1; 2 if weights are packed; 3 if this object is also a tensor (see below); a file
               with a higher number is refused
    backbone   `swinir`, `hat` or `drct`
    spec       every field of the backbone's spec
    checksum   CRC-32 of all tensors' bytes, in the order of their names
    packed     4 if weights of the body are stored in 4 bits (`iln.checkpoints.packing`); then
               also `parameters`, how many numbers there are
    ranges     smallest and largest input of each layer of the body, by its name, where they were
               measured for int8 (`iln quantize`)
    task, training, scores, licence   any JSON, or null
    card_checksum   CRC-32 of this object without this field, as JSON with sorted keys

Programs that see no metadata (spandrel, and converters) recognise an i-LN network by names and
shapes. Where these do not tell its whole spec, or weights are packed, the same object lies in the
file once more: a tensor of bytes, also called `iln`.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, replace
from math import prod
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from iln.atomic import atomic_write, printable
from iln.backbones import BACKBONES, Backbone, Spec, from_spec, name_of
from iln.checkpoints.files import (
    OUR_KEY,
    about,
    called,
    kind_of,
    located,
    opened,
    read_tensors,
    shipped_files,
)
from iln.checkpoints.hub import SUFFIX
from iln.checkpoints.packing import packed, unpacked
from iln.checkpoints.published import WRAPPERS, Answers, clean, has_gamma, recognise, rename
from iln.errors import InputError, first_line

FORMAT = 3
_DESCRIPTION = ("task", "training", "scores", "licence")
_STORED = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_WIDEST = 64
"""Windows, pixels a side: the table of who sees whom has as many entries as that to the fourth."""
_REPEATED = 1 << 16
"""Bytes of a tensor that may be fewer numbers in its file, repeated, as zeros and indices are."""
_DTYPES = (torch.float32, torch.float16, torch.bfloat16)

log = logging.getLogger("iln")


def load(
    name_or_file: str | os.PathLike[str],
    *,
    norm: str | None = None,
    input_stats: str | None = None,
    img_range: float | None = None,
    eps: float | None = None,
    conv_scale: float | None = None,
    device: str | torch.device = "cpu",
) -> Backbone:
    """A network with its weights, in eval mode, in float32 whatever the file stores.

    The state of the random number generators stays as it was.

    Args:
        name_or_file: a shipped model's name (`shipped()` lists them), or a file: one of `save`'s,
            or an official one of SwinIR, HAT, DRCT or i-LN HAT, in PyTorch's format or safetensors.
            The content decides, not the suffix; pickles are read with `weights_only=True`. Or the
            address of one on the Hugging Face Hub (`iln.checkpoints.hub`), safetensors only.
        norm: one of `iln.norm.NORMS`. This and the next four are for files of others, which do not
            say them: each is otherwise filled in by convention (`iln.checkpoints.published`), and
            one line of the log (logger `iln`, level INFO) tells what was assumed. A HAT whose norms
            are called weight and bias needs `norm`: "ln" or "i-ln".
        input_stats: what is taken from RGB input: `none`, `mean` or `mean+std`.
        img_range: the network's own value range, 1 or 255.
        eps: the number inside the norm's square root.
        conv_scale: the weight of HAT's convolution branch.
        device: where the network shall be.

    Raises:
        InputError: if there is no such name or file, if the file is damaged, unsafe, or none of
            these networks, or if an argument contradicts it.
    """
    answers = Answers(
        norm=norm, input_stats=input_stats, img_range=img_range, eps=eps, conv_scale=conv_scale
    )
    model, _ = load_explained(name_or_file, answers)
    return _move(model, device)


def as_model(model: object) -> str | os.PathLike[str] | Backbone:
    """A model as functions take one; a network that `torch.compile` made is the one inside.

    Raises:
        InputError: for anything else.
    """
    inner = getattr(model, "_orig_mod", model)
    if isinstance(inner, (str, os.PathLike, Backbone)):
        return inner
    raise InputError(
        f"a model of type {type(model).__name__}; accepted are a shipped model's name, a file's "
        "name, and a network of iln.build or iln.load"
    )


def load_explained(
    name_or_file: str | os.PathLike[str], answers: Answers
) -> tuple[Backbone, dict[str, Any]]:
    """As `load`, on the CPU, and what was assumed: by name, empty where the file says it all."""
    if not isinstance(name_or_file, (str, os.PathLike)):
        raise InputError(
            f"a file of type {type(name_or_file).__name__}; accepted are a shipped model's name "
            "and a file's name"
        )
    with located(name_or_file) as path, about(called(name_or_file, path)):
        part = re.search(r"-(\d+)-of-(\d+)\.\w+$", path.name)
        if part is not None and int(part[2]) > 1:
            raise InputError(
                f"is part {int(part[1])} of {int(part[2])} of the weights; join the tensors of all "
                "parts in one file"
            )
        weights, metadata = read_tensors(path)
        if OUR_KEY in metadata:
            return _rebuild(weights, metadata[OUR_KEY], answers).eval(), {}
        return from_weights(weights, answers, printable(called(name_or_file, path)))


def from_weights(
    weights: Mapping[str, Tensor], answers: Answers, shown: str
) -> tuple[Backbone, dict[str, Any]]:
    """As `load_explained`, from the tensors of a file alone.

    Args:
        shown: what the log calls it.
    """
    _check_plain(weights)
    if OUR_KEY in weights:
        return _rebuild(weights, _text(weights[OUR_KEY]), answers).eval(), {}
    model, assumed = _build_foreign(weights, answers, shown)
    return model.eval(), assumed


def said_by(source: str | os.PathLike[str]) -> dict[str, Any]:
    """What `describe` tells of a shipped model or a file; nothing for files of others."""
    try:
        return describe(source)
    except InputError:  # or a bad one, which loading will say more about
        return {}


def save(
    model: nn.Module,
    file: str | os.PathLike[str],
    *,
    dtype: torch.dtype | None = None,
    bits: int | None = None,
    overwrite: bool = False,
    task: Any = None,
    training: Any = None,
    scores: Any = None,
    licence: Any = None,
) -> None:
    """Write a network to one safetensors file, whole or not at all, that `load` rebuilds it from.

    Args:
        model: one of our backbones, also inside DistributedDataParallel or torch.compile.
        file: the name to write, ending in `.safetensors`.
        dtype: how parameters are stored: float32, float16 (half the size) or bfloat16; as they are
            if None. Running averages of BatchNorm are never narrowed.
        bits: 4 stores the weights of the body's linear layers and convolutions in 4.5 bits each,
            and the rest in float16; the network that `load` gives is a little another one then.
        overwrite: replace an existing file.
        task: what the model is for. This and the next three may be text, or anything JSON can hold.
        training: what it was trained on, and how.
        scores: what it reaches.
        licence: under which terms it may be used.

    Raises:
        InputError: if the file exists already, cannot be written or has another suffix, if the
            model is none of our backbones, if a weight does not fit `dtype`, or if a description
            does not fit JSON.
    """
    backbone = _unwrapped(model)
    shown = printable(file)
    if Path(file).suffix != SUFFIX:
        raise InputError(f"{shown}: the name of a weights file must end in {SUFFIX}")
    if bits not in (None, 4) or (bits is not None and dtype is not None):
        raise InputError(f"bits is {bits}; accepted: 4, or None, and without a dtype")
    if dtype is not None and dtype not in _DTYPES:
        accepted = ", ".join(map(_dtype_name, _DTYPES))
        raise InputError(f"dtype is {_dtype_name(dtype)}; accepted: {accepted}")
    weights = _stored(backbone, torch.float16 if bits else dtype)
    parameters = sum(tensor.numel() for tensor in weights.values())
    if bits:
        body = [f"{name}.weight" for name in backbone.body_layers()]
        weights = packed(
            {**weights, **{n: backbone.get_parameter(n).detach().cpu() for n in body}}, body
        )
    twice = has_gamma(weights) and (bits is not None or not _told(backbone.spec, weights))
    card = {
        "format": 3 if twice else 2 if bits else 1,
        **({"packed": bits, "parameters": parameters} if bits else {}),
        "backbone": name_of(backbone.spec),
        "spec": asdict(backbone.spec),
        "checksum": _checksum(weights),
        **({"ranges": backbone.ranges} if backbone.ranges else {}),
        **_json_only(task=task, training=training, scores=scores, licence=licence),
    }
    card["card_checksum"] = _card_checksum(card)
    metadata = {OUR_KEY: json.dumps(card, allow_nan=False)}
    if twice:
        weights[OUR_KEY] = torch.tensor(list(metadata[OUR_KEY].encode()), dtype=torch.uint8)
    with atomic_write(file, overwrite) as temporary:
        # Bytes, because safetensors' own writing reports a full disk in a way of its own.
        temporary.write_bytes(safetensors.torch.save(weights, metadata))


def describe(name_or_file: str | os.PathLike[str]) -> dict[str, Any]:
    """What a file written by `save`, or a shipped model, says of itself; no weights are loaded.

    Returns:
        `file`, `backbone`, `spec` (a dict of its fields), `task`, `training`, `scores`, `licence`,
        `parameters` (how many numbers are stored), `dtype` (of most of them: `float64`, `float32`,
        `float16` or `bfloat16`; `int4` where weights are packed) and `bytes`.

    Raises:
        InputError: if there is no such file or it was not written by `save`.
    """
    with located(name_or_file) as path, about(called(name_or_file, path)):
        undescribed = "holds no description; only files written by iln.save do"
        if kind_of(path) != "safetensors":
            raise InputError(undescribed)
        with opened(path) as file:
            metadata, names = file.metadata() or {}, set(file.keys())
            if OUR_KEY not in metadata and OUR_KEY not in names:
                raise InputError(undescribed)
            tensor = None if OUR_KEY in metadata else file.get_tensor(OUR_KEY)
            card = _parse(metadata[OUR_KEY] if tensor is None else _text(tensor))
            sizes: Counter[str] = Counter()
            for name in names - {OUR_KEY}:
                part = file.get_slice(name)
                sizes[part.get_dtype()] += prod(part.get_shape())
        most = max(sizes, key=lambda stored: sizes[stored], default="")
        return {
            "file": str(path),
            "backbone": card["backbone"],
            "spec": asdict(card["spec"]),
            **{name: card[name] for name in _DESCRIPTION},
            "parameters": card.get("parameters", sizes.total()),
            "dtype": "int4" if card.get("packed") else _STORED.get(most, most),
            "bytes": path.stat().st_size,
        }


def shipped() -> list[str]:
    """The names of the models that come with the package."""
    return sorted(shipped_files())


def _check_plain(weights: Mapping[str, Tensor]) -> None:
    """InputError for what a file does not hold number by number: it could take any memory."""
    for name, tensor in weights.items():
        if (
            tensor.layout is not torch.strided
            or tensor.is_meta
            or tensor.is_conj()
            or tensor.nbytes > max(tensor.untyped_storage().nbytes(), _REPEATED)
        ):
            raise InputError(
                f"holds {name!r} without all of its numbers; only plain, dense tensors are read: "
                "save them contiguous"
            )


# --- our own files -------------------------------------------------------------------------


def _parse(text: str) -> dict[str, Any]:
    """Our metadata, checked, with `spec` as a Spec."""
    try:
        card = json.loads(text)
        version = int(card["format"])
    except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError) as error:
        raise InputError("has damaged iln metadata; get the file again") from error
    if version > FORMAT:
        raise InputError(
            f"was written by a newer iln (format {version}; this one reads up to {FORMAT}); "
            "upgrade iln to load it"
        )
    if "card_checksum" in card and card["card_checksum"] != _card_checksum(card):
        raise InputError("has damaged iln metadata (its checksum is wrong); get the file again")
    backbone, values = str(card.get("backbone")), card.get("spec")
    if backbone not in BACKBONES:
        raise InputError(f"names a backbone {backbone!r}; known: {', '.join(BACKBONES)}")
    if not isinstance(values, dict):
        raise InputError("has damaged iln metadata (no spec); get the file again")
    spec_type, _ = BACKBONES[backbone]
    return {**dict.fromkeys(_DESCRIPTION), **card, "spec": spec_type.from_dict(values)}


def _told(spec: Spec, weights: Mapping[str, Tensor]) -> bool:
    """Whether names and shapes tell the whole spec, but for what is of training alone."""
    try:
        found = recognise({name: tuple(tensor.shape) for name, tensor in weights.items()})
    except InputError:
        return False
    return replace(found.spec, drop_path=spec.drop_path) == spec


def _text(card: Tensor) -> str:
    """Our metadata out of its tensor."""
    try:
        return bytes(card.flatten().tolist()).decode()  # of one number, bytes makes zeros
    except (ValueError, TypeError) as error:  # no bytes, or no text
        raise InputError("has damaged iln metadata; get the file again") from error


def _rebuild(weights: Mapping[str, Tensor], text: str, answers: Answers) -> Backbone:
    weights = {name: tensor for name, tensor in weights.items() if name != OUR_KEY}
    card = _parse(text)
    spec: Spec = card["spec"]
    for name, value in asdict(answers).items():
        if value is not None and getattr(spec, name, None) != value:
            raise InputError(
                f"says {name} {getattr(spec, name, None)!r} itself, so {value!r} contradicts it; "
                f"{name} is only for files that do not say it"
            )
    if "checksum" in card and card["checksum"] != _checksum(weights):
        raise InputError("is damaged: its checksum is wrong; get the file again")
    _check_size(spec, weights)
    model = _filled(spec, weights, packed=card.get("packed") is not None)
    model.ranges = _ranges(card.get("ranges"))
    return model


def _ranges(found: Any) -> dict[str, tuple[float, float]]:
    try:
        ranges = {str(name): (float(low), float(high)) for name, (low, high) in found.items()}
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        if found is None:
            return {}
        raise InputError("has damaged iln metadata (ranges); get the file again") from error
    if not all(math.isfinite(high - low) for low, high in ranges.values()):
        raise InputError("has damaged iln metadata (ranges); get the file again")
    return ranges


def _check_size(spec: Spec, weights: Mapping[str, Tensor]) -> None:
    """Before anything is allocated: is the spec about a network of this size at all?"""
    first = weights.get("conv_first.weight")
    groups = {name.split(".")[1] for name in weights if name.startswith("layers.")}
    fits = (
        first is not None
        and tuple(first.shape[:2]) == (spec.embed_dim, spec.input_chans)
        and len(groups) == len(spec.depths)
        and sum(spec.depths) <= len(weights)
        and all(size in _lengths(weights, ending) for ending, size in spec.sizes())
    )
    if not fits:
        raise InputError("has metadata of another network than its weights are; get the file again")


def _lengths(weights: Mapping[str, Tensor], ending: str) -> set[int]:
    """The first sizes of the tensors whose names end so."""
    return {t.shape[0] for name, t in weights.items() if name.endswith(ending) and t.ndim}


def _check_bulk(spec: Spec, weights: Mapping[str, Tensor]) -> None:
    """Before anything is allocated: do the weights suffice for one block of each group at least?

    A wrong size may ask for a network far larger than its file and the memory.
    """
    dim, hidden = spec.embed_dim, int(spec.embed_dim * spec.mlp_ratio)
    if spec.window > _WIDEST:
        raise InputError(f"has windows of {spec.window} pixels a side; at most {_WIDEST} are read")
    needed = len(spec.depths) * (4 * dim**2 + 2 * dim * hidden)
    held = 2 * sum(tensor.numel() for tensor in weights.values())  # a byte may hold two weights
    if needed > held:
        raise InputError(
            f"is too small for a network of {dim} channels and {hidden} in its feed-forward; "
            "get the file again"
        )


def _stored(model: Backbone, dtype: torch.dtype | None) -> dict[str, Tensor]:
    parameters = {name for name, _ in model.named_parameters()}
    stored = {}
    for name, tensor in model.state_dict().items():
        tensor = tensor.detach().to("cpu")
        narrowed = tensor.to(dtype) if dtype is not None and name in parameters else tensor
        if bool((narrowed.isfinite() != tensor.isfinite()).any()):
            raise InputError(f"{name} does not fit {_dtype_name(narrowed.dtype)}; use a wider type")
        stored[name] = narrowed.contiguous()
    return stored


def _checksum(weights: Mapping[str, Tensor]) -> int:
    total = 0
    for name in sorted(weights):
        flat = weights[name].contiguous().reshape(-1)
        total = zlib.crc32(flat.view(torch.uint8).numpy().data, total)
    return total


def _card_checksum(card: Mapping[str, Any]) -> int:
    rest = {name: value for name, value in card.items() if name != "card_checksum"}
    return zlib.crc32(json.dumps(rest, sort_keys=True).encode())


def _json_only(**values: Any) -> dict[str, Any]:
    for name, value in values.items():
        try:
            same = json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise InputError(f"{name} does not fit JSON: {first_line(error)}") from error
        values[name] = same
    return values


# --- other people's files --------------------------------------------------------------------


def _build_foreign(
    weights: Mapping[str, Tensor], answers: Answers, shown: str
) -> tuple[Backbone, dict[str, Any]]:
    weights = clean(weights)
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    found = recognise(shapes, answers)
    model = _filled(found.spec, rename(weights, found.spec.norm))
    assumed = ", ".join(f"{name} {_plain(value)}" for name, value in found.assumed.items())
    log.info(
        "%s: recognised as %s, scale %d, norm %s; the file does not say, so by convention: %s",
        shown,
        found.backbone,
        found.spec.scale,
        found.spec.norm,
        assumed or "nothing (all was given)",
    )
    return model, found.assumed


# --- networks --------------------------------------------------------------------------------


def _filled(spec: Spec, weights: Mapping[str, Tensor], *, packed: bool = False) -> Backbone:
    """The spec's network with exactly these weights, as float32."""
    _check_bulk(spec, weights)
    try:
        with torch.random.fork_rng(devices=[]):  # building draws numbers that are then replaced
            model = from_spec(spec).float()
    except (RuntimeError, MemoryError) as error:
        raise InputError(f"is too large to be built: {first_line(error)}") from error
    if packed:
        shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
        weights = unpacked(weights, shapes)
    _check_fit(model, weights)
    model.load_state_dict(weights)
    return model


def _check_fit(model: Backbone, weights: Mapping[str, Tensor]) -> None:
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    common = [name for name in wanted if name in weights]
    shapes = {name: tuple(weights[name].shape) for name in common}
    problems = {
        "missing": [name for name in wanted if name not in weights],
        "unexpected": [name for name in weights if name not in wanted],
        "wrong shape": [
            f"{name} {shapes[name]} instead of {wanted[name]}"
            for name in common
            if shapes[name] != wanted[name]
        ],
        "no floating-point numbers": [
            name for name in common if not weights[name].is_floating_point()
        ],
    }
    found = [f"{what}: {_some(names)}" for what, names in problems.items() if names]
    if found:
        kind, norm = name_of(model.spec), model.spec.norm
        raise InputError(f"does not fit a {kind} with norm {norm}: {'; '.join(found)}")


def _unwrapped(model: nn.Module) -> Backbone:
    """The backbone inside DistributedDataParallel or torch.compile."""
    inner = model
    while not isinstance(inner, Backbone):
        wrapped = [module for name, module in inner.named_children() if name in WRAPPERS]
        if not wrapped:
            raise InputError(
                f"{type(model).__name__} cannot be saved; accepted: {', '.join(BACKBONES)}"
            )
        inner = wrapped[0]
    return inner


def _move(model: Backbone, device: str | torch.device) -> Backbone:
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"device {str(device)!r} cannot be used: {first_line(error)}; 'cpu' always can"
        ) from error


# --- words -----------------------------------------------------------------------------------


def _some(names: list[str]) -> str:
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return printable(", ".join(names[:3])) + rest


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
