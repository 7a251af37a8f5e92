"""What memory there is, what the process holds, and maps that lie on disk instead."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import math
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from numbers import Real
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from iln.errors import InputError

_UNITS = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_USUAL_PROCESS = 400 * 2**20
"""What Python with PyTorch holds, where the system does not say."""
_USUAL_MACHINE = 4 * 2**30


def parse_bytes(text: str | int | float) -> int:
    """Bytes from a number, or from text such as `4GB`, `3.5 GiB`, `800M`; K is 1024 bytes.

    Raises:
        InputError: for anything else.
    """
    number: Any = text
    if isinstance(number, Real) and not isinstance(text, bool):
        size = float(number) if number < 2**60 else math.inf  # an int may exceed any float
    else:
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?\s*", str(text).lower())
        if not match:
            raise InputError(f"memory {text!r} is no size; accepted are such as 4GB or 800MB")
        size = float(match[1]) * _UNITS[match[2]]
    if not 2**20 <= size < 2**60:
        raise InputError(f"memory {text!r} is no sensible size; accepted are such as 4GB or 800MB")
    return int(size)


def in_words(size: int) -> str:
    """Bytes as people read them, such as `3.5 GiB`."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 // 10 else f"{size / 2**20:.1f} MiB"


def resident() -> int:
    """Bytes of memory that this process holds (an estimate where the system does not tell)."""
    try:
        fields = Path("/proc/self/statm").read_text().split()
    except OSError:
        return _USUAL_PROCESS
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def release() -> None:
    """Give freed memory back to the system: glibc keeps much of it, and `resident` counts it."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def available() -> int:
    """Bytes that could be taken without swapping (an estimate where the system does not say)."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free = int(line.split()[1]) * 1024
                return min(free, _container_limit())
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):  # Windows
        return _USUAL_MACHINE


def _container_limit(
    root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> int:
    """What the limits of containers and batch queues leave, or a very large number.

    A process is in a group of Linux's control groups, `own`, and so in those above it; each may
    have a limit. SLURM and systemd limit a job's own group, containers often the topmost one.
    """
    found = [2**62]
    for group, names in _groups(root, own):
        try:
            limit = (group / names[0]).read_text().strip()
            used = int((group / names[1]).read_text())
            words = (group / "memory.stat").read_text().split()
            # Cached files that nobody uses count as taken, but give way.
            used -= int(words[words.index(names[2]) + 1])
        except (OSError, ValueError):
            continue
        if limit != "max":
            found.append(max(0, int(limit) - used))
    return min(found)


_CGROUP_2 = ("memory.max", "memory.current", "inactive_file")
_CGROUP_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def _groups(root: Path, own: Path) -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """The folders of this process' group and of all above it, with the names of files in them."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        lines = ["0::/"]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top, names = (root / "memory", _CGROUP_1) if controllers else (root, _CGROUP_2)
        inside = PurePosixPath(path.lstrip("/"))
        for part in (inside, *inside.parents):
            yield top / part, names


class DiskMaps:
    """Makes tensors whose pages lie in temporary files, so that the system may write them out.

    The files have no name from the start on (POSIX), so that nothing is left behind however the
    process ends; a tensor's file goes with the tensor.
    """

    def __init__(self) -> None:
        self.folder = scratch_folder()

    def __call__(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """An uninitialised tensor. Raises InputError if the disk has no room for it."""
        count = 1
        for size in shape:
            count *= size
        size = max(1, count * dtype.itemsize)
        try:
            tensor = self._map(size, count, dtype)
        except OSError as error:
            raise InputError(
                f"no room for {in_words(size)} of temporary maps in {self.folder} "
                f"({error.strerror}): free some, name another folder in TMPDIR, or allow more "
                "memory (--memory)"
            ) from None
        return tensor.view(tuple(shape))

    def _map(self, size: int, count: int, dtype: torch.dtype) -> Tensor:
        descriptor, name = tempfile.mkstemp(prefix="iln-", suffix=".map", dir=self.folder)
        try:
            _reserve(descriptor, size)
            return torch.from_file(name, shared=True, size=count, dtype=dtype)
        finally:
            os.close(descriptor)
            _named.add(Path(name))
            _remove_names()


_named: set[Path] = set()


@atexit.register
def _remove_names() -> None:
    """Of all maps; Windows keeps those of files in use, which go with a later map or at exit."""
    for file in list(_named):  # other threads have maps, too
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)
            _named.discard(file)


def _reserve(descriptor: int, size: int) -> None:
    """Take the room now: a hole that cannot be filled later would kill the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.truncate(descriptor, size)


def scratch_folder() -> Path:
    """TMPDIR or the usual place for temporary files, unless that is memory itself (tmpfs)."""
    usual = Path(tempfile.gettempdir())
    if "TMPDIR" in os.environ or not _in_memory(usual):
        return usual
    for other in (Path("/var/tmp"), Path.cwd()):
        if os.access(other, os.W_OK) and not _in_memory(other):
            return other
    return usual


def _in_memory(folder: Path) -> bool:
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return False
    here = folder.resolve()
    inside = [m for m in mounts if here.is_relative_to(m[1])]
    return bool(inside) and max(inside, key=lambda m: len(m[1]))[2] in ("tmpfs", "ramfs")
