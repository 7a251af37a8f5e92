"""A picture that was handed in, and what becomes of it."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from iln.atomic import printable
from iln.deploy.serve.options import Options


class State(StrEnum):
    """How far a job is.

    Attributes:
        ready: handed in, and nobody has said what to do with it.
    """

    ready = "ready"
    waiting = "waiting"
    running = "running"
    done = "done"
    failed = "failed"
    cancelled = "cancelled"

    @property
    def busy(self) -> bool:
        return self in (State.waiting, State.running)


class Cancelled(Exception):
    """Nobody wants the result any more."""


@dataclass(frozen=True)
class Result:
    """A restored picture.

    Attributes:
        options: those it was made with; a job's may be of a run that was cancelled.
        marks: whether its changes can be limited to a mask.
        masked: whether they are.
    """

    file: Path
    width: int
    height: int
    options: Options
    marks: bool = False
    masked: bool = False


@dataclass(eq=False)
class Job:
    """One picture, its files, its options, and how far it is.

    Attributes:
        id: cannot be guessed, so that whoever knows it may have the picture.
        owner: the visitor whose page shows it; None for a program's.
        folder: all its files.
        source: the picture as it came.
        run: counts its restorations, and changes of a mask.
        masked: whether it is to be restored within a mask that somebody has drawn.
        mask_given: whether a mask came with the picture, and so counts for every restoration; one
            that is painted is for the result that it is painted on.
        version: when it last changed, by the store's clock.
    """

    id: str
    owner: str | None
    folder: Path
    source: Path
    options: Options
    state: State = State.ready
    share: float = 0.0
    started: float = 0.0
    seconds: float = 0.0
    width: int = 0
    height: int = 0
    problem: str | None = None
    notes: list[str] = field(default_factory=list)
    result: Result | None = None
    masked: bool = False
    mask_given: bool = False
    run: int = 0
    version: int = 0
    used: float = field(default_factory=time.monotonic)
    cancelled: threading.Event = field(default_factory=threading.Event)
    changing: threading.Lock = field(default_factory=threading.Lock)
    """Held by whoever writes its files."""

    @property
    def name(self) -> str:
        return self.source.name

    def check(self) -> None:
        """Raise Cancelled where that was asked for."""
        if self.cancelled.is_set():
            raise Cancelled

    def words(self, error: BaseException) -> str:
        """What went wrong as the command line says it: names of files without our folders."""
        words = str(error)
        for folder in (self.source.parent, self.folder):
            words = words.replace(f"{printable(folder)}{os.sep}", "")
        return words

    def seconds_left(self) -> float | None:
        """For the rest of this picture, about; None where nobody can tell yet."""
        passed = time.monotonic() - self.started
        if self.state is not State.running or self.share < 0.02 or passed < 0.5:
            return None
        return passed / self.share * (1 - self.share)

    def report(self) -> dict[str, Any]:
        """As JSON tells it."""
        left = self.seconds_left()
        found: dict[str, Any] = {
            "id": self.id,
            "name": self.name,
            "state": self.state.value,
            "share": round(self.share, 4),
            "seconds_left": None if left is None else round(left, 1),
            "seconds": round(self.seconds, 2),
            "width": self.width,
            "height": self.height,
            "problem": self.problem,
            "notes": self.notes,
            "options": self.options.model_dump(exclude_unset=True),
            "run": self.run,
            "result": None,
        }
        if self.result is not None:
            found["result"] = {
                "name": self.result.file.name,
                "width": self.result.width,
                "height": self.result.height,
                "marks": self.result.marks,
                "masked": self.result.masked,
            }
        return found
