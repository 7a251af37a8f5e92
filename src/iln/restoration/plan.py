"""How many rows at a time, and maps in memory or on disk: what a memory budget decides."""

from __future__ import annotations

from dataclasses import dataclass

from iln.backbones import Spec
from iln.errors import InputError
from iln.restoration.memory import in_words

STRIP = 24 * 2**20
"""Bytes of a strip's widest tensor, if the budget allows: more is not faster on a CPU, and below
32 MiB the C library reuses the block instead of asking the system for fresh pages each time."""

LARGE_STRIP = 512 * 2**20
"""The same on an accelerator, where starting a kernel costs more than memory does."""
FIRST_USE = 64 * 2**20
"""Bytes that PyTorch takes for itself in the first forward of a process (measured)."""

HEAD_HALO = 3
"""Rows of context that an upsampler sees on each side of a strip, at most."""


@dataclass(frozen=True)
class MemoryPlan:
    """How many rows at a time, and maps in memory or on disk.

    Attributes:
        rows: of a strip.
        on_disk: the maps lie in temporary files.
        peak: bytes beside the process as it was, maps on disk not counted.
    """

    rows: int
    on_disk: bool
    peak: int


def make_plan(
    spec: Spec,
    height: int,
    width: int,
    budget: int | None,
    itemsize: int,
    *,
    disk: bool = True,
    result_bytes: int = 3,
    strip_bytes: int | None = None,
) -> MemoryPlan:
    """The fastest plan within `budget` bytes (None: no limit) for a picture of H x W pixels.

    The strips never get smaller than a row of windows.

    Args:
        itemsize: bytes of the network's numbers.
        disk: maps may go to disk when memory is short (on a CPU).
        result_bytes: of one pixel of the result.
        strip_bytes: of a strip's widest tensor on a CPU, if not the usual.

    Raises:
        InputError: if `disk` is False and the maps do not fit.
    """
    whole = spec.window * spec.unshuffle
    padded = [-(-side // whole) * spec.window for side in (height, width)]  # of the maps
    maps = padded[0] * padded[1] * spec.map_channels() * itemsize
    pixels = padded[0] * padded[1] * spec.unshuffle**2
    # The picture and its copy with whole windows, the result, and the result in whole numbers.
    larger = spec.scale**2
    maps += pixels * spec.in_chans * 4 * (2 + spec.result_maps() * larger)
    maps += pixels * larger * result_bytes

    def strip(rows: int) -> int:
        body, head = rows * strip_channels(spec), (rows + 2 * HEAD_HALO) * spec.head_channels()
        return padded[1] * max(body, head) * itemsize

    window = spec.window
    widest = padded[1] * spec.widest_channels() * itemsize
    best = (strip_bytes or STRIP if disk else LARGE_STRIP) // (widest * window)
    best = max(spec.windows_of_a_strip, best) * window
    room = None if budget is None else budget - FIRST_USE
    on_disk = room is not None and maps + strip(window) > room
    if on_disk and not disk:
        raise InputError(
            f"a picture of {width} x {height} pixels needs "
            f"{in_words(maps + strip(window) + FIRST_USE)} here, {in_words(budget or 0)} are free; "
            "use --device cpu"
        )
    in_memory = 0 if on_disk else maps
    rows = best
    if room is not None:
        sizes = range(best, window, -window)
        rows = next((rows for rows in sizes if strip(rows) <= room - in_memory), window)
    return MemoryPlan(rows, on_disk, FIRST_USE + strip(rows) + in_memory)


def strip_channels(spec: Spec) -> int:
    """Channels per input pixel of all that a strip holds at once; measured, with some to spare."""
    return 6 * spec.widest_channels()
