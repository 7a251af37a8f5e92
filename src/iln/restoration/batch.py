"""Many pictures for `iln restore`: one after the other, and what went wrong."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from iln.atomic import exists_already, printable
from iln.errors import InputError, first_line
from iln.images import MAX_PIXELS, Picture, check_suffix, encode, read, write
from iln.images.mask import as_mask
from iln.images.reading import Source, size_of
from iln.images.sizing import GAP, side_by_side
from iln.progress import progress_bar, say
from iln.restoration.jobs import Job, JobPlan, identity, passed_over
from iln.restoration.options import RestoreOptions

if TYPE_CHECKING:  # it brings PyTorch, which is not needed to say that a file is missing
    from iln.restoration import Pipeline, Restorer
    from iln.restoration.limits import Limits

_LONG = 60
"""Seconds from which on the expected time is told before the start."""
_MANY_PIXELS = 100_000
"""No model takes so long for fewer."""
_LOOKED_AT = 1000
"""Pictures whose sizes are looked up for the expected time; the others are taken for alike."""
_BESIDE = 64_000_000
"""Pixels of a picture that may be read or written while another is computed."""
_FALLBACK = ".png"
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class BatchOptions:
    """How to restore many; see `iln restore --help`.

    Attributes:
        models: one after the other.
    """

    models: tuple[str, ...]
    restore: RestoreOptions = field(default_factory=lambda: RestoreOptions())
    overwrite: bool = False
    skip_existing: bool = False
    quality: int = 95
    unfade: bool = False
    strength: float = 1.0
    size: str | None = None
    compare: Path | None = None
    mask: Path | None = None
    save_mask: Path | None = None
    max_pixels: int = MAX_PIXELS
    allow_damaged: bool = False

    def pipeline(self, load: Callable[..., Restorer] | None = None) -> Pipeline:
        """What these options ask for.

        Args:
            load: see `Pipeline`.

        Raises:
            InputError: as `Pipeline`.
        """
        from iln.restoration import Pipeline, Restorer

        return Pipeline(
            self.models,
            unfade=self.unfade,
            strength=self.strength,
            size=self.size,
            load=load or Restorer,
            **self.restore,
        )


class Files(Protocol):
    """Where pictures come from, and results go."""

    def source(self, name: Path) -> Source:
        """What `iln.images.read` takes."""

    def exists(self, target: Path) -> bool:
        """Is there anything of this name?"""

    def prepare(self, target: Path) -> None:
        """Raise InputError if the result cannot be written there, as far as that is known."""

    def write(
        self, picture: Picture, target: Path, *, overwrite: bool, quality: int
    ) -> Sequence[str]:
        """Write it whole or not at all; see `iln.images.write`."""


class LocalFiles:
    """Those of this computer."""

    def source(self, name: Path) -> Source:
        return name

    def exists(self, target: Path) -> bool:
        return os.path.lexists(target)

    def prepare(self, target: Path) -> None:
        _make_folder(target)

    def write(
        self, picture: Picture, target: Path, *, overwrite: bool, quality: int
    ) -> Sequence[str]:
        return write(picture, target, overwrite=overwrite, quality=quality)


LOCAL: Files = LocalFiles()


@dataclass(frozen=True)
class Restored:
    """A picture and its result, which is written to `target`.

    Attributes:
        notes: what its format lost.
        problems: why what was to be written beside it is not there.
    """

    picture: Picture
    result: Picture
    target: Path | None
    notes: Sequence[str]
    problems: Sequence[str]


class Finished(Exception):
    """The result exists, and is to be kept."""


def run_jobs(plan: JobPlan, options: BatchOptions) -> int:
    """Restore one after the other; a bad picture does not stop the rest.

    Returns:
        The exit code: 0 if all is well, 1 if some failed, 2 if none succeeded.

    Raises:
        InputError: for a model or an option that cannot be used.
    """
    problems = [job.problem for job in plan.jobs if job.problem is not None]
    jobs = [job for job in plan.jobs if job.problem is None]
    done, finished = 0, plan.finished
    _check_of_one_picture(options, plan)
    if jobs:
        pipeline = options.pipeline()
        _tell_expected_time(jobs, pipeline, options.max_pixels)
        with (
            progress_bar() as tell,
            closing(_two_at_a_time(jobs, partial(_restore, options, pipeline, tell))) as all_done,
        ):
            for job, restored in all_done:
                try:
                    problems += _tell_result(job, *restored.result())
                    done += 1
                except Finished:
                    finished += 1
                except InputError as error:
                    problems.append(str(error))
                except (MemoryError, RuntimeError, OSError) as error:
                    problems.append(f"{_name(job.source)}: {trouble(error)}")
                del restored  # which holds both pictures, while the next one is computed
    for problem in problems:
        say(f"error: {problem}")
    if problems and done:
        say(f"{done} restored, {len(problems)} failed")
    say_what_was_left(plan, finished)
    return 0 if not problems else 1 if done or finished else 2


def say_what_was_left(plan: JobPlan, finished: int) -> None:
    """Lines for pictures that nothing was done to.

    Args:
        finished: how many were done before.
    """
    if finished:
        say(f"{finished} skipped: their results exist")
    if plan.others:
        say(f"{plan.others} left to other shards")
    if plan.passed_over:
        say(passed_over(plan.passed_over))


def _restore(
    options: BatchOptions,
    pipeline: Pipeline,
    tell: Callable[[str, float], None],
    job: Job,
    turn: _Turn,
) -> tuple[Restored, float]:
    """A job, and the seconds it took, those in which it waited for its turn not counted."""
    name, started = _name(job.source), time.perf_counter()

    def progress(share: float) -> None:
        turn.check()
        tell(name, share)

    restored = restore_job(job, options, pipeline, progress=progress, computing=turn)
    return restored, time.perf_counter() - started - turn.waited


class _Turn:
    """Held while a picture is computed: one at a time has all cores, in order.

    before: set when the picture before has had its turn, or ended without one.
    """

    def __init__(self, before: threading.Event, stopped: threading.Event) -> None:
        self._before, self._stopped, self.waited = before, stopped, 0.0
        self.over = threading.Event()

    def check(self) -> None:
        """Raises _Stopped when the rest is not wanted any more."""
        if self._stopped.is_set():
            raise _Stopped

    def __enter__(self) -> None:
        started = time.perf_counter()
        self._before.wait()
        self.waited = time.perf_counter() - started

    def __exit__(self, *error: object) -> None:
        self.over.set()


class _Stopped(Exception):
    """Another thread was told to stop."""


def _two_at_a_time(
    jobs: Iterable[Job], work: Callable[[Job, _Turn], _Result]
) -> Generator[tuple[Job, Future[_Result]], None, None]:
    """All of them in order, done: while one is computed, another is read or written.

    Pictures that are large, or of unknown size, are worked on alone: two would take twice the
    memory. An interruption ends the work on the next strip.
    """
    before, stopped = threading.Event(), threading.Event()
    before.set()

    def run(job: Job, turn: _Turn) -> _Result:
        try:
            return work(job, turn)
        finally:
            turn.over.set()

    waiting: deque[tuple[Job, Future[_Result]]] = deque()
    with ThreadPoolExecutor(2) as pool:
        try:
            for job in jobs:
                small = _is_small(job)
                while len(waiting) > (1 if small else 0):
                    wait([waiting[0][1]])
                    yield waiting.popleft()
                turn = _Turn(before, stopped)
                before = turn.over
                waiting.append((job, pool.submit(run, job, turn)))
                if not small:
                    wait([waiting[0][1]])
                    yield waiting.popleft()
            for job, future in waiting:
                wait([future])
                yield job, future
        except BaseException:
            stopped.set()
            pool.shutdown(cancel_futures=True)
            raise


def _is_small(job: Job) -> bool:
    size = None if job.source is None else size_of(job.source)
    return size is not None and size[0] * size[1] <= _BESIDE


def restore_job(
    job: Job,
    options: BatchOptions,
    pipeline: Pipeline,
    *,
    files: Files = LOCAL,
    progress: Callable[[float], None] | None = None,
    computing: AbstractContextManager[None] = nullcontext(),  # noqa: B008 (has no state)
) -> Restored:
    """Read a picture, restore it, and write the result.

    Args:
        job: which picture.
        options: how.
        pipeline: what `options` asks for.
        files: where pictures come from, and results go.
        progress: told the share that is done.
        computing: held while the networks compute.

    Raises:
        Finished: if the result exists, and is to be kept.
        InputError: for anything that a user can mend.
    """
    source = sys.stdin.buffer.read() if job.source is None else files.source(job.source)
    picture = read(source, options.max_pixels, allow_damaged=options.allow_damaged)
    # What cannot be read or written should be known before the work, not after it.
    limits = _limits(picture, pipeline, options)
    _check_result(picture, pipeline.result_size(picture.height, picture.width), options)
    target = target_of(job, picture, pipeline, options, files)
    for option, file in _written_besides(options):
        if target is not None:
            _check_different(option, file, target)
    if options.mask is not None and target is not None:
        _check_different("--mask", options.mask, target)
    if options.save_mask is not None:
        check_suffix(options.save_mask, size=pipeline.mask_size(picture.height, picture.width))
    with computing:
        result = pipeline.restore_picture(picture, progress=progress, limits=limits)
    if limits is not None:
        picture = replace(picture, notes=(*picture.notes, *limits.notes))
    notes: Sequence[str]
    if target is None:
        data, notes = encode(result, _suffix(picture), options.quality)
        _write_to_standard_output(data)
    else:
        notes = files.write(result, target, overwrite=options.overwrite, quality=options.quality)
    problems = list[str]()
    try:
        if options.compare is not None:
            both = side_by_side(picture, result)
            write(both, options.compare, overwrite=options.overwrite, quality=options.quality)
        if options.save_mask is not None and limits is not None and limits.found is not None:
            mask = Picture(limits.found[..., None])
            write(mask, options.save_mask, overwrite=options.overwrite, quality=options.quality)
    except InputError as error:  # a disk that is full by now; the result is there
        problems.append(str(error))
    return Restored(picture, result, target, notes, problems)


def _tell_result(job: Job, done: Restored, seconds: float) -> Sequence[str]:
    """Returns what went wrong beside it."""
    for note in done.picture.notes:
        say(f"note: {_name(job.source)}: {note}")
    line = (
        f"{_name(done.target)}  {done.picture.width}x{done.picture.height} -> "
        f"{done.result.width}x{done.result.height}, {seconds:.1f} s"
    )
    say(line, sys.stderr if done.target is None else sys.stdout)
    for note in done.notes:
        say(f"note: {_name(done.target)}: {note}")
    return done.problems


def target_of(
    job: Job, picture: Picture, pipeline: Pipeline, options: BatchOptions, files: Files = LOCAL
) -> Path | None:
    """Where the result goes: as PNG where the format is not the user's wish and cannot hold it.

    Raises:
        Finished: see `restore_job`.
        InputError: if it cannot be written there.
    """
    size, alpha = pipeline.result_size(picture.height, picture.width), picture.alpha is not None
    target = job.target
    if target is None:
        check_suffix(f"the result{_suffix(picture)}", alpha=alpha, size=size)
        return None
    try:
        check_suffix(target, alpha=alpha, size=size)
    except InputError:
        if job.named:
            raise
        target = target.with_suffix(_FALLBACK)
        check_suffix(target, alpha=alpha, size=size)
    if not options.overwrite and files.exists(target):
        if options.skip_existing:
            raise Finished
        raise InputError(exists_already(printable(target)))
    files.prepare(target)
    return target


def _check_result(picture: Picture, size: tuple[int, int], options: BatchOptions) -> None:
    """What can be known of the result, and of the comparison, before the work."""
    height, width = size
    most = max(options.max_pixels, MAX_PIXELS)
    if options.size is not None and height * width > most:
        raise InputError(
            f"size {options.size}: the result would be {width} x {height}, more than {most:,} "
            f"pixels; allow it with --max-pixels {height * width}"
        )
    if options.compare is not None:
        check_suffix(options.compare, size=(height, 2 * width + GAP))
    for _, file in _written_besides(options):
        _make_folder(file)


def _limits(picture: Picture, pipeline: Pipeline, options: BatchOptions) -> Limits | None:
    """What the options say on where the picture may be changed."""
    if options.mask is None and options.save_mask is None:
        return None
    from iln.checkpoints.files import about
    from iln.restoration.inputs import joined
    from iln.restoration.limits import Limits

    given = None
    if options.mask is not None:
        mask = read(options.mask, options.max_pixels, allow_damaged=options.allow_damaged)
        with about(options.mask):
            given = as_mask(joined(mask), *pipeline.mask_size(picture.height, picture.width))
    return Limits(given, find=options.save_mask is not None)


def _suffix(picture: Picture) -> str:
    """Of the format for standard output: the source's, where it can be written and hold it."""
    suffixes = {"jpeg": ".jpg", "tiff": ".tif", "webp": ".webp", "avif": ".avif"}
    suffixes |= {"bmp": ".bmp"} if picture.alpha is None else {}
    return suffixes.get(picture.source_format or "", _FALLBACK)


