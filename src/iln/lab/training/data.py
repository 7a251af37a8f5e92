"""Training pictures: decoded once into a memory-mapped file, cut into batches by pure functions.

Batch `step` of a run depends on the seed and the step alone. There is no sampler and no worker
whose state would have to be saved, so a resumed run sees the very same batches.
"""

import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from iln.atomic import printable
from iln.cpu import cores
from iln.errors import InputError
from iln.images import read
from iln.lab.degradations.bands import reflected
from iln.lab.tasks import Damaged, Pixels, Task, generator, to_uint8
from iln.lab.tasks.folders import Source, misfit, some
from iln.lab.training.progress import Progress, unheard
from iln.lab.training.report import Say
from iln.lab.training.runtime import leave_signals_to_parent
from iln.lab.training.sizes import check_unreadable

_LEFT = 3600
"""Seconds after which nobody writes a temporary file any more."""
_FORMAT = 2  # raise it when the layout of the cache, or what a task puts in it, changes

_Entry = tuple[Pixels, ...]
"""Arrays of one picture: (clean,), or (input, target) where crops are cut from a damaged whole."""


class Pictures:
    """Whole pictures, read from one memory-mapped file.

    Args:
        pixels: all arrays, flat, one after the other.
        shapes: (H, W, C) of each.
    """

    def __init__(
        self, pixels: npt.NDArray[np.uint8], shapes: list[list[tuple[int, int, int]]]
    ) -> None:
        self._pixels = pixels
        self._shapes = shapes
        sizes = [sum(math.prod(shape) for shape in entry) for entry in shapes]
        self._starts = np.cumsum([0, *sizes])

    def __reduce__(self) -> tuple[Any, ...]:
        """A worker that is spawned opens the file: pickled, a map would be all of its bytes."""
        if isinstance(self._pixels, np.memmap) and self._pixels.filename is not None:
            return _opened, (Path(self._pixels.filename), self._shapes)
        return Pictures, (self._pixels, self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def __getitem__(self, index: int) -> _Entry:
        """Views of the file; nothing is read before it is touched."""
        arrays, start = [], int(self._starts[index])
        for shape in self._shapes[index]:
            end = start + math.prod(shape)
            arrays.append(self._pixels[start:end].reshape(shape))
            start = end
        return tuple(arrays)

    def positions(self, patch: int, scale: int) -> npt.NDArray[np.int64]:
        """How many places a square of `patch` input pixels has in each picture.

        A clean picture has a place wherever the square's target begins, a pair wherever its
        input does.
        """
        sides = [(e[0][0], e[0][1], patch if len(e) == 2 else patch * scale) for e in self._shapes]
        return np.array([max(0, h - s + 1) * max(0, w - s + 1) for h, w, s in sides])


def open_pictures(
    found: Sequence[Source], task: Task, cache: Path, say: Say, progress: Progress = unheard
) -> Pictures:
    """Some pictures or pairs, decoded, from `cache` if they are there already.

    The cache file is named by a fingerprint of what the task makes of the pictures and of every
    file's path, size and time of change, so a changed picture gets a new file, and runs share
    what is the same. Files that cannot be read are left out and counted.

    Raises:
        InputError: for more unreadable files than are left out, and a disk without room.
    """
    made = repr(task) if task.whole else [task.scale, task.channels]
    key: list[Any] = [_FORMAT, type(task).__name__ if task.whole else "", made]
    for source in found:
        states = ((str(file.resolve()), file.stat()) for file in source.files)
        key.append([[name, state.st_size, state.st_mtime_ns] for name, state in states])
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:24]
    pixels_file, shapes_file = cache / f"{name}.pixels", cache / f"{name}.json"
    if (shapes := _shapes(pixels_file, shapes_file)) is None:
        _build(found, task, pixels_file, shapes_file, say, progress)
        shapes = _shapes(pixels_file, shapes_file)
    if shapes is None:
        raise InputError(f"{printable(cache)}: decoded pictures cannot be read back")
    return _opened(pixels_file, shapes)


def _opened(file: Path, shapes: list[list[tuple[int, int, int]]]) -> Pictures:
    # "c", private copy on write: PyTorch warns about arrays that cannot be written to
    return Pictures(np.memmap(file, np.uint8, mode="c"), shapes)


def _shapes(pixels_file: Path, shapes_file: Path) -> list[list[tuple[int, int, int]]] | None:
    """What the cache holds; None where it is not whole, as after a loss of power."""
    try:
        shapes = json.loads(shapes_file.read_text())
        if pixels_file.stat().st_size != sum(
            math.prod(shape) for entry in shapes for shape in entry
        ):
            return None
    except (OSError, ValueError, TypeError):
        return None
    return [[(shape[0], shape[1], shape[2]) for shape in entry] for entry in shapes]


def batch(
    pictures: Pictures,
    task: Task,
    *,
    size: int,
    patch: int,
    seed: int,
    step: int,
    part: slice = slice(None),
) -> tuple[torch.Tensor, torch.Tensor]:
    """Batch number `step`: input (size, C, patch, patch) and target (size, C, scale patch, ...).

    One number drawn for each sample names picture and place at once, so that every crop of
    every picture is equally likely; then come one of the eight flips and rotations of the
    square, and the damage. Each sample has a generator of its own: `part` computes just these
    samples of the same batch, for one of several processes.
    The tensors are uint8, or float32 in about [0, 1] where the task does not round.
    """
    ends = np.cumsum(pictures.positions(patch, task.scale))
    places = generator(seed, step).integers(ends[-1], size=size)
    samples = []
    for i in range(size)[part]:
        index = int(np.searchsorted(ends, places[i], side="right"))
        place = int(places[i] - (ends[index - 1] if index else 0))
        samples.append(_sample(pictures[index], task, patch, place, generator(seed, step, i)))
    inputs, targets = zip(*samples, strict=True)
    return _stacked(inputs), _stacked(targets)


