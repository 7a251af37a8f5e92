"""The command `iln`: parses, calls, and reports. PyTorch is imported when a command needs it."""

from __future__ import annotations

import io
import logging
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from iln import __version__
from iln.errors import InputError


class _Commands(TyperGroup):
    """Ctrl-C ends a command with one word and code 130, whatever Typer's version makes of it."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(130) from None


app = typer.Typer(
    name="iln",
    cls=_Commands,
    help="Image restoration with Transformers that train calmly and run anywhere.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Precision(StrEnum):
    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


class Device(StrEnum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class InputStats(StrEnum):
    none = "none"
    mean = "mean"
    mean_std = "mean+std"


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"iln {__version__}")
        raise typer.Exit


@app.command()
def restore(
    inputs: Annotated[
        list[str], typer.Argument(metavar="IN...", help="Pictures, folders, or patterns (*.jpg).")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="File or folder for the result; without it NAME_restored beside the input.",
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(help="A shipped model (see `iln models`) or a file.")
    ] = "sr-x2",
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Peak of the whole process, such as 4GB; else what is free."
        ),
    ] = None,
    precision: Annotated[Precision, typer.Option(help="Numbers to compute in.")] = Precision.auto,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto,
    recursive: Annotated[
        bool, typer.Option("-r", "--recursive", help="Folders with their subfolders.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing results.")
    ] = False,
    quality: Annotated[
        int, typer.Option(min=1, max=100, help="Of JPEG, WebP and AVIF results.")
    ] = 95,
    max_pixels: Annotated[int, typer.Option(min=1, help="Refuse larger pictures.")] = 300_000_000,
    norm: Annotated[
        str | None, typer.Option(help="For a file that does not say its norm: ln, i-ln, ...")
    ] = None,
    input_stats: Annotated[
        InputStats | None, typer.Option(help="For a file that does not say them.")
    ] = None,
    img_range: Annotated[
        float | None, typer.Option(help="For a file that does not say it: 1 or 255.")
    ] = None,
    eps: Annotated[float | None, typer.Option(help="For a file that does not say it.")] = None,
) -> None:
    """Restore pictures: super-resolution, or whatever the model was trained for."""
    from iln.jobs import Options, plan_jobs, run_jobs

    jobs = plan_jobs(inputs, output, recursive=recursive, overwrite=overwrite)
    given = {
        "norm": norm,
        "input_stats": None if input_stats is None else input_stats.value,
        "img_range": img_range,
        "eps": eps,
    }
    options = Options(
        model=model,
        memory=memory,
        precision=precision.value,
        device=device.value,
        overwrite=overwrite,
        quality=quality,
        max_pixels=max_pixels,
        overrides={name: value for name, value in given.items() if value is not None},
    )
    raise typer.Exit(run_jobs(jobs, options))


@app.command()
def models() -> None:
    """List the shipped models."""
    from iln.checkpoint import describe, shipped

    for name in shipped():
        about = describe(name)
        size = f"{about['parameters'] / 1e6:.2f} M parameters, {about['bytes'] / 1e6:.1f} MB"
        typer.echo(f"{name:12} {about['task'] or ''}  ({about['backbone']}, {size})")


@app.command()
def train(
    recipe: Annotated[str | None, typer.Argument(help="A recipe, such as sr-x2.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Values of the recipe.")
    ] = None,
    run: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/latest"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run there.")] = False,
) -> None:
    """Train a network by a recipe, or resume a run that was stopped.

    Ctrl-C or SIGTERM: the step is finished and saved. Exit codes: 0 all steps done, 1 the loss was
    no longer finite, 2 bad input, 3 stopped and to be resumed. On a computer that does other work
    too, set OMP_WAIT_POLICY=passive: threads that wait for each other spin otherwise, and a step
    can take ten times as long.
    """
    from iln import training

    if recipe is None and not resume:
        raise InputError(f"name a recipe ({', '.join(training.RECIPES)}) or say --resume")
    chosen = (
        training.load_recipe(run) if recipe is None else training.recipe(recipe, overrides or [])
    )
    try:
        finished = training.train(chosen, run, resume=resume)
    except FloatingPointError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    raise typer.Exit(0 if finished else 3)


class _Notes(logging.Handler):
    """Notes of the library as lines on standard error, between those of a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        typer.echo(f"note: {record.getMessage()}", err=True)


def main(arguments: list[str] | None = None) -> None:
    """Entry point. Exit codes: 0 done, 1 some pictures failed, 2 bad input, 130 interrupted."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # any file's name can be told
        sys.stdout.reconfigure(errors="backslashreplace")
    logger = logging.getLogger("iln")
    logger.setLevel(logging.INFO)
    logger.addHandler(_Notes())
    try:
        app(arguments)
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