def _written_besides(options: BatchOptions) -> list[tuple[str, Path]]:
    """Options, and their files."""
    files = {"--compare": options.compare, "--save-mask": options.save_mask}
    return [(option, file) for option, file in files.items() if file is not None]


def _check_of_one_picture(options: BatchOptions, plan: JobPlan) -> None:
    """Options that are for one picture, and the files that they write."""
    written = _written_besides(options)
    named = [option for option, _ in written] + ["--mask"] * (options.mask is not None)
    pictures = len(plan.jobs) + plan.finished + plan.others
    if named and pictures > 1:
        raise InputError(f"{named[0]} is for one picture; here are {pictures}")
    others = [other for job in plan.jobs for other in (job.source, job.target)]
    others += [options.mask]
    for option, file in written:
        check_suffix(file)
        if plan.jobs and os.path.lexists(file) and not options.overwrite:
            raise InputError(exists_already(printable(file)))
        for other in others:
            if other is not None:
                _check_different(option, file, other)
        others.append(file)


def _check_different(option: str, file: Path, other: Path) -> None:
    """By whatever names: what is written besides may replace a file, but not one of these."""
    if identity(file) == identity(other):
        raise InputError(
            f"{option} {printable(file)}: is an input or another result of this command"
        )


def _tell_expected_time(jobs: Sequence[Job], pipeline: Pipeline, max_pixels: int) -> None:
    """A line before the start, where it takes more than a minute."""
    sizes = [size_of(job.source) for job in jobs[:_LOOKED_AT] if job.source is not None]
    areas = [width * height for width, height in filter(None, sizes)]
    taken = [area for area in areas if area <= max_pixels]  # of others nothing is computed
    if not taken:
        return
    refused = (len(areas) - len(taken)) / len(sizes)
    pixels = sum(taken) / len(taken) * len(jobs) * (1 - refused)
    if pixels < _MANY_PIXELS:
        return
    try:
        seconds = pixels * pipeline.seconds_per_pixel()
    except (InputError, MemoryError, RuntimeError):
        return  # a graph for one size alone; what is wrong with the picture itself is told with it
    if seconds >= _LONG:
        minutes = round(seconds / 60)
        words = "a minute" if minutes == 1 else f"{minutes} minutes"
        words = words if minutes < 90 else f"{minutes / 60:.1f} hours"
        say(f"note: {pixels / 1e6:.1f} megapixels take about {words}")


def _write_to_standard_output(data: Sequence[bytes]) -> None:
    try:
        for part in data:
            sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise InputError(f"standard output: cannot be written: {error.strerror}") from None


def _name(file: Path | None) -> str:
    return "-" if file is None else printable(file)


def trouble(error: BaseException) -> str:
    """What stopped PyTorch or the system, in one line."""
    line = first_line(error)
    if isinstance(error, MemoryError) or "memory" in line.lower():
        return f"out of memory ({line}); allow less with --memory, or close other programs"
    return line


def _make_folder(target: Path) -> None:
    folder = target.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if target.is_dir():  # (also finds names that are too long)
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with tempfile.TemporaryFile(dir=folder):  # rights alone do not say it: /proc, full disks
            pass
    except OSError as error:
        raise InputError(
            f"{printable(target)}: cannot be written: {error.strerror}; name another output"
        ) from None
