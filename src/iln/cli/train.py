"""`iln train` and `iln recipes`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iln.errors import InputError

if TYPE_CHECKING:
    from iln.lab.training import Recipe


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
    not finite, 2 bad input, 3 interrupted; resume with --resume.
    """
    from iln.lab import training
    from iln.lab.training.recipes import override

    changes = list(overrides or [])
    if recipe is not None and "=" in recipe:  # no recipe was named
        changes.insert(0, recipe)
        recipe = None
    if resume is not None:
        base = training.load_recipe(resume)
        chosen = override(base, changes) if recipe is None else training.recipe(recipe, changes)
        folder = resume
    elif recipe is not None:
        chosen = training.recipe(recipe, changes)
        folder = Path("runs") / recipe if output is None else output
    else:
        raise InputError("name a recipe (`iln recipes` lists them) or say --resume RUN")
    chosen = _folders_from_here(chosen, changes)
    training.check_run(chosen, folder, resume is not None)
    try:
        with _display(chosen.steps) as (say, tick):
            finished = training.train(
                chosen,
                folder,
                resume=resume is not None,
                on_nonfinite=on_nonfinite.value,
                say=say,
                tick=tick,
            )
    except FloatingPointError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    _leave(0 if finished else 3)


def _folders_from_here(recipe: Recipe, changes: list[str]) -> Recipe:
    """Relative folders of the command line begin where one stands or, else, in `data_root`."""
    keys = {change.partition("=")[0] for change in changes} & {"data", "validation"}
    found = {
        key: tuple(_folder(folder, recipe.data_root) for folder in getattr(recipe, key))
        for key in keys
    }
    return recipe.model_copy(update=found)


def _folder(name: Path, data_root: Path) -> Path:
    from iln.atomic import printable

    if name.is_dir():
        return name.absolute()
    if not (data_root / name).is_dir():
        places = "" if name.is_absolute() else f", neither here nor in {printable(data_root)}"
        raise InputError(f"{printable(name)} is not a folder of pictures{places}")
    return name


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
    from iln.lab.training import RECIPES

    for name, make in RECIPES.items():
        typer.echo(f"{name:16} {(make.__doc__ or '').strip()}")


@contextmanager
def _display(
    steps: int,
) -> Iterator[tuple[Callable[[str], None], Callable[[int, float], None] | None]]:
    """On a terminal, lines above a bar with pace, loss and time left; elsewhere lines alone."""
    from iln.lab.training.report import say_plainly

    if not sys.stdout.isatty() or os.environ.get("RANK", "0") != "0":
        yield say_plainly, None
        return
    from rich import progress as bars

    columns = (
        bars.TextColumn("training"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TextColumn("{task.fields[pace]}"),
        bars.TextColumn("{task.fields[loss]}"),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns) as progress:
        bar = progress.add_task("training", total=steps, pace="", loss="", start=False)

        def tick(done: int, loss: float) -> None:
            task = progress.tasks[0]
            if not task.started:  # steps of an earlier run say nothing about this one's pace
                progress.start_task(bar)
                progress.update(bar, completed=done)
                return
            pace = f"{task.speed or 0:.3g} steps/s"
            progress.update(bar, completed=done, loss=f"loss {loss:.4f}", pace=pace)

        yield (lambda line: progress.console.print(line, markup=False, highlight=False)), tick
