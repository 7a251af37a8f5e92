"""Whether pictures are large enough, told by their headers before any of them is decoded."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import numpy as np

from iln.atomic import printable
from iln.errors import InputError
from iln.images import read
from iln.images.reading import size_of
from iln.lab.tasks import Task
from iln.lab.tasks.folders import Source, misfit, some
from iln.lab.training.progress import Progress
from iln.lab.training.report import Say
from iln.lab.training.sets import PictureSet

_UNREADABLE = 0.01
"""The share of a data set's files that may be no pictures before training refuses it."""


def check_sizes(
    found: Sequence[Source], task: Task, patches: Collection[int], say: Say, progress: Progress
) -> list[Source]:
    """Say which pictures are too small for crops of these sides, in pixels of the input.

    Returns:
        Those that are large enough for one of them, or cannot be read, which is told elsewhere.

    Raises:
        InputError: if all are, naming the largest side that is possible, and for too many files
            that are no pictures.
    """
    what = f"looking at the sizes of {len(found)} pictures"
    sides: dict[Source, int] = {}
    unreadable: list[str] = []
    for number, source in enumerate(found, 1):
        progress(what, number, len(found))
        try:
            sides[source] = _shorter_side(source, task)
        except InputError as error:
            unreadable.append(str(error))
    check_unreadable(unreadable, len(found))
    largest = max(sides.values())
    for patch in sorted(patches):
        crop = f"the crop of {patch * task.scale}x{patch * task.scale}"
        small = [
            printable(source.target.name) for source in found if sides.get(source, patch) < patch
        ]
        if patch > largest:
            possible = (
                f"the largest that is possible with these pictures is patch={largest}"
                if largest
                else "these pictures are smaller than any"
            )
            raise InputError(
                f"no training picture is as large as the patch, {patch} pixels ({crop}); {possible}"
            )
        if small:
            say(
                f"{len(small)} of {len(found)} pictures are smaller than {crop} and not used: "
                f"{some(small)}"
            )
    least = min(patches)
    return [source for source in found if sides.get(source, least) >= least]


def check_unreadable(problems: list[str], total: int) -> None:
    """Raises InputError if that many of all training pictures are too many to be left out."""
    if len(problems) > _UNREADABLE * total:
        raise InputError(
            f"{len(problems)} of {total} training pictures cannot be read "
            f"(up to {_UNREADABLE:.0%} would be left out): {some(problems, '; ')}"
        )


def check_tests(tests: Iterable[PictureSet], task: Task) -> None:
    """Raises InputError for a picture to test on that is no picture or too small for the scores,
    and for a pair whose sizes do not fit the scale."""
    for chosen in tests:
        for source in chosen.sources:
            _check_pair(source, task)
        sizes = {source: _size(source.target) for source in chosen.sources}
        for side in (0, 1):
            least = min(sizes, key=lambda source: sizes[source][side])
            width, height = (length - length % task.scale for length in sizes[least])
            blank = np.zeros((height, width, task.channels), np.uint8)
            try:
                task.score(blank, blank)
            except InputError as error:
                raise InputError(
                    f"{printable(least.target)} is too small to validate on: {error}; leave it "
                    "out, or name other pictures with validation=FOLDER"
                ) from None


def _check_pair(source: Source, task: Task) -> None:
    if source.input is None:
        return
    damaged, target = _size(source.input)[::-1], _size(source.target)[::-1]
    # Headers do not tell which of the two are turned when they are read.
    if misfit(source, task, tuple(sorted(damaged)), tuple(sorted(target))):
        raise InputError(f"{misfit(source, task, damaged, target)}")


def _shorter_side(source: Source, task: Task) -> int:
    """In pixels of the input, whichever way the picture is turned. Raises InputError."""
    file, scale = (source.target, task.scale) if source.input is None else (source.input, 1)
    return min(_size(file)) // scale


def _size(file: Path) -> tuple[int, int]:
    """Width and height. Raises InputError for what is no picture."""
    if (size := size_of(file)) is not None:
        return size
    picture = read(file)  # of some formats the header cannot be told quickly
    return picture.width, picture.height
