"""Pictures of a folder, restored by the actors of a Ray cluster."""

from __future__ import annotations

import logging
import os
import socket
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from iln.atomic import printable
from iln.checkpoints.catalogue import names
from iln.deploy.cluster.isolation import IsolatedRestorer, Work
from iln.deploy.cluster.report import FOLDER, SHOWN, Report, Row, table
from iln.deploy.cluster.storage import EXTRA, Storage
from iln.errors import InputError, first_line
from iln.extras import need
from iln.progress import progress_bar, say
from iln.restoration.batch import say_what_was_left
from iln.restoration.jobs import Job, JobPlan, passed_over, plan_listed

_MOST_IN_A_BLOCK = 64
"""Pictures that an actor is given at once: what a node that goes takes with it has to be looked
for again, and the slowest block ends the run."""
_BLOCKS_FOR_EACH = 8
"""Blocks for each actor, at least, so that all of them end at about the same time."""
_RETRIES = 3
"""Of a block whose actor went, with its node or by Ray's watch over memory."""
_PATIENCE = 5.0
"""Seconds for the answer of an address."""
_EVERY = 60.0
"""Seconds between two lines on the progress."""
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_NUM_REDIS_GET_RETRIES": "1",
    "RAY_py_gcs_connect_timeout_s": "5",
}
"""Of Ray, read when it is loaded: nothing is sent to its makers, lost actors are told by our lines,
and a cluster that is gone is noticed in seconds."""
_UNUSABLE = "unusable"
"""State of a row that says why no picture can be restored."""
_AUTO = "auto"
_LOCAL = "local"


def restore_on_cluster(
    address: str, work: Work, *, recursive: bool, shard: tuple[int, int] = (1, 1)
) -> int:
    """Restore a folder's pictures; a bad one becomes a row of the report.

    Args:
        address: of a cluster, `HOST:PORT`; `auto` for the one that this computer belongs to;
            `local` for one that is started here and ends with the run.
        work: pictures, results, and what is to be done.
        recursive: look into subfolders, too.
        shard: see `plan_jobs`.

    Returns:
        The exit code: 0 if all is well, 1 if some failed, 2 if none succeeded.

    Raises:
        InputError: for a cluster, a storage, a model or an option that cannot be used.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    ray = need("ray", EXTRA)
    need("ray.data", EXTRA)
    _check_address(address)
    pictures, results = Storage(work.pictures), Storage(work.results)
    models = tuple(_whole_name(model) for model in work.options.models)
    work = replace(
        work,
        pictures=pictures.address,
        results=results.address,
        options=replace(work.options, models=models),
    )
    plan = _plan(pictures, results, work, recursive, shard)
    report = Report(results)
    jobs = [job for job in plan.jobs if job.problem is None]
    report.add(table(_failed(job, job.problem or "") for job in plan.jobs if job.problem))
    report.flush()  # even if there are none: is it possible to write there?
    if jobs:
        with _connected(ray, address):
            actors = min(_actors(ray, work), len(jobs))
            say(f"to restore: {len(jobs)}; actors: {actors}")
            try:
                _run(ray, jobs, work, actors, report)
            except InputError as error:  # a storage that is full by now, say
                if not report.counts["restored"]:
                    raise
                say(f"error: {error}")
                return max(1, _tell(plan, results, report))
    return _tell(plan, results, report)


def _whole_name(model: str) -> str:
    """Actors work in other folders. A shipped model counts before a file of its name."""
    is_file = model not in names() and Path(model).is_file()
    return str(Path(model).absolute()) if is_file else model


class Actor:
    """What Ray keeps on a node: the models, loaded once, in a process of their own."""

    def __init__(self, work: Work) -> None:
        self.restore = IsolatedRestorer(work)

    def __call__(self, block: Any) -> Any:
        """A block of jobs -> their rows. Never raises: that would end the block."""
        rows = []
        for row in block.to_pylist():
            job = Job(Path(row["source"]), Path(row["target"]), row["named"])
            try:
                rows.append(self.restore(job))
            except InputError as error:
                return table([Row("", None, _UNUSABLE, str(error))])
        return table(rows)


def _plan(
    pictures: Storage, results: Storage, work: Work, recursive: bool, shard: tuple[int, int]
) -> JobPlan:
    if pictures.holds(results) or results.holds(pictures):
        raise InputError(
            f"{results.shown}: is the folder of the pictures, or one lies in the other; "
            "name another output (-o)"
        )
    names = pictures.names(recursive=recursive)
    overwrite = work.options.overwrite
    there = set() if overwrite else set(results.names(recursive=recursive, missing=True))
    plan = plan_listed(names, there, overwrite=overwrite, shard=shard)
    plan.jobs = [_with_text_alone(job) for job in plan.jobs]
    if not plan.jobs and not plan.finished and not plan.others:
        deeper = "" if recursive else "; --recursive also looks into subfolders"
        passed = f" ({passed_over(plan.passed_over)})" if plan.passed_over else ""
        raise InputError(f"{pictures.shown} holds no pictures{deeper}{passed}")
    return plan


def _with_text_alone(job: Job) -> Job:
    """A cluster's messages and reports hold no other names."""
    try:
        str(job.source).encode()
    except UnicodeEncodeError:
        shown = Path(printable(str(job.source)))
        return replace(job, source=shown, problem=f"{shown}: its name is not UTF-8; rename it")
    return job


