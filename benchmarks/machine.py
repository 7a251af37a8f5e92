"""What this machine can do, and what a process takes: shared by the benchmarks."""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch


def describe() -> str:
    """Processor, threads and PyTorch in one line."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    flags = (
        "AMX" if "amx_tile" in _flags() else "AVX-512" if "avx512f" in _flags() else "no AVX-512"
    )
    return f"{name} ({flags}), {torch.get_num_threads()} thread(s), PyTorch {torch.__version__}"


def _flags() -> list[str]:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return []
    return next((line.split() for line in text.splitlines() if line.startswith("flags")), [])


def seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """Median time of `work` after one warm-up."""
    work()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return median(times)


_SIDE = 1536  # of the matrices whose product is timed


def matrix_rate(dtype: torch.dtype) -> float:
    """Operations per second of a square matrix product: the ceiling for everything else."""
    a = torch.randn(_SIDE, _SIDE).to(dtype)
    return 2 * _SIDE**3 / seconds(lambda: a @ a, repeats=5)


@dataclass
class Peak:
    """Largest memory of this process while it was watched, in bytes."""

    resident: int = 0
    anonymous: int = 0


@contextmanager
def watched() -> Iterator[Peak]:
    """Look at this process's memory every 10 ms (Linux)."""
    peak, stop = Peak(), threading.Event()

    def look() -> None:
        while not stop.wait(0.01):
            _look(peak)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()
        _look(peak)


def _look(peak: Peak) -> None:
    values = {}
    for line in Path("/proc/self/status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key in ("VmRSS", "RssAnon"):
            values[key] = int(value.split()[0]) * 1024
    peak.resident = max(peak.resident, values["VmRSS"])
    peak.anonymous = max(peak.anonymous, values["RssAnon"])
