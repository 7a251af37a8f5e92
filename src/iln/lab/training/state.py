"""The resume state on disk: written atomically, the one before kept, damage noticed.

One process writes one file (`save_state`). Where the parameters are spread over processes
(FSDP2), each writes its share into a folder, by torch.distributed.checkpoint, and any other
number of processes can read it (`save_shares`).
"""

import errno
import json
import os
import shutil
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict_loader import load as load_distributed
from torch.distributed.checkpoint.state_dict_saver import save as save_distributed

from iln.atomic import printable
from iln.errors import InputError, first_line
from iln.lab.training.distributed import World
from iln.lab.training.report import Say

SAVED = "done.json"
"""Written last into a folder of shares: it is whole."""


def save_state(file: Path, state: dict[str, Any]) -> None:
    """Write `state` to `file`; what was there becomes `previous(file)`.

    At every moment, also under kill -9 or loss of power, one of the two is whole.

    Raises:
        OSError: where the disk is full; both are then as they were.
    """
    part = file.with_name(file.name + ".part")
    try:
        with part.open("wb") as out:
            try:
                torch.save(state, out)
            except RuntimeError as error:  # what torch makes of a full disk
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
            out.flush()
            os.fsync(out.fileno())
        if file.exists():
            file.replace(previous(file))
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def load_state(
    file: Path, say: Say, take: Callable[[dict[str, Any]], None] = lambda state: None
) -> dict[str, Any] | None:
    """The newest whole state, on the CPU; None if none was ever saved.

    A damaged newest state is reported through `say` and removed, so that the next save does not
    move it over the good one.

    Args:
        take: is given it; where it raises, the state is damaged, too.

    Raises:
        InputError: if there are states but none is whole.
    """
    found = [f for f in (file, previous(file)) if f.exists()]
    for candidate in found:
        try:
            with zipfile.ZipFile(candidate) as archive:  # torch.load itself checks no checksum
                if (broken := archive.testzip()) is not None:
                    raise zipfile.BadZipFile(f"wrong checksum of {broken}")
            state: dict[str, Any] = torch.load(candidate, map_location="cpu", weights_only=True)
            take(state)
        except Exception as error:  # on broken bytes zipfile and torch.load raise nearly anything
            why = first_line(error)
            say(f"warning: {printable(candidate)} is damaged ({why}); looking for the one before")
            damaged = candidate
        else:
            if candidate != found[0]:
                found[0].unlink(missing_ok=True)  # another process may have been faster
            return state
    if found:
        raise InputError(
            f"{printable(damaged)} is damaged and there is no older state; start a new run"
        )
    return None


def save_shares(folder: Path, tensors: dict[str, Any], rest: dict[str, Any], world: World) -> None:
    """Write `tensors`, spread over all processes, and plain values `rest`; keeps the one before.

    All processes call it. As with `save_state`, one of the two folders is whole at every moment.
    """
    part = folder.with_name(folder.name + ".part")
    if world.first and part.exists():
        shutil.rmtree(part)
    world.wait()
    try:
        with _alone_or_not():
            save_distributed(tensors, checkpoint_id=str(part))
    except CheckpointException as error:  # what torch makes of a full disk
        reasons = [reason for reason, _ in error.failures.values()]
        raise OSError(str(reasons[0] if reasons else error)) from error
    if world.first:
        with (part / SAVED).open("w") as out:
            json.dump(rest, out)
            out.flush()
            os.fsync(out.fileno())
        if folder.exists():
            if previous(folder).exists():
                shutil.rmtree(previous(folder))
            folder.replace(previous(folder))
        part.replace(folder)
    world.wait()


def load_shares(
    folder: Path, tensors: dict[str, Any], world: World, say: Say
) -> dict[str, Any] | None:
    """Fill `tensors` in place from the newest whole folder and return `rest`; None if none is.

    All processes call it.
    """
    found = [f for f in (folder, previous(folder)) if f.exists()]
    for candidate in found:
        try:
            rest: dict[str, Any] = json.loads((candidate / SAVED).read_text())
            with _alone_or_not():
                load_distributed(tensors, checkpoint_id=str(candidate))
        except (OSError, ValueError, CheckpointException) as error:
            reason = str(error).partition("\n")[0]
            shown = printable(candidate)
            say(f"warning: {shown} is damaged ({reason}); looking for the one before")
        else:
            world.wait()
            if candidate != found[0] and world.first:
                shutil.rmtree(found[0])
            return rest
    if found:
        raise InputError(
            f"{printable(folder)} is damaged and there is no older state; start a new run"
        )
    return None


@contextmanager
def _alone_or_not() -> Iterator[None]:
    """One process may do it as well, which PyTorch warns of."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"torch\.distributed is disabled")
        yield


def previous(file: Path) -> Path:
    """Where the state before the newest is kept."""
    return file.with_name(f"{file.stem}.previous{file.suffix}")
