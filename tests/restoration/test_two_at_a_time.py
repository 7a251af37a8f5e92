"""A folder of pictures: one is computed while another is read or written."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from iln.errors import InputError
from iln.restoration import batch
from iln.restoration.jobs import Job

WAIT = 20
"""Seconds after which a test that hangs fails."""


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    found = []
    for number in range(5):
        file = tmp_path / f"{number}.png"
        Image.fromarray(np.full((4, 6, 3), 40 * number, np.uint8)).save(file)
        found.append(Job(file, tmp_path / "out" / file.name))
    return found


def names(jobs: list[Job]) -> list[str]:
    return [job.source.name for job in jobs if job.source is not None]


def test_the_next_is_read_while_one_computes(jobs: list[Job]) -> None:
    read = {job.source: threading.Event() for job in jobs}
    computing = []

    def work(job: Job, turn: batch._Turn) -> str:
        read[job.source].set()
        with turn:
            computing.append(job.source)
            place = jobs.index(job)
            if place + 1 < len(jobs):  # would wait for ever if it came after
                assert read[jobs[place + 1].source].wait(WAIT)
            assert computing == [job.source]
            computing.clear()
        return job.source.name  # type: ignore[union-attr]

    found = [future.result(0) for _, future in batch._two_at_a_time(jobs, work)]
    assert found == names(jobs)


def test_large_pictures_are_alone(jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "_BESIDE", 23)  # one pixel less than they have
    inside, most = 0, 0

    def work(job: Job, turn: batch._Turn) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        threading.Event().wait(0.02)
        inside -= 1

    assert [job for job, _ in batch._two_at_a_time(jobs, work)] == jobs
    assert most == 1


def test_errors_stay_with_their_pictures(jobs: list[Job]) -> None:
    def work(job: Job, turn: batch._Turn) -> str:
        if job is jobs[1]:
            raise InputError("bad")
        return str(job.target)

    found = list(batch._two_at_a_time(jobs, work))
    assert [job for job, _ in found] == jobs
    assert isinstance(found[1][1].exception(0), InputError)
    assert all(f.exception(0) is None for job, f in found if job is not jobs[1])


def test_an_interruption_ends_what_runs(jobs: list[Job]) -> None:
    started, ended = [], []

    def work(job: Job, turn: batch._Turn) -> None:
        started.append(job)
        with turn:
            try:
                for _ in range(1000 * WAIT):
                    turn.check()
                    threading.Event().wait(0.001)
            finally:
                ended.append(job)

    def interrupted() -> None:
        for job in jobs:
            if job is jobs[2]:
                raise KeyboardInterrupt
            yield job

    with pytest.raises(KeyboardInterrupt):
        list(batch._two_at_a_time(interrupted(), work))
    assert sorted(names(started)) == sorted(names(ended)) == names(jobs[:2])
