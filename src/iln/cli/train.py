"""`iln train` and `iln recipes`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iln.errors import InputError

if TYPE_CHECKING:
    from iln.lab.training import Recipe
    from iln.lab.training.progress import Progress, Tick
    from iln.lab.training.report import Say


class OnNonfinite(StrEnum):
    stop = "stop"
    skip = "skip"


def train(
    recipe: Annotated[
        str | None, typer.Argument(help="A recipe, such as sr-x2; see `iln recipes`.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Override recipe values.")
    ] = None,
    output: Annotated[
        Path | None,  # not --run: torchrun would take that for its own --run-path
        typer.Option(
            "-o",
            "--output",
            metavar="RUN",
            help="Write a new run to this folder. Default: runs/RECIPE.",
        ),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Resume the run in this folder.")
    ] = None,
    on_nonfinite: Annotated[
        OnNonfinite,
        typer.Option(help="Choose what to do if the loss or a gradient is NaN or infinite."),
    ] = OnNonfinite.stop,
) -> None:
    """Train a network by a recipe, or resume a run that was stopped.

    With several processes: torchrun --nproc_per_node=2 -m iln train RECIPE.

    On Ctrl-C or SIGTERM the step is finished and saved. Exit codes: 0 all steps done, 1 a step was
    not finite, 2 bad input, 3 stopped and saved: go on with --resume, 130 interrupted before the
    first step, or a second time. On --resume, steps= may grow where the learning rate is constant
    (lr_end=1) or multistep.
    """
    from iln.lab import training
    from iln.lab.training.recipes import override

    changes = list(overrides or [])
    if recipe is not None and "=" in recipe:  # no recipe was named
        changes.insert(0, recipe)
        recipe = None
    if resume is not None and output is not None:
        raise InputError("--resume and -o: a resumed run stays in its folder; leave -o out")
    if resume is not None:
        base = training.load_recipe(resume)
        chosen = override(base, changes) if recipe is None else training.recipe(recipe, changes)
        folder = resume
    elif recipe is not None:
        chosen = training.recipe(recipe, changes)
        folder = Path("runs") / recipe if output is None else output
    else:
        raise InputError("name a recipe (`iln recipes` lists them) or say --resume RUN")
    _check_named(chosen, changes)
    training.check_run(chosen, folder, resume is not None)
    try:
        with _terminated_as_interrupted(), _display(chosen.steps) as (say, tick, progress):
            finished = training.train(
                chosen,
                folder,
                resume=resume is not None,
                on_nonfinite=on_nonfinite.value,
                say=say,
                tick=tick,
                progress=progress,
            )
    except FloatingPointError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    if not finished:  # all is saved: a second signal has nothing to stop
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _leave(0 if finished else 3)


def _check_named(recipe: Recipe, changes: list[str]) -> None:
    """Sets that the user names have to be there; those of a recipe may be left out."""
    from iln.atomic import printable

    for key in {change.partition("=")[0] for change in changes} & {"data", "validation"}:
        names = getattr(recipe, key)
        for name, folder in zip(names, recipe.folders(names), strict=True):
            if not folder.is_dir():
                root = printable(recipe.data_root)
                places = "" if name.is_absolute() else f", neither here nor in {root}"
                raise InputError(f"{printable(name)} is not a folder of pictures{places}")


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM while there is nothing to save yet ends as tidily as Ctrl-C."""
    interrupt = signal.getsignal(signal.SIGINT)
    before = signal.signal(
        signal.SIGTERM, interrupt if callable(interrupt) else signal.default_int_handler
    )
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave(code: int) -> None:
    """End with this exit code; one of several processes at once, without Python's own ending.

    FSDP never lets go of its connections, whose threads may still hold tensors, and a thread that
    lets go of one while Python ends aborts the process: after all is saved, and as a failed run.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    raise typer.Exit(code)


def recipes() -> None:
    """List the recipes for `iln train`."""
    from iln.lab.training.recipes import FROM_FILE, RECIPES

    for name, make in (RECIPES | FROM_FILE).items():
        first_line = (make.__doc__ or "").strip().partition("\n")[0]
        typer.echo(f"{name:16} {first_line}")


@contextmanager
def _display(steps: int) -> Iterator[tuple[Say, Tick | None, Progress | None]]:
    """On a terminal, lines above a bar with pace, loss and time left; elsewhere lines alone."""
    from iln.lab.training.report import say_plainly

    if not sys.stdout.isatty() or os.environ.get("RANK", "0") != "0":
        yield say_plainly, None, None
        return
    from rich import progress as bars

    columns = (
        bars.TextColumn("{task.description}", markup=False),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TextColumn("{task.fields[pace]}"),
        bars.TextColumn("{task.fields[loss]}"),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns) as progress:
        training = progress.add_task("training", total=steps, pace="", loss="", start=False)
        other = progress.add_task("", pace="", loss="", visible=False)

        def tick(done: int, loss: float) -> None:
            task = progress.tasks[0]
            if not task.started:  # steps of an earlier run say nothing about this one's pace
                progress.start_task(training)
                progress.update(training, completed=done)
                return
            pace = f"{task.speed or 0:.3g} steps/s"
            progress.update(training, completed=done, loss=f"loss {loss:.4f}", pace=pace)

        def tell(what: str, done: int, total: int) -> None:
            if what != progress.tasks[1].description:
                progress.reset(other)
            progress.update(
                other, description=what, completed=done, total=total, visible=done < total
            )

        yield (lambda line: progress.console.print(line, markup=False, highlight=False)), tick, tell
