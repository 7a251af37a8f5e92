"""The one thread that restores: what `iln restore` does to a picture, step by step."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from iln.deploy.serve import marks
from iln.deploy.serve.jobs import Cancelled, Job, Result, State
from iln.deploy.serve.models import Models
from iln.deploy.serve.previews import make_tiles
from iln.deploy.serve.store import Store
from iln.errors import InputError, first_line
from iln.images import Picture, read, write
from iln.images.libvips import libvips, reason
from iln.restoration.batch import BatchOptions, target_of, trouble
from iln.restoration.jobs import MARK, plan_jobs
from iln.restoration.jobs import Job as Planned

HOUSEKEEPING = 60.0
"""Seconds between two looks for pictures that nobody uses."""


class Worker:
    """Restores what waits in the store, one after the other, until the store is closed."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.models = Models()
        self._thread = threading.Thread(target=self._run, name="iln-worker", daemon=True)
        self._cleaner = threading.Thread(target=self._clean, name="iln-cleaner", daemon=True)
        self._looker = ThreadPoolExecutor(1, "iln-looker")
        self._closed = threading.Event()

    def start(self) -> None:
        self._thread.start()
        self._cleaner.start()

    def stop(self) -> None:
        """At the running picture's next step."""
        self.store.close()
        self._closed.set()
        self._looker.shutdown(wait=True, cancel_futures=True)
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def look(self, job: Job) -> None:
        """Read a picture soon, so that its page can show it or say what is wrong with it."""
        self._looker.submit(self._look, job)

    def _run(self) -> None:
        while (job := self.store.next()) is not None:
            self.store.finish(job, *self._outcome(job))

    def _outcome(self, job: Job) -> tuple[State, str | None]:
        try:
            try:
                self._restore(job)
            except (MemoryError, RuntimeError) as error:
                if not _short_of_memory(error) or not self.models.held:
                    raise
                self.models.drop()  # what other pictures wanted may be all that is missing
                self._restore(job)
        except Cancelled:
            return State.cancelled, None
        except InputError as error:
            return State.failed, job.words(error)
        except (MemoryError, RuntimeError, OSError) as error:
            return State.failed, f"{job.name}: {job.words(Exception(trouble(error)))}"
        except Exception as error:  # a mistake of ours must not stop the queue
            return State.failed, f"{job.name}: {type(error).__name__}: {error}"
        return State.done, None

    def _restore(self, job: Job) -> None:
        options = job.options.batch(self.store.settings)
        planned = _plan(job)
        job.check()
        picture = read(job.source, options.max_pixels, allow_damaged=options.allow_damaged)
        self._seen(job, picture)
        pipeline = self.models.pipeline(options)
        # Before it is brought to a size, a result may be larger.
        made = (picture.height * pipeline.scale, picture.width * pipeline.scale)
        for size in (made, pipeline.result_size(picture.height, picture.width)):
            _check_result(job, options, size)
        target = target_of(planned, picture, pipeline, options)
        assert target is not None

        def tell(share: float) -> None:
            job.check()
            self.store.update(job, lambda: setattr(job, "share", share))

        same = pipeline.scale == 1 and pipeline.size is None and job.owner is not None
        limits = None
        if same or job.masked:
            of_mask = pipeline.mask_size(picture.height, picture.width)
            limits = marks.for_run(job, *of_mask, options.max_pixels)
        result = pipeline.restore_picture(picture, progress=tell, limits=limits)
        job.check()
        with job.changing:
            notes = [*picture.notes, *(limits.notes if limits is not None else ())]
            notes += write(result, target, overwrite=True, quality=options.quality)
            _remove_result(job, but=target)
            try:
                if job.owner is not None:
                    make_tiles(result, job.folder / "after")
                if limits is not None and same:
                    marks.keep(job, limits, result, whole=pipeline.marked is None)
            except (OSError, libvips().Error) as error:  # the result is there all the same
                same = False
                words = job.words(Exception(reason(error) or first_line(error)))
                notes.append(f"its preview could not be kept, is the disk full? ({words})")
        if not self.store.holds(job):
            raise Cancelled
        found = Result(target, result.width, result.height, job.options, same, job.masked)

        def done() -> None:
            job.result = found
            job.notes, job.run = notes, job.run + 1

        self.store.update(job, done)

    def _look(self, job: Job) -> None:
        if not self.store.holds(job):
            return
        try:
            settings = self.store.settings
            picture = read(job.source, settings.max_pixels, allow_damaged=job.options.allow_damaged)
            self._seen(job, picture)
        except Cancelled:
            return
        except Exception as error:
            if job.state is State.ready:
                problem = job.words(error)
                self.store.update(job, lambda: _fail(job, problem))

    def _seen(self, job: Job, picture: Picture) -> None:
        """Its size is known, and it can be shown."""
        if job.owner is not None:
            with job.changing:
                if not self.store.holds(job):
                    raise Cancelled
                if not (job.folder / "before").exists():
                    make_tiles(picture, job.folder / "before")

        def seen() -> None:
            job.width, job.height = picture.width, picture.height
            if job.state is not State.done:  # whose notes are those of its result, too
                job.notes = list(picture.notes)

        self.store.update(job, seen)

    def _clean(self) -> None:
        while not self._closed.wait(min(HOUSEKEEPING, self.store.settings.unused)):
            self.store.remove_unused()


def _plan(job: Job) -> Planned:
    """Name and format of the result, as on the command line. Raises InputError."""
    output: Path | None = None
    if job.options.format is not None:
        output = job.source.with_name(f"{job.source.stem}{MARK}.{job.options.format}")
    (planned,) = plan_jobs([str(job.source)], output, recursive=False, overwrite=True).jobs
    if planned.problem is not None:
        raise InputError(planned.problem)
    return planned


def _check_result(job: Job, options: BatchOptions, size: tuple[int, int]) -> None:
    height, width = size
    if height * width > options.max_pixels:
        raise InputError(
            f"{job.name}: its result would be {width} x {height}, more than "
            f"{options.max_pixels:,} pixels; allow it with --max-pixels {width * height}"
        )


def _remove_result(job: Job, but: Path) -> None:
    """That of the run before, whose name a new one may have."""
    if job.result is not None:
        if job.result.file != but:
            job.result.file.unlink(missing_ok=True)
        job.result = None
    marks.forget(job)


def _fail(job: Job, problem: str) -> None:
    job.state, job.problem = State.failed, problem


def _short_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or "memory" in str(error).lower()
