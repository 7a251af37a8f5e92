"""Files of `torch.save`, read without running anything of them."""

from __future__ import annotations

import os
import pickle
import re
import warnings
import zipfile
from argparse import Namespace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch

from iln.errors import InputError

_ZIP = b"PK\x03\x04"
_FOLDER = 0x10  # of an entry's attributes in MS-DOS


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