@contextmanager
def _connected(ray: Any, address: str) -> Iterator[None]:
    """With Ray connected to a cluster."""
    here: dict[str, Any] = {"include_dashboard": False} if address == _LOCAL else {}
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **here)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        if address == _AUTO and "RAY_ADDRESS" not in os.environ:
            raise InputError(
                "cluster auto: no Ray cluster answers on this computer; start one (`ray start "
                "--head`), give the HOST:PORT of one, or local"
            ) from None
        raise InputError(f"cluster {address}: {first_line(error)}") from None
    try:
        yield
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Does anybody answer? Ray itself would try for minutes."""
    if address == _AUTO:
        address = os.environ.get("RAY_ADDRESS", _AUTO)
    if address in (_AUTO, _LOCAL):
        return
    if address.startswith("ray://"):
        raise InputError(f"{address}: Ray's client is not used; start iln on a node of the cluster")
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise InputError(
            f"cluster {address!r}: accepted are auto, local, and HOST:PORT as `ray start` says it"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"cluster {address}: does not answer ({error})") from None


def _actors(ray: Any, work: Work) -> int:
    """How many find room."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if fit := sum(room(node, work.cpus, work.gpus) for node in nodes):
        return fit
    cpus, gpus = (max((node.get(kind, 0) for node in nodes), default=0) for kind in ("CPU", "GPU"))
    raise InputError(
        f"no node has room for an actor of {work.cpus} CPUs and {work.gpus:g} GPUs; there are at "
        f"most {cpus:g} CPUs and {gpus:g} GPUs on one (--actor-cpus, --actor-gpus)"
    )


def room(node: Mapping[str, float], cpus: int, gpus: float) -> int:
    """For how many actors a node has resources. A GPU may be shared, but no part of one is joined
    with a part of another."""
    fit = int(node.get("CPU", 0) // cpus)
    if not gpus:
        return fit
    there = int(node.get("GPU", 0))
    return min(fit, there * int(1 / gpus + 1e-6) if gpus <= 1 else int(there // gpus))


def _run(ray: Any, jobs: Sequence[Job], work: Work, actors: int, report: Report) -> None:
    """Rows into the report as they come; in the end those of pictures that nobody answered for."""
    missing = {job.source.as_posix(): job for job in jobs if job.source is not None}
    started, told = time.perf_counter(), time.perf_counter()
    try:
        with progress_bar() as tell:
            for rows in _rows(ray, jobs, work, actors):
                if rows["state"][0].as_py() == _UNUSABLE:
                    raise InputError(rows["problem"][0].as_py())
                report.add(rows)
                for source in rows["source"].to_pylist():
                    missing.pop(source, None)
                done = len(jobs) - len(missing)
                tell(f"{done} of {len(jobs)}", done / len(jobs))
                if time.perf_counter() - told > _EVERY:
                    told = time.perf_counter()
                    speed = done / (told - started)
                    say(f"{done} of {len(jobs)}, {report.counts['failed']} failed, {speed:.1f}/s")
        lost = "its actors went, with their nodes or for want of memory; start again to retry it"
        report.add(table(_failed(job, f"{name}: {lost}") for name, job in missing.items()))
    finally:
        report.flush()


def _rows(ray: Any, jobs: Sequence[Job], work: Work, actors: int) -> Iterator[Any]:
    """Tables of rows, in the order in which blocks are done."""
    data, pa = need("ray.data", EXTRA), need("pyarrow", EXTRA)
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # what is lost becomes rows
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    size = max(1, min(_MOST_IN_A_BLOCK, len(jobs) // (actors * _BLOCKS_FOR_EACH)))
    blocks = [
        pa.table(
            {
                "source": [str(job.source) for job in jobs[first : first + size]],
                "target": [str(job.target) for job in jobs[first : first + size]],
                "named": [job.named for job in jobs[first : first + size]],
            }
        )
        for first in range(0, len(jobs), size)
    ]
    # Nothing else takes CPUs: names come from here, and actors read and write by themselves.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # max_task_retries has no other place
        rows = data.from_arrow(blocks).map_batches(
            Actor,
            fn_constructor_kwargs={"work": work},
            batch_size=None,
            batch_format="pyarrow",
            compute=data.ActorPoolStrategy(
                min_size=1, initial_size=actors, max_tasks_in_flight_per_actor=1
            ),
            num_cpus=work.cpus,
            num_gpus=work.gpus or None,
            max_task_retries=_RETRIES,
        )
    try:
        yield from rows.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    except ray.exceptions.RayError as error:
        raise InputError(f"the cluster gave up: {first_line(error)}") from None


def _failed(job: Job, problem: str) -> Row:
    return Row(str(job.source), None, "failed", problem)


def _tell(plan: JobPlan, results: Storage, report: Report) -> int:
    restored, failed = report.counts["restored"], report.counts["failed"]
    finished = plan.finished + report.counts["exists"]
    for problem in report.problems:
        say(f"error: {problem}")
    if failed > SHOWN:
        say(f"and {failed - SHOWN} more: see the report")
    say(f"{restored} restored, {failed} failed")
    say_what_was_left(plan, finished)
    say(f"report: {results.shown}/{FOLDER}")
    return 0 if not failed else 1 if restored or finished else 2
