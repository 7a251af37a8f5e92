"""The resume state on disk: written atomically, the one before kept, damage noticed."""

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from iln.errors import InputError


def save_state(file: Path, state: dict[str, Any]) -> None:
    """Write `state` to `file`; what was there becomes `previous(file)`.

    At every moment, also under kill -9 or loss of power, one of the two is whole.
    """
    part = file.with_name(file.name + ".part")
    with part.open("wb") as out:
        torch.save(state, out)
        out.flush()
        os.fsync(out.fileno())
    if file.exists():
        file.replace(previous(file))
    part.replace(file)


def load_state(file: Path, say: Callable[[str], None]) -> dict[str, Any] | None:
    """The newest whole state, on the CPU; None if none was ever saved.

    A damaged newest state is reported through `say` and removed, so that the next save does not
    move it over the good one. Raises InputError if there are states but none is whole.
    """
    found = [f for f in (file, previous(file)) if f.exists()]
    for candidate in found:
        try:
            with zipfile.ZipFile(candidate) as archive:  # torch.load itself checks no checksum
                if (broken := archive.testzip()) is not None:
                    raise zipfile.BadZipFile(f"wrong checksum of {broken}")
            state: dict[str, Any] = torch.load(candidate, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, zipfile.BadZipFile, pickle.PickleError) as error:
            say(f"warning: {candidate} is damaged ({error}); looking for the one before")
            damaged = candidate
        else:
            if candidate != found[0]:
                found[0].unlink()
            return state
    if found:
        raise InputError(f"{damaged} is damaged and there is no older state; start a new run")
    return None


def previous(file: Path) -> Path:
    """Where the state before the newest is kept."""
    return file.with_name(f"{file.stem}.previous{file.suffix}")
