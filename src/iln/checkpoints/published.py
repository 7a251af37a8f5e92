"""Weights as others publish them: read safely, unwrapped, and recognised by names and shapes.

Read are the official files of SwinIR, HAT, DRCT and i-LN HAT, whose parameters have the same
names as ours. What such a file does not say is filled in by its authors' convention, and each of
these can be overridden:

    img_range     255 for a SwinIR with window 7 (its JPEG models), else 1
    conv_scale    0.01 (HAT)
    norm          i-LN where the norms hold gamma and beta; LN where a SwinIR or DRCT has weight
                  and bias; a HAT with weight and bias may be either, so there `norm` is asked for
    eps           1e-5; 1e-4 for i-LN and LN*
    input_stats   `mean+std` with gamma and beta; `mean` with weight and bias; `none` for a file
                  with weight and bias that is said to be i-LN or LN*

The last line is traiNNer-redux, whose own i-LN names its parameters like a LayerNorm. Such files
are computed as the paper's code does it. An early version of that project (commit 3f8b56f) left
the conv branch unscaled and normalised after the patch embedding, under the same names: what was
trained with it gives slightly different pictures here.
"""

from __future__ import annotations

import os
import pickle
import re
import warnings
import zipfile
from argparse import Namespace
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from iln.atomic import printable
from iln.backbones import BACKBONES, Backbone, Spec
from iln.backbones.shapes import Shapes
from iln.errors import InputError
from iln.norm import NORMS

T = TypeVar("T")

_ZIP = b"PK\x03\x04"
_FOLDER = 0x10  # of an entry's attributes in MS-DOS


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What the caller knows of a file that does not say it; None leaves it to the convention."""

    norm: str | None = None
    input_stats: str | None = None
    img_range: float | None = None
    eps: float | None = None
    conv_scale: float | None = None


@dataclass(frozen=True)
class Recognised:
    """backbone, spec: the network. assumed: by name, what only the convention says."""

    backbone: str
    spec: Spec
    assumed: dict[str, Any]


# --- reading -------------------------------------------------------------------------------


def read_pickle(path: str | os.PathLike[str]) -> object:
    """What a file of `torch.save` holds, through `weights_only=True`: nothing is executed.

    Numbers and arrays of numpy beside the weights are read, and what else trainers often note
    there, such as options, names of files and dates; they are built from plain values alone.

    Raises:
        InputError: if the file is damaged, is something else, or wants to run code or build
            objects on loading.
    """
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_harmless_globals()):
            warnings.simplefilter("ignore")  # what is odd about a file is an error or nothing
            _check_archive(path)
            with Path(path).open("rb") as file:  # of a name, the suffix would count
                return torch.load(file, map_location="cpu", weights_only=True)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # on broken bytes zipfile and torch.load raise nearly anything
        raise InputError(_why(error)) from error


def _harmless_globals() -> list[Any]:
    found: list[Any] = [Namespace, date, datetime, timedelta]
    found += [timezone, *_numpy_globals()]
    for home in ("pathlib", "pathlib._local"):  # the second from Python 3.13 on
        for name in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"):
            found.append((PurePosixPath, f"{home}.{name}"))  # which touches no file
    return found


def _numpy_globals() -> list[Any]:
    """What numpy's numbers and arrays are pickled by, under the names of its first and second
    version."""
    scalar = np.float64(0).__reduce__()[0]
    rebuild = np.zeros(0).__reduce__()[0]
    found: list[Any] = [np.dtype, np.ndarray]
    for home in ("numpy.core.multiarray", "numpy._core.multiarray"):
        found += [(scalar, f"{home}.scalar"), (rebuild, f"{home}._reconstruct")]
    kinds = (np.bool_, *np.sctypeDict.values())
    numeric = {kind for kind in kinds if issubclass(kind, (np.number, np.bool_))}
    return [*found, *sorted({type(np.dtype(kind)) for kind in numeric}, key=repr)]


def _why(error: Exception) -> str:
    if isinstance(error, pickle.UnpicklingError):
        called = re.search(r"(?:GLOBAL|function) ([\w.]+)", str(error))
        wish = f"it wants to use {called[1]} on loading" if called else "it is no plain state dict"
        return (
            f"refused: {wish}; only tensors in plain containers are accepted (nothing of it "
            "was run): ask for a safetensors file or a state dict"
        )
    return "damaged, cut off, or no PyTorch file; download or export it again"


def _check_archive(path: str | os.PathLike[str]) -> None:
    """If it is a zip: torch.load does not look at the sums that torch.save stores.

    So this comes first, and the sizes and names that torch.load then reads are those written.
    """
    with Path(path).open("rb") as file:
        if file.read(len(_ZIP)) != _ZIP:
            return
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            _check_kind([entry.filename for entry in entries])
            # torch.load takes these for empty, and leaves in their tensors what was in memory.
            folders = [e.filename for e in entries if e.external_attr & _FOLDER and e.file_size]
            # All zero where torch was told not to compute any.
            broken = archive.testzip() if any(entry.CRC for entry in entries) else None
    if broken is not None:
        raise InputError(f"damaged: the checksum of {broken!r} in it is wrong; download it again")
    if folders:
        raise InputError(f"damaged: {folders[0]!r} in it is marked as a folder; download it again")


def _check_kind(names: list[str]) -> None:
    """Refuse, by its name, what is a zip archive of another kind."""
    last = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in last and any("/code/" in f"/{name}" for name in names):
        raise InputError(
            "is a TorchScript program, which holds no plain weights; save the network's "
            "state_dict() with torch.save or safetensors"
        )
    if "data.pkl" in last:
        return
    if any(name.endswith(".npy") for name in last):
        raise InputError("is a NumPy archive (npz); save a state dict of tensors instead")
    if any(name.endswith((".pt2", ".json")) and "models" in name for name in names):
        raise InputError("is a program of torch.export; save the network's state_dict() instead")
    raise InputError("is a ZIP archive and no file of torch.save; unpack it first")


WRAPPERS = ("module", "_orig_mod")
"""What DistributedDataParallel and torch.compile put into names, anywhere."""


def clean(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names without the prefixes of DDP and torch.compile, and without what we build ourselves.

    Index tables and masks are shaped by the size of the training crops, so they are of no use.
    """
    parts = {name: name.split(".") for name in weights}
    return {
        ".".join(p for p in parts[name] if p not in WRAPPERS): tensor
        for name, tensor in weights.items()
        if not parts[name][-1].startswith(("relative_position_index", "attn_mask"))
    }


