"""The network in a process of its own: a picture on which it hangs or dies costs that picture."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import platform
import signal
import threading
import time
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from iln.cpu import SHORT_SPIN, cores
from iln.deploy.cluster.report import Row
from iln.deploy.cluster.storage import Storage, StoredFiles
from iln.errors import InputError
from iln.restoration.batch import BatchOptions, Finished, restore_job, trouble
from iln.restoration.jobs import Job

if TYPE_CHECKING:
    from iln.restoration import Pipeline

_START = 900.0
"""Seconds in which a process has to have the models loaded: they may come from far."""
_ATTEMPTS = 2
"""A process may die of others' doings; on its own picture it dies again."""
_MOST_SECONDS = 1_000_000
"""Of a time limit: eleven days; a pipe cannot be waited for much longer."""


@dataclass(frozen=True)
class Work:
    """What is done to each picture, and with what.

    Attributes:
        pictures: the address of their folder.
        results: the address of theirs.
        options: see `BatchOptions`.
        cpus: threads.
        gpus: of this process; may be a part of one.
        time_limit: seconds for one picture.
    """

    pictures: str
    results: str
    options: BatchOptions
    cpus: int = 1
    gpus: float = 0
    time_limit: float = 3600.0

    def __post_init__(self) -> None:
        if self.gpus > 1 and self.gpus % 1:
            raise InputError(f"--actor-gpus {self.gpus:g}: a part of one GPU, or whole ones")
        if not 0 < self.time_limit <= _MOST_SECONDS:
            raise InputError(
                f"--time-limit {self.time_limit:g}: accepted are seconds up to {_MOST_SECONDS:,}"
            )


class IsolatedRestorer:
    """Restores one picture after the other in another process, which is replaced when needed."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None

    def __call__(self, job: Job) -> Row:
        """What became of a picture.

        Raises:
            InputError: for models, options and storages that cannot be used: with any picture.
        """
        started = time.perf_counter()
        for _ in range(_ATTEMPTS):
            try:
                pipe = self._pipe or self._start()
                pipe.send(job)
                if pipe.poll(self.work.time_limit):
                    row: Row = pipe.recv()
                    return row
                problem = f"took more than {self.work.time_limit:g} s; allow more by --time-limit"
                self.stop()
                break
            except (EOFError, OSError):
                problem = f"its process {self._death()}"
                self.stop()
        return _row(job, "failed", f"{job.source}: {problem}", time.perf_counter() - started)

    def stop(self) -> None:
        """End the process, whatever it does; the next picture starts another."""
        if self._process is not None and self._pipe is not None:
            self._pipe.close()
            self._process.kill()
            self._process.join()
        self._process = self._pipe = None

    def _start(self) -> Connection:
        for name, value in SHORT_SPIN.items():
            os.environ.setdefault(name, value)
        context = multiprocessing.get_context("spawn")
        pipe, end = context.Pipe()
        self._process = context.Process(target=_restore_all, args=(end, self.work), daemon=True)
        self._process.start()
        end.close()
        self._pipe = pipe
        if not pipe.poll(_START):
            self.stop()
            raise InputError(f"{platform.node()}: no models were loaded within {_START:.0f} s")
        if (problem := pipe.recv()) is not None:
            self.stop()
            raise InputError(f"{platform.node()}: {problem}")
        return pipe

    def _death(self) -> str:
        assert self._process is not None
        self._process.join(10)
        code = self._process.exitcode or 0
        if code == -getattr(signal, "SIGKILL", 9):
            return "was killed, which is how systems end those that take too much memory (--memory)"
        return f"ended by signal {-code}" if code < 0 else f"ended with code {code}"


def _restore_all(pipe: Connection, work: Work) -> None:
    """The other process: answers with None or a problem when it is ready, then with rows."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Where memory runs out, the system should end this process and not a part of the cluster's.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    import torch

    torch.set_num_threads(work.cpus)
    try:
        options = _with_memory(work)
        files = StoredFiles(Storage(work.pictures), Storage(work.results))
        pipeline = options.pipeline()
    except (InputError, MemoryError, RuntimeError, OSError) as error:
        pipe.send(str(error) if isinstance(error, InputError) else trouble(error))
        return
    pipe.send(None)
    with contextlib.suppress(EOFError, OSError):  # nobody listens any more
        while True:
            pipe.send(_outcome(pipe.recv(), options, pipeline, files))


def _outcome(job: Job, options: BatchOptions, pipeline: Pipeline, files: StoredFiles) -> Row:
    started = time.perf_counter()
    try:
        done = restore_job(job, options, pipeline, files=files)
    except Finished:
        return _row(job, "exists", None, None)
    except InputError as error:
        return _row(job, "failed", str(error), time.perf_counter() - started)
    except Exception as error:  # one picture must not end the others
        problem = f"{job.source}: {trouble(error)}"
        return _row(job, "failed", problem, time.perf_counter() - started)
    assert done.target is not None
    return replace(
        _row(job, "restored", None, time.perf_counter() - started),
        target=done.target.as_posix(),
        notes=[*done.picture.notes, *done.notes],
        width=done.picture.width,
        height=done.picture.height,
        result_width=done.result.width,
        result_height=done.result.height,
    )


def _row(job: Job, state: str, problem: str | None, seconds: float | None) -> Row:
    assert job.source is not None and job.target is not None
    target = None if problem else job.target.as_posix()
    source, node = job.source.as_posix(), platform.node()
    return Row(source, target, state, problem, seconds=seconds, node=node)


def _with_memory(work: Work) -> BatchOptions:
    """On a CPU, of the memory that is free now the share that goes with the threads: others beside
    this process take the rest."""
    from iln.restoration.memory import available
    from iln.restoration.restorer import SHARE_OF_FREE_MEMORY

    options = work.options
    if options.restore.get("memory") is not None or work.gpus:
        return options
    share = min(1.0, work.cpus / cores())
    memory = int(SHARE_OF_FREE_MEMORY * share * available())
    return replace(options, restore={**options.restore, "memory": memory})


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
