"""One format out, many in.

`save` writes one safetensors file whose metadata says everything needed to rebuild the network:
backbone, spec (norm, eps and input statistics are part of it), and, where given, what it was
trained for, on what, how well it does, and its licence. `load` reads such files, and those that
others publish (see `iln.foreign` for what they leave out and how that is filled in).

The metadata is one JSON object under the key `iln`:

    format     1; a file with a higher number is refused
    backbone   `swinir`, `hat` or `drct`
    spec       every field of the backbone's spec
    checksum   CRC-32 of all tensors' bytes, in the order of their names
    task, training, scores, licence   any JSON, or null
"""

from __future__ import annotations

import contextlib
import difflib
import json
import logging
import os
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib import resources
from importlib.resources.abc import Traversable
from math import prod
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from iln.atomic import atomic_write, printable
from iln.backbones import BACKBONES, Backbone, Spec, from_spec
from iln.errors import InputError
from iln.foreign import Answers, clean, read_pickle, recognise, rename

FORMAT = 1
_KEY = "iln"
_SUFFIX = ".safetensors"
_DESCRIPTION = ("task", "training", "scores", "licence")
_STORED = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_WRAPPERS = ("module", "_orig_mod")
_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
_MAX_HEADER = 100_000_000  # safetensors' own limit

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

    name_or_file: a shipped model's name (`shipped()` lists them), or a file: one of `save`'s,
        or an official one of SwinIR, HAT, DRCT or i-LN HAT, in PyTorch's format or safetensors.
        The content decides, not the suffix; pickles are read with `weights_only=True`.
    norm, input_stats, img_range, eps, conv_scale: for files of others, which do not say them;
        each is otherwise filled in by convention (`iln.foreign`), and one line of the log
        (logger `iln`, level INFO) tells what was assumed. A HAT whose norms are called weight
        and bias needs `norm`: "ln" or "i-ln".
    device: where the network shall be.

    The state of the random number generators stays as it was.

    Raises InputError if there is no such name or file, if the file is damaged, unsafe, or none
    of these networks, or if an argument contradicts it.
    """
    answers = Answers(
        norm=norm, input_stats=input_stats, img_range=img_range, eps=eps, conv_scale=conv_scale
    )
    with _located(name_or_file) as path, _about(path):
        weights, metadata = _read(path)
        if _KEY in metadata:
            model = _rebuild(weights, metadata[_KEY], answers)
        else:
            model = _build_foreign(weights, answers, path)
    return _move(model.eval(), device)


def save(
    model: nn.Module,
    file: str | os.PathLike[str],
    *,
    dtype: torch.dtype | None = None,
    overwrite: bool = False,
    task: Any = None,
    training: Any = None,
    scores: Any = None,
    licence: Any = None,
) -> None:
    """Write a network to one safetensors file, whole or not at all, that `load` rebuilds it from.

    model: one of our backbones, also inside DistributedDataParallel or torch.compile.
    file: the name to write, ending in `.safetensors`.
    dtype: how parameters are stored: float32, float16 (half the size) or bfloat16; as they are
        if None. Running averages of BatchNorm are never narrowed.
    overwrite: replace an existing file.
    task, training, scores, licence: what the model is for, what it was trained on and how, what
        it reaches, and under which terms it may be used: text, or anything JSON can hold.

    Raises InputError if the file exists already, cannot be written or has another suffix, if
    the model is none of our backbones, if a weight does not fit `dtype`, or if a description
    does not fit JSON.
    """
    backbone = _unwrapped(model)
    shown = printable(file)
    if Path(file).suffix != _SUFFIX:
        raise InputError(f"{shown}: the name of a weights file must end in {_SUFFIX}")
    if dtype is not None and dtype not in _DTYPES:
        accepted = ", ".join(map(_dtype_name, _DTYPES))
        raise InputError(f"dtype is {_dtype_name(dtype)}; accepted: {accepted}")
    weights = _stored(backbone, dtype)
    card = {
        "format": FORMAT,
        "backbone": _backbone_name(backbone.spec),
        "spec": asdict(backbone.spec),
        "checksum": _checksum(weights),
        **_json_only(task=task, training=training, scores=scores, licence=licence),
    }
    metadata = {_KEY: json.dumps(card, allow_nan=False)}
    with atomic_write(file, overwrite) as temporary:
        # Bytes, because safetensors' own writing reports a full disk in a way of its own.
        temporary.write_bytes(safetensors.torch.save(weights, metadata))


def describe(name_or_file: str | os.PathLike[str]) -> dict[str, Any]:
    """What a file written by `save`, or a shipped model, says of itself; no weights are loaded.

    Returns `file`, `backbone`, `spec` (a dict of its fields), `task`, `training`, `scores`,
    `licence`, `parameters` (how many numbers are stored), `dtype` (of most of them: `float32`,
    `float16` or `bfloat16`) and `bytes`.
    Raises InputError if there is no such file or it was not written by `save`.
    """
    with _located(name_or_file) as path, _about(path):
        undescribed = "holds no description; only files written by iln.save do"
        if _kind(path) != "safetensors":
            raise InputError(undescribed)
        with _opened(path) as file:
            metadata = file.metadata() or {}
            if _KEY not in metadata:
                raise InputError(undescribed)
            card = _parse(metadata[_KEY])
            sizes: Counter[str] = Counter()
            for name in file.keys():  # noqa: SIM118 - no mapping
                part = file.get_slice(name)
                sizes[part.get_dtype()] += prod(part.get_shape())
        most = max(sizes, key=lambda stored: sizes[stored], default="")
        return {
            "file": str(path),
            "backbone": card["backbone"],
            "spec": asdict(card["spec"]),
            **{name: card[name] for name in _DESCRIPTION},
            "parameters": sizes.total(),
            "dtype": _STORED.get(most, most),
            "bytes": path.stat().st_size,
        }


def shipped() -> list[str]:
    """The names of the models that come with the package."""
    return sorted(_shipped())


# --- finding -------------------------------------------------------------------------------


def _zoo() -> Traversable:
    return resources.files("iln.zoo")


def _shipped() -> dict[str, Traversable]:
    files = [entry for entry in _zoo().iterdir() if entry.name.endswith(_SUFFIX)]
    return {entry.name.removesuffix(_SUFFIX): entry for entry in files}


@contextlib.contextmanager
def _located(name_or_file: str | os.PathLike[str]) -> Iterator[Path]:
    """The file behind a name; only text without a folder can be a name."""
    if isinstance(name_or_file, str) and Path(name_or_file).name == name_or_file:
        known = _shipped()
        if name_or_file in known:
            with resources.as_file(known[name_or_file]) as path:
                yield path
            return
        if "\0" in name_or_file or not os.path.lexists(name_or_file):
            raise InputError(_unknown(printable(name_or_file), sorted(known)))
    yield Path(name_or_file)


def _unknown(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    return (
        f"no shipped model and no file is called {name!r}; {hint}"
        f"shipped: {', '.join(known) or 'none'}; the path of a weights file is accepted as well"
    )


@contextlib.contextmanager
def _about(path: Path) -> Iterator[None]:
    """Begin the message of every error with the file's name."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{printable(path)}: {error}") from error.__cause__


