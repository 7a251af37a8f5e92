"""Many pictures for `iln restore`: which files, where the results go, and what went wrong."""

from __future__ import annotations

import errno
import glob
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from iln.atomic import exists_already, printable
from iln.errors import InputError
from iln.images import SUFFIXES, check_suffix, read, unfade, write
from iln.progress import progress_bar
from iln.restoration.options import RestoreOptions

if TYPE_CHECKING:  # it brings PyTorch, which is not needed to say that a file is missing
    from iln.restoration import Restorer

MARK = "_restored"
"""Added to the name of a result that has none of its own."""
READABLE = (*SUFFIXES, ".gif")
"""What is taken from folders."""


@dataclass(frozen=True)
class Job:
    """One picture to restore, and where the result goes; or why it cannot be."""

    source: Path
    target: Path
    problem: str | None = None


@dataclass(frozen=True)
class BatchOptions:
    """How to restore many; see `iln restore --help`. models: one after the other."""

    models: tuple[str, ...]
    restore: RestoreOptions = field(default_factory=lambda: RestoreOptions())
    overwrite: bool = False
    quality: int = 95
    unfade: bool = False
    max_pixels: int = 300_000_000


def plan_jobs(
    inputs: Sequence[str], output: Path | None, *, recursive: bool, overwrite: bool
) -> list[Job]:
    """Files, folders and patterns -> jobs, without duplicates, in the order given.

    In folders every picture is taken by its suffix, apart from earlier results. `output` is a
    file for a single input file, else a folder, which keeps the subfolders of an input folder.

    Raises:
        InputError: for an input that does not exist and an output that cannot be meant.
    """
    try:
        return _plan_jobs(inputs, output, recursive, overwrite)
    except OSError as error:  # a name that is too long, a folder that may not be read
        raise InputError(f"{printable(error.filename or '')}: {error.strerror}") from None


def _plan_jobs(
    inputs: Sequence[str], output: Path | None, recursive: bool, overwrite: bool
) -> list[Job]:
    sources: dict[Path, Path] = {}
    empty: list[str] = []
    for word in inputs:
        found = list(_expand(word, recursive, output))
        for source, relative in found:
            sources.setdefault(source, relative)
        if not found:
            deeper = "; --recursive also looks into subfolders" if not recursive else ""
            folder = Path(word).is_dir()
            what = f"holds no pictures{deeper}" if folder else "matches no file"
            empty.append(f"{printable(word)} {what}")
    if not sources:
        raise InputError("; ".join(empty))
    single = len(sources) == 1 and not any(Path(word).is_dir() for word in inputs)
    to_file = output is not None and single and not output.is_dir() and output.suffix != ""
    if output is not None and not to_file:
        if output.exists() and not output.is_dir():
            raise InputError(f"{printable(output)} is a file; several results need a folder")
        if output.suffix.lower() in SUFFIXES and not output.is_dir():
            raise InputError(f"{printable(output)} names one file, but there are several inputs")
    jobs = [Job(Path(), Path(), problem) for problem in empty]
    taken: dict[str, Path] = {}
    originals = {_identity(source) for source in sources}
    for source, relative in sources.items():
        if to_file:
            assert output is not None
            target = output
        elif output is not None:
            target = output / relative.with_suffix(_writable(relative.suffix))
        else:
            target = source.with_name(f"{source.stem}{MARK}{_writable(source.suffix)}")
        problem = _problem(target, originals, taken, overwrite)
        taken.setdefault(os.path.realpath(target).casefold(), source)
        jobs.append(Job(source, target, problem))
    return jobs


def _problem(
    target: Path, originals: set[object], taken: dict[str, Path], overwrite: bool
) -> str | None:
    shown, place = printable(target), os.path.realpath(target).casefold()
    if _identity(target) in originals:
        return f"{shown}: the result would replace an input; name another output"
    if place in taken:
        return f"{shown}: is the result of {printable(taken[place])} already"
    if os.path.lexists(target) and not overwrite:
        return exists_already(shown)
    try:
        check_suffix(target)
    except InputError as error:
        return str(error)
    return None


def _identity(path: Path) -> object:
    """Equal for two names of one file, also where case does not matter; of a new file its name."""
    try:
        status = path.stat()
    except OSError:
        return os.path.realpath(path)
    return status.st_dev, status.st_ino


