"""How a model for marks does when a picture is restored in several orientations.

    python benchmarks/orientations.py DATA/Set14 [MODEL] [--names ppt3 zebra ...]

Marks are drawn as by task `scratches`. Each picture is restored as it is, turned and mirrored; of
the results the mean is taken, or for each pixel the one that changed it least (`iln.Restorer` does
that with the first two). PSNR (RGB) in dB, means over the pictures; "clean" has no marks, and an
exact picture counts as 68 dB.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from machine import describe
from numpy.typing import NDArray

import iln
from iln.images import read
from iln.images.mask import undo_small_changes
from iln.lab.tasks import Pixels, Range, generator
from iln.lab.tasks.scratches import Scratches
from iln.script import run_script

WEAR = {"clean": 0.0, "light": 0.2, "medium": 0.5, "heavy": 0.9}
ORIENTATIONS = (0, 4, 2, 6, 1, 3, 5, 7)
"""Quarter turns; from 4 on of the transpose. The first two are as they are, and the transpose."""
EXACT = 1e-2
"""The least squared error that counts."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="clean pictures")
    parser.add_argument("model", nargs="?", default="scratches")
    parser.add_argument("--names", nargs="*", default=[""], help="parts of pictures' names")
    parser.add_argument("--engine", default="auto")
    given = parser.parse_args()
    restorer = iln.Restorer(given.model, engine=given.engine)
    restorer.marks_only = False  # once, and all of its changes
    files = [f for f in sorted(given.folder.iterdir()) if any(n in f.name for n in given.names)]
    print(f"{describe()}\n{len(files)} pictures, {restorer.engine} in {restorer.precision}")
    for strength, wear in WEAR.items():
        gathered: dict[str, list[float]] = {}
        for file in files:
            clean = read(file).rgb8()
            marked = Scratches(wear=Range(wear, wear)).degrade(clean, generator(0))
            for way, result in results(restorer, marked).items():
                gathered.setdefault(way, []).append(psnr(result, clean))
        print(strength, *(f"{way} {np.mean(values):.2f}" for way, values in gathered.items()))


def results(restorer: iln.Restorer, picture: Pixels) -> dict[str, Pixels]:
    """By the way in which results of all orientations are put together."""
    restored = [turned_back(restorer(turned(picture, k)), k) for k in ORIENTATIONS]
    changes = np.stack(restored).astype(np.int16) - picture
    found = {"input": picture, "once": applied(picture, changes[0])}
    for count in (2, 4, 8):
        some = changes[:count]
        least = np.abs(some).max(-1, keepdims=True).argmin(0)[None]
        found[f"least of {count}"] = applied(picture, np.take_along_axis(some, least, 0)[0])
        found[f"mean of {count}"] = applied(picture, np.rint(some.mean(0)).astype(np.int16))
    return found


def applied(picture: Pixels, change: NDArray[np.int16]) -> Pixels:
    """With the change, of which little ones are taken back."""
    result = (picture + change).clip(0, 255).astype(np.uint8)
    undo_small_changes(picture, result)
    return result


def turned(picture: Pixels, orientation: int) -> Pixels:
    """One of eight orientations."""
    image = picture.swapaxes(0, 1) if orientation > 3 else picture
    return np.ascontiguousarray(np.rot90(image, orientation % 4))


def turned_back(picture: Pixels, orientation: int) -> Pixels:
    """What `turned` turned."""
    image = np.rot90(picture, -(orientation % 4))
    return image.swapaxes(0, 1) if orientation > 3 else image


def psnr(one: Pixels, other: Pixels) -> float:
    """Of R, G and B together."""
    error = np.square(one.astype(float) - other).mean()
    return float(10 * np.log10(255**2 / max(error, EXACT)))


if __name__ == "__main__":
    run_script(main)