# --- reading -------------------------------------------------------------------------------


def _kind(path: Path) -> str:
    """`safetensors` or `torch`, by the first bytes; InputError for anything else."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except FileNotFoundError:
        raise InputError("no such file; give a weights file or a shipped model's name") from None
    except IsADirectoryError:
        raise InputError("is a folder; give a weights file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot be read: {reason}") from error
    if not head:
        raise InputError("is empty")
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= _MAX_HEADER:
        return "safetensors"
    if head.startswith((b"PK\x03\x04", b"\x80")):
        return "torch"
    # What a failed download leaves behind is a web page or a pointer of Git LFS.
    text = " (it is text)" if head.isascii() and head.decode("ascii").isprintable() else ""
    raise InputError(f"is no weights file{text}; expected safetensors or a file of torch.save")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        file = safetensors.safe_open(path, framework="pt")
    except Exception as error:  # SafetensorError, and OSError or ValueError besides
        raise InputError("is a damaged or cut off safetensors file; get it again") from error
    with file:
        yield file


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a file, and a safetensors file's metadata."""
    if _kind(path) == "torch":
        return read_pickle(path), {}
    with _opened(path) as file:
        try:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except Exception as error:  # a type of number that this PyTorch does not have
            raise InputError(f"holds tensors that cannot be read: {_line(error)}") from error
        return weights, file.metadata() or {}


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
    backbone, values = str(card.get("backbone")), card.get("spec")
    if backbone not in BACKBONES:
        raise InputError(f"names a backbone {backbone!r}; known: {', '.join(BACKBONES)}")
    if not isinstance(values, dict):
        raise InputError("has damaged iln metadata (no spec); get the file again")
    spec_type, _ = BACKBONES[backbone]
    for name, default in asdict(spec_type()).items():
        if name in values and not _like(values[name], default):
            raise InputError(f"says {name} {values[name]!r}; expected something like {default!r}")
    return {**dict.fromkeys(_DESCRIPTION), **card, "spec": spec_type.from_dict(values)}


