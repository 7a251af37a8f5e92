"""Many pictures for `iln restore`: which files, where the results go, and what went wrong."""

from __future__ import annotations

import glob
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from iln.atomic import printable
from iln.errors import InputError
from iln.images import SUFFIXES, check_suffix, read, write

MARK = "_restored"
"""Added to the name of a result that has none of its own."""


@dataclass(frozen=True)
class Job:
    """One picture to restore, and where the result goes; or why it cannot be."""

    source: Path
    target: Path
    problem: str | None = None


@dataclass(frozen=True)
class Options:
    """How to restore; see `iln restore --help`."""

    model: str
    memory: str | None = None
    precision: str = "auto"
    device: str = "auto"
    overwrite: bool = False
    quality: int = 95
    max_pixels: int = 300_000_000
    overrides: dict[str, Any] = field(default_factory=dict)


def plan_jobs(
    inputs: Sequence[str], output: Path | None, *, recursive: bool, overwrite: bool
) -> list[Job]:
    """Files, folders and patterns -> jobs, without duplicates, in the order given.

    In folders every picture is taken by its suffix, apart from earlier results. `output` is a
    file for a single input file, else a folder, which keeps the subfolders of an input folder.
    Raises InputError for an input that does not exist and an output that cannot be meant.
    """
    found = [pair for word in inputs for pair in _expand(word, recursive)]
    sources = list(dict.fromkeys(found))
    single = len(sources) == 1 and sources[0][1] == Path(sources[0][0].name)
    to_file = output is not None and single and not output.is_dir() and output.suffix != ""
    if output is not None and not to_file:
        if output.exists() and not output.is_dir():
            raise InputError(f"{printable(output)} is a file; several results need a folder")
        if output.suffix.lower() in SUFFIXES and not output.is_dir():
            raise InputError(f"{printable(output)} names one file, but there are several inputs")
    jobs: list[Job] = []
    taken: dict[Path, Path] = {}
    for source, relative in sources:
        if to_file:
            assert output is not None
            target = output
        elif output is not None:
            target = output / relative.with_suffix(_writable(relative.suffix))
        else:
            target = source.with_name(f"{source.stem}{MARK}{_writable(source.suffix)}")
        problem = _problem(source, target, taken, overwrite)
        taken.setdefault(target.resolve(), source)
        jobs.append(Job(source, target, problem))
    return jobs


def _problem(source: Path, target: Path, taken: dict[Path, Path], overwrite: bool) -> str | None:
    shown = printable(target)
    if target.resolve() == source.resolve():
        return f"{shown}: the result would replace the input; name another output"
    if target.resolve() in taken:
        return f"{shown}: is the result of {printable(taken[target.resolve()])} already"
    if target.exists() and not overwrite:
        return f"{shown}: exists already; choose another name or allow overwriting (--overwrite)"
    try:
        check_suffix(target)
    except InputError as error:
        return str(error)
    return None


def _expand(word: str, recursive: bool) -> Iterator[tuple[Path, Path]]:
    """(file, name relative to where it was found) for a file, folder or pattern."""
    path = Path(word)
    if path.is_dir():
        files = sorted(path.rglob("*") if recursive else path.iterdir())
        pictures = [f for f in files if f.suffix.lower() in SUFFIXES and not f.stem.endswith(MARK)]
        pictures = [f for f in pictures if f.is_file()]
        if not pictures:
            deeper = "" if recursive else "; --recursive also looks into subfolders"
            raise InputError(f"{printable(path)} holds no pictures{deeper}")
        yield from ((file, file.relative_to(path)) for file in pictures)
    elif path.exists() or not glob.has_magic(word):
        yield path, Path(path.name)  # one that is missing is reported with the others' results
    else:
        matches = sorted(glob.glob(word, recursive=True))  # noqa: PTH207 (patterns may be absolute)
        if not matches:
            raise InputError(f"{printable(word)} matches no file")
        for match in matches:
            if Path(match).is_file():
                yield Path(match), Path(Path(match).name)


def _writable(suffix: str) -> str:
    """The suffix itself where we can write it, else PNG, which holds everything."""
    return suffix if suffix.lower() in SUFFIXES else ".png"


def run_jobs(jobs: Sequence[Job], options: Options) -> int:
    """Restore one after the other; a bad picture does not stop the rest.

    Returns the exit code: 0 if all is well, 1 if some failed, 2 if none succeeded.
    Raises InputError for a model or an option that cannot be used.
    """
    problems = [job.problem for job in jobs if job.problem is not None]
    jobs = [job for job in jobs if job.problem is None]
    done = 0
    if jobs:
        from iln.restoration import Restorer

        restorer = Restorer(
            options.model,
            memory=options.memory,
            precision=options.precision,
            device=options.device,
            **options.overrides,
        )
        with _progress_bar() as start:
            for job in jobs:
                try:
                    _restore(job, options, restorer, start(job.source.name))
                    done += 1
                except InputError as error:
                    problems.append(str(error))
    for problem in problems:
        sys.stderr.write(f"error: {problem}\n")
    if problems and done:
        sys.stderr.write(f"{done} restored, {len(problems)} failed\n")
    return 0 if not problems else 1 if done else 2


def _restore(job: Job, options: Options, restorer: Any, progress: Callable[[float], None]) -> None:
    started = time.perf_counter()
    picture = read(job.source, options.max_pixels)
    # What cannot be written should be known before the work, not after it.
    check_suffix(job.target, alpha=picture.alpha is not None)
    job.target.parent.mkdir(parents=True, exist_ok=True)
    result = restorer.restore_picture(picture, progress=progress)
    notes = write(result, job.target, overwrite=options.overwrite, quality=options.quality)
    seconds = time.perf_counter() - started
    sys.stdout.write(
        f"{printable(job.target)}  {picture.width}x{picture.height} -> "
        f"{result.width}x{result.height}, {seconds:.1f} s\n"
    )
    sys.stdout.flush()
    for note in notes:
        sys.stderr.write(f"note: {note}\n")


@contextmanager
def _progress_bar() -> Iterator[Callable[[str], Callable[[float], None]]]:
    """start(name) -> tell(share), shown with the time left where a person is looking."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(
        *columns,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:

        def start(name: str) -> Callable[[float], None]:
            for old in bar.task_ids:
                bar.remove_task(old)
            task = bar.add_task(printable(name), total=1.0)
            return lambda share: bar.update(task, completed=share)

        yield start
