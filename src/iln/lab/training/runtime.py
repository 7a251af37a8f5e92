"""What a run computes on and under: device, order of sums, random numbers, signals, time."""

import getpass
import hashlib
import math
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from iln.errors import InputError
from iln.lab.training.distributed import World


def find_device(name: str, here: World) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and here.size > 1:
        name = f"cuda:{here.local_rank}"
    try:
        device = torch.empty(0, device=name).device
    except (RuntimeError, AssertionError):  # the latter from a PyTorch without CUDA
        raise InputError(f"device {name!r} cannot be used; auto and cpu always can") from None
    if device.type not in ("cpu", "cuda", "mps"):
        raise InputError(f"device {name!r} cannot be trained on; auto and cpu always can")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


def mixed(seed: int, step: int, rank: int) -> int:
    """One number of 63 bits from three, such that neighbours have nothing in common."""
    digest = hashlib.blake2b(f"{seed} {step} {rank}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1


_TOGETHER = 1.0
"""Seconds within which several signals are one wish, as some queues send them."""


@contextmanager
def signals() -> Iterator[threading.Event]:
    """An event that SIGINT or SIGTERM sets; a later one of them acts as it always does."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # Python hands signals to the main thread only
        return
    before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
    last = -math.inf

    # It stays until the end: Python reports a pending signal whose handler is gone as an error.
    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < _TOGETHER:
            return
        last = now
        if not stop.is_set():
            stop.set()
            return
        usual = before[signal.Signals(number)]
        if callable(usual):
            usual(number, frame)
        else:
            signal.signal(number, usual)
            signal.raise_signal(number)

    for name in before:
        signal.signal(name, ask)
    try:
        yield stop
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def leave_signals_to_parent(worker: int) -> None:
    """In a process that prepares batches: whoever started it says when it ends."""
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)


@contextmanager
def deterministic(wanted: bool | None, device: torch.device) -> Iterator[None]:
    """Sums in a fixed order: if `wanted`, and where that is None, on the CPU.

    Without it the gradient of an indexed table (relative position bias) is added up by several
    threads in whatever order they arrive.
    """
    wanted = device.type == "cpu" if wanted is None else wanted
    before = torch.are_deterministic_algorithms_enabled()
    settings: Any = torch.utils.deterministic
    fill = settings.fill_uninitialized_memory
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS asks for
        torch.use_deterministic_algorithms(True)
        settings.fill_uninitialized_memory = False  # writes all memory once more, to find bugs
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        settings.fill_uninitialized_memory = fill


class Meter:
    """Seconds a step, and what of it was waiting for data."""

    def __init__(self) -> None:
        self._begun = self._whole = self._data = 0.0
        self._steps = 0

    def start(self) -> None:
        self._begun = time.perf_counter()

    def loaded(self) -> None:
        self._data += time.perf_counter() - self._begun

    def stop(self) -> None:
        self._whole += time.perf_counter() - self._begun
        self._steps += 1

    def read(self) -> tuple[float, float]:
        """Mean (seconds, share spent on data) since the last reading."""
        pace, share = self._whole / self._steps, self._data / self._whole
        self._whole = self._data = 0.0
        self._steps = 0
        return pace, share


def own_compile_cache() -> None:
    """Keep what torch.compile makes apart for each CPU instruction set, unless the user names a
    folder.

    PyTorch 2.13 finds compiled graphs again whatever the instruction set is. One made for vectors
    of another length reads and writes beside its arrays: wrong numbers, or a crash.
    """
    # A user of a container may have no name.
    user = os.getuid() if hasattr(os, "getuid") else getpass.getuser()
    name = f"torchinductor_{user}_{torch.backends.cpu.get_cpu_capability()}"
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(tempfile.gettempdir()) / name))
