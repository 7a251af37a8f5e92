"""Trained runs, each under the hash of its recipe: what one experiment trained, others find."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from iln.backbones import Backbone
from iln.checkpoint import load
from iln.dynamics import History, read_history
from iln.errors import InputError
from iln.training import Recipe, load_recipe, train
from iln.training.data import open_pictures
from iln.training.recipe import LOCAL
from iln.training.report import Say
from iln.training.surroundings import signals

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
        return file.read_text() if file.exists() else None

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

    def losses(self) -> tuple[list[int], list[float]]:
        """Steps, and the mean loss since the one before."""
        lines = [line for line in self.log if line.get("loss") is not None]
        return [line["step"] for line in lines], [line["loss"] for line in lines]

    def model(self) -> Backbone:
        """The network with its averaged weights. Raises InputError where the run failed."""
        return load(self.folder / "last.safetensors")


class Store:
    """A folder of runs.

    root: the folder. data_root: where recipes look for pictures. device: as in a recipe.
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
        """Train what is not finished, `jobs` runs at a time, each in a process of its own.

        Runs that were stopped go on where they were. A run that meets numbers that are not
        finite counts as finished, as a failure.
        Returns False when SIGINT or SIGTERM asked to stop: all runs are saved then.
        Raises InputError for what a recipe cannot be trained with, or another program at work
        in the same folder.
        """
        missing = {self.folder(r): r for r in recipes if not self.finished(r)}
        if not missing:
            return True
        self.root.mkdir(parents=True, exist_ok=True)
        with _alone(self.root):
            local = {"data_root": self.data_root, "device": self.device}
            waiting = [recipe.model_copy(update=local) for recipe in missing.values()]
            for recipe in waiting:  # decoded once, and not by several runs at a time
                folders = recipe.folders(recipe.data)
                open_pictures(folders, recipe.make_task(), self.root / "pairs", say)
            with signals() as stop:
                return self._train(waiting, jobs, say, tell, stop)

    def _train(
        self, waiting: list[Recipe], jobs: int, say: Say, tell: Tell, stop: threading.Event
    ) -> bool:
        total, started, stopping = len(waiting), 0, False
        active: dict[Connection, _Worker] = {}
        failures: list[str] = []
        try:
            while active or (waiting and not stopping):
                while waiting and len(active) < jobs and not stopping:
                    recipe = waiting.pop(0)
                    started += 1
                    say(f"run {started} of {total}: {self.folder(recipe).name}")
                    worker = _Worker(recipe, self.folder(recipe))
                    active[worker.ear] = worker
                for ear in wait(list(active), timeout=0.5):
                    assert isinstance(ear, Connection)
                    worker = active[ear]
                    try:
                        done, value = ear.recv()
                    except EOFError:
                        del active[ear]
                        if problem := worker.end():
                            failures.append(problem)
                            say(problem)
                            stopping = True
                        continue
                    if done == "failed":
                        say(f"{worker.folder.name}: {value}")
                    elif done == "input":
                        failures.append(value)
                    else:
                        tell(worker.recipe, done, value)
                if (stop.is_set() or failures) and not stopping:
                    stopping = True
                    for worker in active.values():
                        worker.stop()
        finally:
            for worker in active.values():
                worker.stop()
            for worker in active.values():
                worker.end()
        if failures:
            raise InputError(failures[0])
        return not stopping


class _Worker:
    """A process that trains one run, and the end of a pipe to listen to it."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        self.recipe, self.folder = recipe, folder
        # A fresh interpreter: PyTorch's threads do not survive a fork.
        context = multiprocessing.get_context("spawn")
        self.ear, mouth = context.Pipe(duplex=False)
        work = (recipe.model_dump_json(), str(folder), mouth)
        self.process = context.Process(target=_work, args=work)
        self.process.start()
        mouth.close()  # so that the pipe ends with the process

    def stop(self) -> None:
        """Ask it to save and end, as SIGTERM does."""
        self.process.terminate()

    def end(self) -> str | None:
        """Wait for its end; what went wrong, if anything."""
        self.process.join()
        self.ear.close()
        code = self.process.exitcode
        # Killed by SIGTERM: it had not begun yet.
        if code in (0, -signal.SIGTERM):
            return None
        return f"{self.folder.name}: the process ended with code {code}"


def _work(recipe_json: str, folder: str, mouth: Connection) -> None:
    """Train one run; tells (step, loss), or a word and a message."""
    recipe, run = Recipe.model_validate_json(recipe_json), Path(folder)

    def tick(done: int, loss: float) -> None:
        if done % _EVERY == 0 or done == recipe.steps:
            mouth.send((done, loss))

    resume = (run / "recipe.json").exists()
    try:
        train(recipe, run, resume=resume, say=lambda line: None, tick=tick)
    except FloatingPointError as error:
        (run / _FAILURE).write_text(f"{error}\n")
        mouth.send(("failed", str(error)))
    except InputError as error:
        mouth.send(("input", str(error)))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other program trains in this folder meanwhile. Raises InputError."""
    try:
        import fcntl
    except ImportError:  # Windows has no such locks: the user has to see to it
        yield
        return
    descriptor = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(
                f"{folder}: another program trains there; wait for it or name another --store"
            ) from None
        yield
    finally:
        os.close(descriptor)