def _expand(word: str, recursive: bool, output: Path | None) -> Iterator[tuple[Path, Path]]:
    """(file, name relative to where it was found) for a file, folder or pattern."""
    path = Path(word)
    if not word:
        raise InputError("an input without a name; give pictures, folders or patterns")
    if path.is_dir():
        files = sorted(path.rglob("*") if recursive else path.iterdir())
        if output is not None and path.resolve() in output.resolve().parents:
            results = path / output.resolve().relative_to(path.resolve())
            files = [f for f in files if results not in f.parents]
        pictures = [f for f in files if f.suffix.lower() in READABLE and not f.stem.endswith(MARK)]
        pictures = [f for f in pictures if f.is_file()]
        yield from ((file, file.relative_to(path)) for file in pictures)
    elif os.path.lexists(path) or not glob.has_magic(word):
        yield path, Path(path.name)  # one that is missing is reported with the others' results
    else:
        found = sorted(glob.glob(word, recursive=True))  # noqa: PTH207 (patterns may be absolute)
        matches = [Path(match) for match in found if Path(match).is_file()]
        yield from ((match, Path(match.name)) for match in matches)


def _writable(suffix: str) -> str:
    """The suffix itself where we can write it, else PNG, which holds everything."""
    return suffix if suffix.lower() in SUFFIXES else ".png"


def run_jobs(jobs: Sequence[Job], options: BatchOptions) -> int:
    """Restore one after the other; a bad picture does not stop the rest.

    Returns:
        The exit code: 0 if all is well, 1 if some failed, 2 if none succeeded.

    Raises:
        InputError: for a model or an option that cannot be used.
    """
    problems = [job.problem for job in jobs if job.problem is not None]
    jobs = [job for job in jobs if job.problem is None]
    done = 0
    if jobs:
        from iln.restoration import Restorer

        restorers = [Restorer(model, **options.restore) for model in options.models]
        with progress_bar() as tell:
            for job in jobs:
                try:
                    name = printable(job.source.name)
                    tell(name, 0.0)
                    _restore(job, options, restorers, partial(tell, name))
                    done += 1
                except InputError as error:
                    problems.append(str(error))
                except (MemoryError, RuntimeError, OSError) as error:
                    problems.append(f"{printable(job.source)}: {_trouble(error)}")
    for problem in problems:
        sys.stderr.write(f"error: {problem}\n")
    if problems and done:
        sys.stderr.write(f"{done} restored, {len(problems)} failed\n")
    return 0 if not problems else 1 if done else 2


def _restore(
    job: Job,
    options: BatchOptions,
    restorers: Sequence[Restorer],
    progress: Callable[[float], None],
) -> None:
    started = time.perf_counter()
    picture = read(job.source, options.max_pixels)
    # What cannot be written should be known before the work, not after it.
    scale = math.prod(restorer.scale for restorer in restorers)
    size = (picture.height * scale, picture.width * scale)
    check_suffix(job.target, alpha=picture.alpha is not None, size=size)
    _make_folder(job.target)
    result = picture
    for number, restorer in enumerate(restorers):
        share = partial(_share, progress, number, len(restorers))
        result = restorer.restore_picture(result, progress=share)
    if options.unfade:  # after the noise is gone, which would count as black and white
        result = replace(result, pixels=unfade(result.pixels))
    notes = write(result, job.target, overwrite=options.overwrite, quality=options.quality)
    seconds = time.perf_counter() - started
    sys.stdout.write(
        f"{printable(job.target)}  {picture.width}x{picture.height} -> "
        f"{result.width}x{result.height}, {seconds:.1f} s\n"
    )
    sys.stdout.flush()
    for note in notes:
        sys.stderr.write(f"note: {note}\n")


def _share(progress: Callable[[float], None], done: int, of: int, share: float) -> None:
    progress((done + share) / of)


def _trouble(error: BaseException) -> str:
    """What stopped PyTorch or the system, in one line."""
    line = next(iter(str(error).splitlines()), "") or type(error).__name__
    if isinstance(error, MemoryError) or "memory" in line.lower():
        return f"out of memory ({line}); allow less with --memory, or close other programs"
    return line


def _make_folder(target: Path) -> None:
    folder = target.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if target.is_dir():  # (also finds names that are too long)
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise InputError(
            f"{printable(target)}: cannot be written: {error.strerror}; name another output"
        ) from None
