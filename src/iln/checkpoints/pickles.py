"""Files of `torch.save`, read without running anything of them."""

from __future__ import annotations

import logging
import os
import pickle
import re
import sys
import warnings
import zipfile
from argparse import Namespace
from collections import OrderedDict
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch

from iln.atomic import printable
from iln.errors import InputError

log = logging.getLogger("iln")

_ZIP = b"PK\x03\x04"
_FOLDER = 0x10  # of an entry's attributes in MS-DOS
_EXPANDED = 20
"""Times their size in the file that weights may have; torch.save never compresses, others may."""
_MOST_KINDS = 50
"""Kinds of objects beside the weights that are passed over in one file."""
_UNKNOWN = re.compile(r"Unsupported global: GLOBAL (\S+) was not")


def read_pickle(path: str | os.PathLike[str]) -> object:
    """What a file of `torch.save` holds, through `weights_only=True`: nothing is executed.

    Numbers and arrays of numpy beside the weights are read, and what else trainers often note
    there, such as options, names of files and dates; they are built from plain values alone. In
    place of objects of other packages, such as a trainer's settings, stands a plain dictionary,
    and a line of the log names their kinds.

    Raises:
        InputError: if the file is damaged, is something else, or wants to run code or build
            objects on loading.
    """
    passed: list[str] = []
    refused: Exception | None = None
    while True:
        try:
            if not passed:
                _check_archive(path)
            content = _loaded(path, passed)
        except InputError:
            raise
        except MemoryError as error:
            raise InputError("asks for more memory than there is") from error
        except Exception as error:  # on broken bytes zipfile and torch.load raise nearly anything
            refused = refused or error
            unknown = _UNKNOWN.search(str(error))
            kind = "" if unknown is None else unknown[1]
            if not _of_a_package(kind) or kind in passed or len(passed) == _MOST_KINDS:
                raise InputError(_why(refused)) from error
            passed.append(kind)
        else:
            if passed:
                log.info("%s: passes over its objects of %s", printable(path), ", ".join(passed))
            return content


def _loaded(path: str | os.PathLike[str], passed: list[str]) -> object:
    """passed: kinds of objects in whose place an empty dictionary stands."""
    known = [*_harmless_globals(), *((_Passed, kind) for kind in passed)]
    with warnings.catch_warnings(), torch.serialization.safe_globals(known):
        warnings.simplefilter("ignore")  # what is odd about a file is an error or nothing
        with Path(path).open("rb") as file:  # of a name, the suffix would count
            return torch.load(file, map_location="cpu", weights_only=True)


def _of_a_package(kind: str) -> bool:
    """Whether such an object is of neither Python nor PyTorch nor numpy: a trainer's own.

    What these have is either known to be harmless or refused by its name: files that mean harm use
    it, and whole networks hold it.
    """
    root = kind.partition(".")[0]
    standard = root in sys.stdlib_module_names and root != "__main__"
    return "." in kind and not standard and root not in ("torch", "numpy")


class _Passed:
    """What is called in place of a class or a function: it makes a dictionary, whatever it is
    given. torch.load fills in what such an object holds, and does nothing else to it."""

    def __new__(cls, *given: object, **named: object) -> Any:
        found: OrderedDict[object, object] = OrderedDict()
        found.__dict__ = _NoAttributes()
        return found


class _NoAttributes(dict[str, Any]):
    """Of what stands for an object: its own could hide a method of the dictionary, as `items`."""

    def update(self, *given: object, **named: object) -> None:
        """Which is how torch.load would set them."""


def _list(*given: object) -> list[object]:
    """In place of `deque`, which is filled afterwards."""
    return []


_BESIDE = [
    *(f"builtins.{name}" for name in ("bool", "bytes", "dict", "float", "frozenset", "int")),
    *(f"builtins.{name}" for name in ("list", "object", "range", "slice", "str", "tuple", "type")),
    *("collections.defaultdict", "decimal.Decimal", "fractions.Fraction", "types.SimpleNamespace"),
    *("torch.torch_version.TorchVersion", "typing.Any", "uuid.UUID"),
]
"""What trainers note, too, and nobody needs here."""


def _harmless_globals() -> list[Any]:
    found: list[Any] = [Namespace, date, datetime, time, timedelta]
    found += [timezone, *_numpy_globals()]
    found += [(_list, "collections.deque"), *((_Passed, name) for name in _BESIDE)]
    for home in ("pathlib", "pathlib._local"):  # the second from Python 3.13 on
        for name in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"):
            found.append((PurePosixPath, f"{home}.{name}"))  # which touches no file
    return found


def _numpy_globals() -> list[Any]:
    """What numpy's numbers, texts and arrays are pickled by, under the names of its first and
    second version."""
    # An array itself may be filled, and has a name that no pickle can say: called, it would take
    # any amount of memory.
    found: list[Any] = [np.dtype, (_Passed, "numpy.ndarray"), (np.ndarray, "\n")]
    for home in ("numpy.core.multiarray", "numpy._core.multiarray"):
        found += [(_number, f"{home}.scalar"), (_array, f"{home}._reconstruct")]
    plain = (np.number, np.bool_, np.character, np.datetime64, np.timedelta64)
    kinds = {kind for kind in (np.bool_, *np.sctypeDict.values()) if issubclass(kind, plain)}
    return [*found, *sorted({type(np.dtype(kind)) for kind in kinds}, key=repr)]


def _number(kind: Any, content: Any) -> Any:
    """A number or a text of numpy from its bytes: without them it would be of any size, in zeros.

    Raises:
        ValueError: if there are fewer or more.
    """
    if len(content) != kind.itemsize:
        raise ValueError
    return np.float64(0).__reduce__()[0](kind, content)  # type: ignore[operator]


def _array(*given: object) -> np.ndarray[Any, Any]:
    """An empty array, which is filled afterwards."""
    return np.zeros(0, np.uint8)


def _why(error: Exception) -> str:
    if isinstance(error, pickle.UnpicklingError):
        said = str(error)
        if "Unsupported operand" in said:
            return (
                "refused: it is pickled by a protocol that cannot be read without running it "
                "(nothing of it was run); save it with torch.save's own pickle_protocol"
            )
        if "DTensors" in said:
            return (
                "holds one process's share of the weights (DTensor); save the full state dict, for "
                "instance by torch.distributed.checkpoint.state_dict with full_state_dict=True"
            )
        called = re.search(r"(?:GLOBAL|function|but got <class ')\s*([\w.]+)", said)
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
            size = sum(entry.file_size for entry in entries)
            if size > _EXPANDED * Path(path).stat().st_size:
                raise InputError(
                    f"is {size / 1e9:.1f} GB large once it is unpacked, and compressed to a small "
                    "part of that: no weights are"
                )
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
