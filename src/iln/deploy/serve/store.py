"""All pictures that lie here: a private folder, a bounded queue, and an end to everything."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from iln.deploy.serve.jobs import Job, State
from iln.deploy.serve.options import Options
from iln.deploy.serve.settings import Settings

FREE_DISK = 10**9
"""Bytes that a disk keeps: it is not only ours."""


class Busy(Exception):
    """No room now; later there may be."""


class Store:
    """Jobs by their ids, those that wait in order, and their files.

    Any thread may call it. Whatever changes gets the next number of `clock`, so that a page can
    ask for what has changed since.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folder = _private_folder()
        self.closed = False
        self.clock = 0
        self._jobs: dict[str, Job] = {}
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._left: dict[str | None, int] = {}
        """When a visitor's list last lost or gained a picture."""
        self._pace: float | None = None
        """Seconds a pixel of the last pictures."""
        self._changed = threading.Condition(threading.RLock())

    # Pictures come and go.

    def check_room(self, size: int) -> None:
        """Raises Busy where one more picture of that many bytes has no room."""
        if not self.folder.is_dir():  # what cleans temporary files has taken it
            self.folder = _private_folder()
        if len(self._jobs) >= self.settings.kept:
            raise Busy(f"{self.settings.kept} pictures lie here already; clear some")
        if shutil.disk_usage(self.folder).free < size + FREE_DISK:
            raise Busy("the disk for pictures is nearly full; clear some pictures")

    def add(self, file: BinaryIO, name: str, options: Options, owner: str | None) -> Job:
        """A picture, copied into a folder of its own. Raises Busy."""
        self.check_room(file.seek(0, os.SEEK_END))
        file.seek(0)
        key = secrets.token_urlsafe(16)
        folder = self.folder / key
        source = folder / "picture" / safe_name(name)
        try:
            source.parent.mkdir(parents=True)
            with source.open("xb") as copy:
                shutil.copyfileobj(file, copy, 1 << 20)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        job = Job(key, owner, folder, source, options)
        with self._changed:
            self._jobs[key] = job
            self._left[owner] = self.changed(job)
        return job

    def holds(self, job: Job) -> bool:
        """Whether it has not been removed."""
        return job.id in self._jobs

    def get(self, key: str) -> Job | None:
        """The job, which is in use by that."""
        job = self._jobs.get(key)
        if job is not None:
            job.used = time.monotonic()
        return job

    def of(self, owner: str) -> list[Job]:
        """A visitor's, in the order in which they came."""
        with self._changed:
            found = [job for job in self._jobs.values() if job.owner == owner]
        now = time.monotonic()
        for job in found:
            job.used = now
        return found

    def remove(self, *jobs: Job) -> None:
        """For good, their files too. All of them at once: a page that saw them go one after the
        other would open the next and ask for its tiles."""
        with self._changed:
            for job in jobs:
                self.cancel(job)
                job.cancelled.set()
                self._jobs.pop(job.id, None)
            self.clock += bool(jobs)
            self._left.update((job.owner, self.clock) for job in jobs)
        for job in jobs:
            if job is not self._running:  # else when it stops, soon
                with job.changing:  # a preview may be on its way
                    shutil.rmtree(job.folder, ignore_errors=True)

    def remove_unused(self) -> None:
        """Those that nobody has asked for in a while."""
        long_ago = time.monotonic() - self.settings.unused
        jobs = list(self._jobs.values())
        self.remove(*(job for job in jobs if job.used < long_ago and not job.state.busy))

    # The queue.

    def start(self, job: Job, options: Options, *, masked: bool = False) -> None:
        """To the end of the queue.

        Args:
            masked: within the mask that was painted for it.

        Raises:
            Busy: where that is full.
        """
        with self._changed:
            if job.state.busy:
                return
            if len(self._waiting) >= self.settings.queue:
                raise Busy(f"{self.settings.queue} pictures wait already; try again later")
            job.options, job.masked, job.state = options, masked, State.waiting
            job.share, job.problem, job.notes = 0.0, None, []
            job.cancelled.clear()
            self._waiting.append(job)
            self.changed(job)

    def cancel(self, job: Job) -> None:
        """At once where it waits, at its next step where it is running."""
        with self._changed:
            if job.state.busy:
                job.cancelled.set()
            if job in self._waiting:
                self._waiting.remove(job)
                job.state = State.cancelled
                self.changed(job)

    def next(self) -> Job | None:
        """The next one that waits, now running; waits for one. None: the end."""
        with self._changed:
            while not self._waiting and not self.closed:
                self._changed.wait()
            if self.closed:
                return None
            job = self._running = self._waiting.popleft()
            job.state, job.started = State.running, time.monotonic()
            self.changed(job)
            return job

    def finish(self, job: Job, state: State, problem: str | None = None) -> None:
        """The running one has ended."""
        with self._changed:
            job.state, job.problem, self._running = state, problem, None
            job.used = time.monotonic()  # nobody may have asked while it waited and was computed
            job.seconds = job.used - job.started
            pixels = job.width * job.height
            if state is State.done and pixels:
                self._pace = job.seconds / pixels
            self.changed(job)
        if not self.holds(job):  # removed meanwhile
            shutil.rmtree(job.folder, ignore_errors=True)

    # What a page is told.

    def changed(self, job: Job) -> int:
        """Note that it did. Returns when."""
        with self._changed:
            self.clock += 1
            job.version = self.clock
            self._changed.notify_all()
            return self.clock

    def update(self, job: Job, change: Callable[[], None]) -> None:
        """Change a job in one piece."""
        with self._changed:
            change()
            self.changed(job)

    def news(self, owner: str, since: int) -> tuple[int, dict[str, Any] | None]:
        """What has changed for a visitor, and until when that is; all of it since -1."""
        with self._changed:
            now = self.clock
            if now == since:
                return now, None
            jobs = self.of(owner)
            fresh = [job.report() for job in jobs if job.version > since]
            found: dict[str, Any] = {"jobs": fresh, "queue": self.summary(jobs)}
            if self._left.get(owner, 0) > since or since < 0:
                found["ids"] = [job.id for job in jobs]
            return now, found

    def summary(self, jobs: list[Job] | None = None) -> dict[str, Any]:
        """How many wait and run, and how long they take, about."""
        with self._changed:
            mine = list(self._jobs.values()) if jobs is None else jobs
            waiting = [job for job in mine if job.state is State.waiting]
            running = [job for job in mine if job.state is State.running]
            return {
                "waiting": len(waiting),
                "running": len(running),
                "seconds_left": self._seconds_left(waiting, running),
            }

    def _seconds_left(self, waiting: list[Job], running: list[Job]) -> float | None:
        total, pace = 0.0, self._pace
        for job in running:
            left = job.seconds_left()
            if left is None:
                return None
            total += left
            pace = (time.monotonic() - job.started) / job.share / max(1, job.width * job.height)
        if waiting and pace is None:
            return None
        sizes = [job.width * job.height for job in waiting]
        known = [size for size in sizes if size] or [0]
        usual = sum(known) / len(known)
        return round(total + sum((size or usual) * (pace or 0.0) for size in sizes), 1)

    # The end.

    def close(self) -> None:
        """Nothing more is done."""
        with self._changed:
            self.closed = True
            for job in self._jobs.values():
                job.cancelled.set()
            self._changed.notify_all()

    def wipe(self) -> None:
        """All files."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _private_folder() -> Path:
    """For this user alone."""
    return Path(tempfile.mkdtemp(prefix="iln-serve-"))


def safe_name(name: str) -> str:
    """A file's name, alone and printable, short enough for any disk."""
    plain = PurePosixPath(name.replace("\\", "/")).name
    plain = "".join(c if c.isprintable() and c not in ':*?"<>|' else "_" for c in plain)
    plain = plain.lstrip(".") or "picture"
    stem, dot, suffix = plain.rpartition(".")
    if not dot or len(suffix) > 8:
        return _cut(plain, 180)
    return f"{_cut(stem, 180) or 'picture'}.{suffix}"


def _cut(text: str, size: int) -> str:
    return text.encode("utf-8", "replace")[:size].decode("utf-8", "ignore")