@dataclass(eq=False)
class Batches(torch.utils.data.Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """`batch` by step, for torch's DataLoader; item n is the pair of tensors of step n."""

    pictures: Pictures
    task: Task
    seed: int
    stage: Callable[[int], tuple[int, int]]
    """step -> (patch, size)"""
    part: tuple[int, int]
    """(rank, processes)"""

    def __getitem__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        patch, size = self.stage(step)
        rank, processes = self.part
        share = slice(rank * size // processes, (rank + 1) * size // processes)
        return batch(
            self.pictures, self.task, size=size, patch=patch, seed=self.seed, step=step, part=share
        )


def in_order(
    batches: Batches, steps: range, workers: int | None, device: torch.device
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The batches of some steps, prepared by that many processes ahead; None: see `Recipe`."""
    if workers is None:
        workers = 0 if device.type == "cpu" else min(8, cores())
    return iter(
        torch.utils.data.DataLoader(
            batches,
            batch_size=None,
            sampler=steps,
            num_workers=workers,
            worker_init_fn=leave_signals_to_parent,
            pin_memory=device.type == "cuda",
        )
    )


def _sample(
    arrays: _Entry, task: Task, patch: int, place: int, rng: np.random.Generator
) -> tuple[Damaged, Pixels]:
    symmetry, scale = int(rng.integers(8)), task.scale
    if len(arrays) == 2:
        damaged, target = arrays
        y, x = divmod(place, damaged.shape[1] - patch + 1)
        crop = target[y * scale : (y + patch) * scale, x * scale : (x + patch) * scale]
        return _turned(damaged[y : y + patch, x : x + patch], symmetry), _turned(crop, symmetry)
    (clean,) = arrays
    side = patch * scale
    y, x = divmod(place, clean.shape[1] - side + 1)
    rows, columns = (
        reflected(np.arange(start - task.margin, start + side + task.margin), size)
        for start, size in ((y, clean.shape[0]), (x, clean.shape[1]))
    )
    crop = clean[rows[:, None], columns]
    return task.training_pair(np.ascontiguousarray(_turned(crop, symmetry)), rng)


def _turned(crop: Pixels, symmetry: int) -> Pixels:
    crop = np.rot90(crop, symmetry % 4)
    return crop[:, ::-1] if symmetry >= 4 else crop


def _stacked(crops: Sequence[Damaged]) -> torch.Tensor:
    return torch.from_numpy(np.stack([crop.transpose(2, 0, 1) for crop in crops]))


def _build(
    found: Sequence[Source],
    task: Task,
    pixels_file: Path,
    shapes_file: Path,
    say: Say,
    progress: Progress,
) -> None:
    """Write both files under temporary names; the shapes come last and say that all is there."""
    cache = pixels_file.parent
    mark = f".{os.getpid()}.part"
    pixels_part, shapes_part = Path(f"{pixels_file}{mark}"), Path(f"{shapes_file}{mark}")
    shapes: list[list[tuple[int, ...]]] = []
    unreadable: list[str] = []
    wrong_pairs: list[str] = []
    what = f"reading {len(found)} pictures into {printable(cache)}, once"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        for left in cache.glob("*.part"):  # of a process that was killed
            if time.time() - left.stat().st_mtime > _LEFT:
                left.unlink()
        with pixels_part.open("wb") as out:
            decoded = zip(found, _decoded(found, task), strict=True)
            progress(what, 0, len(found))
            for number, (source, entry) in enumerate(decoded, 1):
                progress(what, number, len(found))
                if isinstance(entry, InputError):
                    unreadable.append(str(entry))
                elif problem := misfit(source, task, entry[0].shape[:2], entry[-1].shape[:2]):
                    wrong_pairs.append(problem)
                else:
                    for array in entry:
                        out.write(array.tobytes())
                    shapes.append([array.shape for array in entry])
            out.flush()
            os.fsync(out.fileno())
        if wrong_pairs:
            raise InputError(f"{len(wrong_pairs)} pairs do not fit: {some(wrong_pairs, '; ')}")
        check_unreadable(unreadable, len(found))
        if unreadable:
            say(
                f"warning: {len(unreadable)} unreadable pictures left out: {some(unreadable, '; ')}"
            )
        shapes_part.write_text(json.dumps(shapes))
        pixels_part.replace(pixels_file)
        shapes_part.replace(shapes_file)
    except OSError as error:
        free = f"{shutil.disk_usage(cache).free / 1e9:.1f} GB are free; " if cache.is_dir() else ""
        raise InputError(
            f"{printable(cache)}: decoded pictures cannot be written: {error.strerror} "
            f"({free}a run's `pairs` folder lies beside it)"
        ) from None
    finally:
        with suppress(OSError):  # of a cache that is no folder
            pixels_part.unlink(missing_ok=True)
            shapes_part.unlink(missing_ok=True)


def _decoded(found: Sequence[Source], task: Task) -> Iterator[_Entry | InputError]:
    """What the cache holds of each source, in their order; a few at a time, on all cores.

    An error where a file is no picture.
    """
    waiting = iter(found)
    threads = cores()
    with ThreadPoolExecutor(threads) as pool:
        while some := list(islice(waiting, 4 * threads)):
            yield from pool.map(lambda source: _decode(source, task), some)


def _decode(source: Source, task: Task) -> _Entry | InputError:
    try:
        target = task.target(read(source.target).rgb8())
        if source.input is not None:
            return task.colours(read(source.input).rgb8()), target
    except InputError as error:
        return error
    if task.whole:
        return to_uint8(task.degrade(target, generator(0))), target
    return (target,)
