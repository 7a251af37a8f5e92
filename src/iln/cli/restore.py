"""`iln restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from iln.cli.options import (
    Compute,
    Device,
    Engine,
    EngineOf,
    EpsOf,
    Memory,
    NormOf,
    Numbers,
    Overwrite,
    Precision,
    RangeOf,
    StatsOf,
    answers,
)
from iln.errors import InputError


def restore(
    inputs: Annotated[
        list[str], typer.Argument(metavar="IN...", help="Pictures, folders, or patterns (*.jpg).")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Write to this file or folder. Default: NAME_restored beside the input.",
        ),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            help="Use a shipped model (see `iln models`) or a file. Repeat to apply several. "
            "Default: a model that is chosen and reported.",
        ),
    ] = None,
    memory: Memory = None,
    precision: Numbers = Precision.auto,
    device: Compute = Device.auto,
    engine: EngineOf = Engine.torch,
    recursive: Annotated[
        bool, typer.Option("-r", "--recursive", help="Include subfolders.")
    ] = False,
    overwrite: Overwrite = False,
    unfade: Annotated[
        bool,
        typer.Option("--unfade", help="Stretch every colour to its full range, for faded prints."),
    ] = False,
    quality: Annotated[
        int, typer.Option(min=1, max=100, help="Set the quality of JPEG, WebP and AVIF output.")
    ] = 95,
    max_pixels: Annotated[
        int, typer.Option(min=1, help="Refuse pictures with more pixels than this.")
    ] = 300_000_000,
    norm: NormOf = None,
    input_stats: StatsOf = None,
    img_range: RangeOf = None,
    eps: EpsOf = None,
) -> None:
    """Restore pictures: old ones and phone pictures, or whatever the model was trained for."""
    from iln.checkpoints.catalogue import default_model
    from iln.restoration.batch import BatchOptions, plan_jobs, run_jobs

    said = answers(norm, input_stats, img_range, eps)
    if said and models and len(models) > 1:
        option = "--" + next(iter(said)).replace("_", "-")
        raise InputError(
            f"{option} says what one file does not; with several models, run each by itself"
        )
    jobs = plan_jobs(inputs, output, recursive=recursive, overwrite=overwrite)
    options = BatchOptions(
        models=tuple(models or [default_model()]),
        restore={
            "memory": memory,
            "precision": precision.value,
            "device": device.value,
            "engine": engine.value,
            **said,
        },
        overwrite=overwrite,
        quality=quality,
        unfade=unfade,
        max_pixels=max_pixels,
    )
    raise typer.Exit(run_jobs(jobs, options))
