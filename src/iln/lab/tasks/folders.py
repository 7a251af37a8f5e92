"""Folders of pictures as a task sees them: clean pictures to damage, or pairs that lie there."""

import os
import zlib
from dataclasses import dataclass
from pathlib import Path

from iln.atomic import printable
from iln.errors import InputError
from iln.images import SUFFIXES, read
from iln.lab.tasks.task import Pair, Task, generator

INPUT, TARGET = "input", "target"
"""A folder with subfolders of these names holds pairs: files of the same stem belong together."""

_SHOWN = 5


@dataclass(frozen=True)
class Source:
    """A clean picture's file and, in a folder of pairs, the file of its damaged version."""

    target: Path
    input: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.target,) if self.input is None else (self.input, self.target)


def sources(folder: Path) -> list[Source]:
    """The pictures of a folder (not of its subfolders), or the pairs of its `input` and `target`.

    Raises:
        InputError: for a folder that is missing or holds no pictures, and for pairs whose names do
            not match, all of them in one message.
    """
    if not folder.is_dir():
        raise InputError(f"{printable(folder)} is not a folder of pictures")
    if not ((folder / INPUT).is_dir() and (folder / TARGET).is_dir()):
        return [Source(file) for file in _pictures(folder)]
    inputs, targets = (_by_stem(folder / part) for part in (INPUT, TARGET))
    if alone := sorted(inputs.keys() ^ targets.keys()):
        raise InputError(
            f"{printable(folder)}: {len(alone)} pictures lie in only one of {INPUT} and {TARGET}: "
            + some([printable(stem) for stem in alone])
        )
    return [Source(targets[stem], inputs[stem]) for stem in inputs]


def load_pair(source: Source, task: Task, seed: int = 0) -> Pair:
    """Input and target of a whole picture, for testing.

    A clean picture is damaged by a generator that depends on `seed` and the file's name without
    its suffix, so that its damage is the same in every run and whatever lies beside it.

    Raises:
        InputError: for a file that is no picture and a pair whose sizes do not fit the scale.
    """
    target = task.target(read(source.target).rgb8())
    if source.input is None:
        name = zlib.crc32(os.fsencode(source.target.stem))
        return task.degrade(target, generator(seed, name)), target
    damaged = task.colours(read(source.input).rgb8())
    if problem := misfit(source, task, damaged.shape[:2], target.shape[:2]):
        raise InputError(problem)
    return damaged, target


def misfit(
    source: Source, task: Task, damaged: tuple[int, ...], target: tuple[int, ...]
) -> str | None:
    """What is wrong with the sizes (height, width) of a pair at the task's scale; None where they
    fit."""
    height, width = target[0] // task.scale, target[1] // task.scale
    if source.input is None or damaged == (height, width):
        return None
    return (
        f"{printable(source.input)} is {damaged[1]}x{damaged[0]}; beside "
        f"{printable(source.target)} and at scale {task.scale} it must be {width}x{height}"
    )


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in _pictures(folder):
        if (other := found.setdefault(file.stem, file)) != file:
            raise InputError(
                f"{printable(folder)}: {printable(other.name)} and {printable(file.name)} have one "
                "name; which is the pair's?"
            )
    return found


def _pictures(folder: Path) -> list[Path]:
    """Hidden ones, such as macOS' `._a.jpg` beside `a.jpg`, are none."""
    files = sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in SUFFIXES and file.name[0] != "." and file.is_file()
    )
    if not files:
        inside = [printable(f.name) for f in sorted(folder.iterdir()) if f.is_dir()]
        hint = f"; name the one you mean of its subfolders, {some(inside)}" if inside else ""
        raise InputError(f"{printable(folder)} holds no pictures ({', '.join(SUFFIXES)}){hint}")
    return files


def some(names: list[str], separator: str = ", ") -> str:
    """The first few of them, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return separator.join(names[:_SHOWN]) + more
