"""Lines of text tell what a run does: never silent for long, never chatty."""

from itertools import pairwise

import pytest

from iln.lab.training import progress
from iln.lab.training.progress import Lines


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_what_is_fast_is_named_once(clock: list[float]) -> None:
    said: list[str] = []
    lines = Lines(said.append)
    for _ in range(3):
        for done in range(11):
            lines.progress("reading 10 pictures", done, 10)
    assert said == ["reading 10 pictures"]


def test_what_is_slow_is_told_every_few_seconds(clock: list[float]) -> None:
    said: list[str] = []
    lines = Lines(said.append)
    for done in range(11):
        clock[0] += 2
        lines.progress("reading 10 pictures", done, 10)
    assert said == ["reading 10 pictures", *(f"reading 10 pictures: {n} of 10" for n in (3, 6, 9))]


def test_steps_are_told_soon_and_then_less_often(clock: list[float]) -> None:
    said: list[tuple[float, str]] = []
    lines = Lines(lambda line: said.append((clock[0], line)))
    for done in range(1, 300):
        clock[0] += 1
        lines.tick(done, 0.25)
    assert said[0] == (6, "step 6  loss 0.25000")
    times = [when for when, _ in said]
    waits = [late - early for early, late in pairwise(times)]
    assert waits == [11, 21, 41, 61, 61, 61]
    clock[0] += 30
    lines.say("step 330 of 1000")
    lines.tick(331, 0.25)  # somebody else spoke just now
    assert said[-1][1] == "step 330 of 1000"