def rename(weights: Mapping[str, T], norm: str) -> dict[str, T]:
    """A cleaned state dict (or its shapes), norms named as `norm` names its parameters."""
    if not NORMS[norm].holistic:
        return dict(weights)
    for old, new in (("weight", "gamma"), ("bias", "beta")):
        pattern = re.compile(rf"((?:^|\.)norm\d?)\.{old}$")
        weights = {pattern.sub(rf"\1.{new}", name): tensor for name, tensor in weights.items()}
    return dict(weights)


# --- recognising ---------------------------------------------------------------------------


def recognise(shapes: Shapes, answers: Answers | None = None) -> Recognised:
    """Backbone and every hyperparameter of a cleaned state dict, given as {name: shape}.

    Raises:
        InputError: if it is none of our backbones or a variant that we do not build, if the norm
            cannot be known, or if an answer contradicts the file.
    """
    answers = answers or Answers()
    name = _backbone(shapes)
    spec_type, backbone = BACKBONES[name]
    found = backbone.read_shapes(shapes)
    norm = _norm(backbone, shapes, answers.norm)
    assumed: dict[str, Any] = {
        **backbone.conventions(found),
        "eps": NORMS[norm].default_eps,
        "input_stats": _input_stats(shapes, norm),
    }
    if "conv_scale" not in assumed and answers.conv_scale is not None:
        raise InputError(f"has no conv_scale: it is a {backbone.title}, which has no such value")
    given = {name: getattr(answers, name) for name in assumed}
    given = {name: value for name, value in given.items() if value is not None}
    spec = spec_type(**found, norm=norm, **{**assumed, **given})
    return Recognised(name, spec, {k: v for k, v in assumed.items() if k not in given})


def _backbone(shapes: Shapes) -> str:
    # A later one may have all that an earlier one has, and more.
    for name, (_, backbone) in reversed(BACKBONES.items()):
        if backbone.mark in shapes and "conv_first.weight" in shapes:
            return name
    some = printable(", ".join(list(shapes)[:3])) + (", ..." if len(shapes) > 3 else "")
    *others, last = [backbone.title for _, backbone in BACKBONES.values()]
    raise InputError(
        f"is no {', '.join(others)} or {last} (it holds {some}); only these networks are read"
    )


def _norm(backbone: type[Backbone], shapes: Shapes, asked: str | None) -> str:
    if asked is not None and asked not in NORMS:
        raise InputError(f"cannot have norm {asked!r}; known: {', '.join(NORMS)}")
    if has_gamma(shapes):
        if asked is not None and not NORMS[asked].holistic:
            raise InputError(
                f"cannot have norm {asked!r}: its norms hold gamma and beta; "
                "accepted: 'i-ln' (what it is, as a rule) or 'ln*'"
            )
        return asked or "i-ln"
    if asked is not None:
        return asked
    if not any(name.endswith(".norm1.weight") for name in shapes):
        raise InputError(f"does not tell its norm; give norm (--norm): {', '.join(NORMS)}")
    if not backbone.names_tell_norm:
        raise InputError(
            f"is a {backbone.title} whose norms are called weight and bias: with LayerNorm or "
            f"another project's i-LN {backbone.title}, and a guess could give wrong pictures; "
            "say which: norm='ln' or norm='i-ln' (--norm ln or --norm i-ln)"
        )
    return "ln"


def has_gamma(names: Iterable[str]) -> bool:
    """Whether these are the names of an i-LN's or LN*'s parameters."""
    return any(name.endswith(".norm1.gamma") for name in names)


def _input_stats(shapes: Shapes, norm: str) -> str:
    if has_gamma(shapes):
        return "mean+std"
    return "none" if NORMS[norm].holistic else "mean"
