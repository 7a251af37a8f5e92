"""Training pictures: decoded once into a memory-mapped file, cut into batches by pure functions.

Batch `step` of a run depends on the seed and the step alone. There is no sampler and no worker
whose state would have to be saved, so a resumed run sees the very same batches.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from iln.errors import InputError
from iln.images import read
from iln.tasks import Pixels, SuperResolution

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}

_FORMAT = 1  # raise it when the layout of the cache, or what a task puts in it, changes


class Pairs:
    """Pairs (input, target) of whole pictures, read from one memory-mapped file."""

    def __init__(
        self, pixels: npt.NDArray[np.uint8], shapes: list[tuple[int, int]], scale: int
    ) -> None:
        """`pixels`: input then target of each picture, flat; `shapes`: (h, w) of the inputs."""
        self.scale = scale
        self._pixels = pixels
        self._shapes = shapes
        sizes = [3 * h * w * (1 + scale**2) for h, w in shapes]
        self._starts = np.cumsum([0, *sizes])

    def __len__(self) -> int:
        return len(self._shapes)

    def __iter__(self) -> Iterator[tuple[Pixels, Pixels]]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> tuple[Pixels, Pixels]:
        """Views of the file; nothing is read before it is touched."""
        height, width = self._shapes[index]
        start, end = self._starts[index], self._starts[index + 1]
        middle = start + 3 * height * width
        return (
            self._pixels[start:middle].reshape(height, width, 3),
            self._pixels[middle:end].reshape(self.scale * height, self.scale * width, 3),
        )

    def positions(self, patch: int) -> npt.NDArray[np.int64]:
        """How many places a square of `patch` input pixels fits, for each picture."""
        return np.array([max(0, h - patch + 1) * max(0, w - patch + 1) for h, w in self._shapes])


def open_pairs(folders: Sequence[Path], task: SuperResolution, cache: Path) -> Pairs:
    """The pictures of some folders (not of their subfolders) as pairs, from `cache` if there.

    The cache file is named by a fingerprint of the task and of every file's path, size and
    time of change, so a changed picture gets a new file, and runs share what is the same.
    Raises InputError for a folder without pictures or a file that is not a picture.
    """
    files = [file for folder in folders for file in _pictures(folder)]
    key = [_FORMAT, repr(task)]
    key += [[str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns] for f in files]
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:24]
    pixels_file, shapes_file = cache / f"{name}.pixels", cache / f"{name}.json"
    if not shapes_file.exists():
        _build(files, task, pixels_file, shapes_file)
    shapes = [(int(h), int(w)) for h, w in json.loads(shapes_file.read_text())]
    # "c", private copy on write: PyTorch warns about arrays that cannot be written to
    return Pairs(np.memmap(pixels_file, np.uint8, mode="c"), shapes, task.scale)


def batch(
    pairs: Pairs, *, size: int, patch: int, seed: int, step: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Batch number `step`: uint8 (size, 3, patch, patch) and (size, 3, scale patch, ...).

    One number drawn for each sample names picture and place at once, so that every crop of
    every picture is equally likely, then one of the eight flips and rotations of the square.
    """
    rng = np.random.Generator(np.random.Philox(key=np.array([seed, step], dtype=np.uint64)))
    ends = np.cumsum(pairs.positions(patch))
    if not len(ends) or not ends[-1]:
        raise InputError(f"no training picture is as large as the patch, {patch} pixels")
    places = rng.integers(ends[-1], size=size)
    symmetries = rng.integers(8, size=size)
    inputs, targets = [], []
    for place, symmetry in zip(places, symmetries, strict=True):
        index = int(np.searchsorted(ends, place, side="right"))
        lr, hr = pairs[index]
        across = lr.shape[1] - patch + 1
        y, x = divmod(int(place - (ends[index - 1] if index else 0)), across)
        inputs.append(_turned(lr, y, x, patch, symmetry))
        targets.append(_turned(hr, y * pairs.scale, x * pairs.scale, patch * pairs.scale, symmetry))
    return torch.from_numpy(np.stack(inputs)), torch.from_numpy(np.stack(targets))


def _turned(picture: Pixels, y: int, x: int, side: int, symmetry: int) -> Pixels:
    crop = np.rot90(picture[y : y + side, x : x + side], symmetry % 4)
    crop = crop[:, ::-1] if symmetry >= 4 else crop
    return crop.transpose(2, 0, 1)


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; data folders are named in the recipe")
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES)
    if not files:
        raise InputError(f"{folder} holds no pictures ({', '.join(sorted(SUFFIXES))})")
    return files


def _build(files: list[Path], task: SuperResolution, pixels_file: Path, shapes_file: Path) -> None:
    """Write both files under temporary names; the shapes come last and say that all is there."""
    pixels_file.parent.mkdir(parents=True, exist_ok=True)
    mark = f".{os.getpid()}.part"
    pixels_part, shapes_part = Path(f"{pixels_file}{mark}"), Path(f"{shapes_file}{mark}")
    shapes = []
    try:
        with pixels_part.open("wb") as out:
            for file in files:
                lr, hr = task.pair(read(file).rgb8())  # profiles and transparency play no part
                out.write(lr.tobytes())
                out.write(hr.tobytes())
                shapes.append(lr.shape[:2])
        shapes_part.write_text(json.dumps(shapes))
        pixels_part.replace(pixels_file)
        shapes_part.replace(shapes_file)
    finally:
        pixels_part.unlink(missing_ok=True)
        shapes_part.unlink(missing_ok=True)