def _like(value: Any, default: Any) -> bool:
    """Is a value from JSON of the kind that this hyperparameter has?"""
    if isinstance(default, tuple):
        return isinstance(value, list) and all(type(entry) is int for entry in value)
    if isinstance(default, float):
        return type(value) in (int, float)
    return type(value) is type(default)


def _rebuild(weights: dict[str, Tensor], text: str, answers: Answers) -> Backbone:
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
    return _filled(spec, weights)


def _check_size(spec: Spec, weights: Mapping[str, Tensor]) -> None:
    """Before anything is allocated: is the spec about a network of this size at all?"""
    first = weights.get("conv_first.weight")
    groups = {name.split(".")[1] for name in weights if name.startswith("layers.")}
    tables = [t for name, t in weights.items() if name.endswith("relative_position_bias_table")]
    fits = (
        first is not None
        and tuple(first.shape[:2]) == (spec.embed_dim, spec.in_chans)
        and len(groups) == len(spec.depths)
        and max(spec.depths) <= len(weights)
        and any(len(t) == (2 * spec.window - 1) ** 2 for t in tables)
    )
    if not fits:
        raise InputError("has metadata of another network than its weights are; get the file again")


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


def _json_only(**values: Any) -> dict[str, Any]:
    for name, value in values.items():
        try:
            same = json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise InputError(f"{name} does not fit JSON: {_line(error)}") from error
        values[name] = same
    return values


# --- other people's files --------------------------------------------------------------------


def _build_foreign(weights: dict[str, Tensor], answers: Answers, path: Path) -> Backbone:
    weights = clean(weights)
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    found = recognise(shapes, answers)
    model = _filled(found.spec, rename(weights, found.spec.norm))
    assumed = ", ".join(f"{name} {_plain(value)}" for name, value in found.assumed.items())
    log.info(
        "%s: recognised as %s, scale %d, norm %s; the file does not say, so by convention: %s",
        printable(path),
        found.backbone,
        found.spec.scale,
        found.spec.norm,
        assumed or "nothing (all was given)",
    )
    return model


# --- networks --------------------------------------------------------------------------------


def _filled(spec: Spec, weights: Mapping[str, Tensor]) -> Backbone:
    """The spec's network with exactly these weights, as float32."""
    try:
        with torch.random.fork_rng(devices=[]):  # building draws numbers that are then replaced
            model = from_spec(spec).float()
    except (RuntimeError, MemoryError) as error:
        raise InputError(f"is too large to be built: {_line(error)}") from error
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
            name
            for name in common
            if not weights[name].is_floating_point()
            or weights[name].layout is not torch.strided
            or weights[name].is_meta
        ],
    }
    found = [f"{what}: {_some(names)}" for what, names in problems.items() if names]
    if found:
        kind, norm = _backbone_name(model.spec), model.spec.norm
        raise InputError(f"does not fit a {kind} with norm {norm}: {'; '.join(found)}")


def _unwrapped(model: nn.Module) -> Backbone:
    """The backbone inside DistributedDataParallel or torch.compile."""
    inner = model
    while not isinstance(inner, Backbone):
        wrapped = [module for name, module in inner.named_children() if name in _WRAPPERS]
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
            f"device {str(device)!r} cannot be used: {_line(error)}; 'cpu' always can"
        ) from error


def _backbone_name(spec: Spec) -> str:
    return next(name for name, (kind, _) in BACKBONES.items() if type(spec) is kind)


# --- words -----------------------------------------------------------------------------------


def _some(names: list[str]) -> str:
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return printable(", ".join(names[:3])) + rest


def _line(error: BaseException) -> str:
    """The first line of an error's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
