"""Trained runs, each under the hash of its recipe: what one experiment trained, others find."""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, cast

from filelock import FileLock, Timeout

from iln.atomic import atomic_write, make_folder, printable
from iln.backbones import Backbone
from iln.checkpoints.native import load
from iln.errors import InputError
from iln.lab.dynamics import History, read_history
from iln.lab.training import Recipe, load_recipe, train
from iln.lab.training.data import open_pictures
from iln.lab.training.recipe import LOCAL
from iln.lab.training.report import Say
from iln.lab.training.runtime import signals
from iln.lab.training.sets import picture_sets, record_of

Tell = Callable[[Recipe, int, float], None]
"""Told of a run how many steps are done and the loss of the last one; now and then."""
_FAILURE = "failure.txt"
_EVERY = 10
"""Steps between two messages of a run."""


class Run:
    """A finished run: trained to the end, or stopped for good because it was not finite."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def recipe(self) -> Recipe:
        return load_recipe(self.folder)

    @property
    def failure(self) -> str | None:
        """Why it could not be trained to the end; None if it was."""
        file = self.folder / _FAILURE
        return file.read_text("utf-8") if file.exists() else None

    @cached_property
    def history(self) -> History:
        """Its blocks over its steps."""
        return read_history(self.folder)

    @cached_property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "log.jsonl").read_text().splitlines()]

    @property
    def scores(self) -> dict[str, dict[str, float]]:
        """Of the averaged weights after the last step: test set -> metric -> mean; {} if failed."""
        last = self.recipe.steps
        return {
            line["validation"]: {k: v for k, v in line.items() if k not in ("step", "validation")}
            for line in self.log
            if "validation" in line and line["step"] == last
        }

    @property
    def gradient_norm(self) -> float:
        """Mean over the steps since the last line of the log, before any clipping."""
        norms = [line["grad_norm"] for line in self.log if line.get("grad_norm") is not None]
        return float(norms[-1])

    @property
    def seconds(self) -> float:
        """What all its steps took together."""
        lines = [line for line in self.log if "seconds" in line]
        ends = [line["step"] for line in lines]
        starts = [0, *ends[:-1]]
        parts = zip(lines, starts, ends, strict=True)
        return math.fsum(line["seconds"] * (end - start) for line, start, end in parts)

    def model(self) -> Backbone:
        """The network with its averaged weights. Raises InputError where the run failed."""
        if self.failure is not None:
            why = self.failure.strip()
            raise InputError(f"{printable(self.folder)} was not trained to its end: {why}")
        return load(self.folder / "last.safetensors")


class Store:
    """A folder of runs.

    Args:
        root: the folder.
        data_root: where recipes look for pictures.
        device: as in a recipe.
    """

    def __init__(self, root: Path, data_root: Path, device: str = "auto") -> None:
        self.root, self.data_root, self.device = root, data_root, device

    def folder(self, recipe: Recipe) -> Path:
        """Where a recipe's run lies: words for people, and a hash of all that decides it.

        Values that are the defaults of `Recipe` are left out, so that an option added to it
        later leaves old runs their names.
        """
        decisive = recipe.model_dump(mode="json", exclude=set(LOCAL), exclude_defaults=True)
        digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:12]
        words = (recipe.task, recipe.backbone, recipe.norm.replace("*", "star"), recipe.seed)
        return self.root / "-".join(map(str, (*words, digest)))

    def finished(self, recipe: Recipe) -> bool:
        folder = self.folder(recipe)
        return (folder / "last.safetensors").exists() or (folder / _FAILURE).exists()

    def __getitem__(self, recipe: Recipe) -> Run:
        """The finished run of a recipe. Raises KeyError if there is none."""
        if not self.finished(recipe):
            raise KeyError(self.folder(recipe).name)
        return Run(self.folder(recipe))

    def train(self, recipes: Sequence[Recipe], jobs: int, say: Say, tell: Tell) -> bool:
        """Train what is not finished, `jobs` runs at a time; one at a time in this process.

        Runs that were stopped go on where they were. A run that meets numbers that are not
        finite counts as finished, as a failure.

        Returns:
            False when SIGINT or SIGTERM asked to stop: all runs are saved then.

        Raises:
            InputError: for what a recipe cannot be trained with, or another program at work in the
                same folder.
        """
        self._check_pictures([recipe for recipe in recipes if self.finished(recipe)])
        missing = {self.folder(r): r for r in recipes if not self.finished(r)}
        if not missing:
            return True
        make_folder(self.root)
        with _alone(self.root):
            local = {"data_root": self.data_root, "device": self.device}
            waiting = [recipe.model_copy(update=local) for recipe in missing.values()]
            for recipe in waiting:  # decoded once, and not by several runs at a time
                found, *_ = picture_sets(recipe)
                open_pictures(found, recipe.make_task(), self.root / "pairs", say)
            if jobs == 1:
                return self._one_by_one(waiting, say, tell)
            return self._side_by_side(waiting, jobs, say, tell)

    def _check_pictures(self, recipes: Sequence[Recipe]) -> None:
        """Raises InputError for a run that was trained on other pictures than lie here now: its
        name says nothing of where they lay. Where none lie here, there is nothing to compare."""
        for recipe in recipes:
            here = recipe.model_copy(update={"data_root": self.data_root})
            begun = record_of(self.folder(recipe))
            if begun is None or not all(folder.is_dir() for folder in here.folders(here.data)):
                continue
            if differs := begun.other_pictures(picture_sets(here, begun)[2]):
                raise InputError(
                    f"{printable(self.folder(recipe))} was trained on other pictures than those in "
                    f"{printable(self.data_root)} ({differs}); name another --store"
                )

    def _one_by_one(self, waiting: Sequence[Recipe], say: Say, tell: Tell) -> bool:
        for number, recipe in enumerate(waiting, 1):
            say(f"run {number} of {len(waiting)}: {self.folder(recipe).name}")
            if not _finish(recipe, self.folder(recipe), partial(tell, recipe), say):
                return False
        return True

    def _side_by_side(self, waiting: list[Recipe], jobs: int, say: Say, tell: Tell) -> bool:
        total, wanted = len(waiting), list(waiting)
        active: dict[Connection, _Worker] = {}
        problems: list[str] = []
        with signals() as stop:
            try:
                while waiting or active:
                    if problems or stop.is_set():
                        waiting.clear()
                        for worker in active.values():
                            worker.stop()
                    while waiting and len(active) < jobs:
                        recipe = waiting.pop(0)
                        say(f"run {total - len(waiting)} of {total}: {self.folder(recipe).name}")
                        worker = _Worker(recipe, self.folder(recipe))
                        active[worker.receiver] = worker
                    for receiver in wait(list(active), timeout=0.5):
                        # On Windows of another class, which does the same.
                        found = self._receive(active, cast(Connection, receiver), say, tell)
                        if not stop.is_set():  # which a worker that is starting dies of
                            problems += found
            finally:
                for worker in active.values():
                    worker.stop()
                for worker in active.values():
                    worker.end()
        if problems:
            raise InputError(problems[0])
        return not stop.is_set() and all(map(self.finished, wanted))

    def _receive(
        self, active: dict[Connection, _Worker], receiver: Connection, say: Say, tell: Tell
    ) -> list[str]:
        """Pass on what a worker says; problems that end everything."""
        worker = active[receiver]
        try:
            message = receiver.recv()
        except EOFError:
            del active[receiver]
            problem = worker.end()
            return [problem] if problem else []
        match message:
            case "problem", text:
                return [text]
            case "line", text:
                say(text)
            case done, loss:
                tell(worker.recipe, done, loss)
        return []


class _Worker:
    """A process that trains one run, and the end of a pipe to listen to it."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        self.recipe, self.folder = recipe, folder
        # A fresh interpreter: PyTorch's threads do not survive a fork.
        context = multiprocessing.get_context("spawn")
        self.receiver, sender = context.Pipe(duplex=False)
        work = (recipe.model_dump_json(), str(folder), sender)
        self.process = context.Process(target=_work, args=work)
        with _without_interrupts():
            self.process.start()
        sender.close()  # so that the pipe ends with the process
        self._asked = False

    def stop(self) -> None:
        """Ask it, once, to save and end, as SIGTERM does."""
        if not self._asked:
            self.process.terminate()
        self._asked = True

    def end(self) -> str | None:
        """Wait for its end; what went wrong, if anything."""
        self.process.join()
        self.receiver.close()
        code = self.process.exitcode
        if code == 0 or self._asked:  # asked before it had begun, it dies of the signal
            return None
        return f"{self.folder.name}: its process ended with code {code}"


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """A process that is begun here hears no Ctrl-C, which a terminal sends to all: whoever began it
    asks it to stop. (Windows has no such masks.)"""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker  # not of Windows

    resource_tracker.ensure_running()  # which takes the mask away when it begins, with the first
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(recipe_json: str, folder: str, sender: Connection) -> None:
    """Train one run in a process of its own; sends (step, loss), ("line", one to show) and
    ("problem", what ends everything)."""
    recipe = Recipe.model_validate_json(recipe_json)

    def tick(done: int, loss: float) -> None:
        if done % _EVERY == 0 or done == recipe.steps:
            sender.send((done, loss))

    try:
        _finish(recipe, Path(folder), tick, lambda line: sender.send(("line", line)))
    except InputError as error:
        sender.send(("problem", str(error)))


def _finish(recipe: Recipe, run: Path, tick: Callable[[int, float], None], say: Say) -> bool:
    """Begin or resume a run; False if a signal stopped it before its end."""
    resume = (run / "recipe.json").exists()
    try:
        return train(recipe, run, resume=resume, say=lambda line: None, tick=tick)
    except FloatingPointError as error:
        with atomic_write(run / _FAILURE, overwrite=True) as file:
            file.write_text(f"{error}\n", "utf-8")
        say(f"{run.name}: {error}")
        return True


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other program trains in this folder meanwhile. Raises InputError."""
    try:
        with FileLock(folder / ".lock", blocking=False):
            yield
    except Timeout:
        raise InputError(
            f"{folder}: another program trains there; wait for it or name another --store"
        ) from None
