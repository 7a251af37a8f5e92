"""`iln restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from iln.commands.options import (
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
        str | None,
        typer.Option(
            help="A shipped model (see `iln models`) or a file; else a note says which is taken."
        ),
    ] = None,
    memory: Memory = None,
    precision: Numbers = Precision.auto,
    device: Compute = Device.auto,
    engine: EngineOf = Engine.torch,
    recursive: Annotated[
        bool, typer.Option("-r", "--recursive", help="Folders with their subfolders.")
    ] = False,
    overwrite: Overwrite = False,
    unfade: Annotated[
        bool,
        typer.Option("--unfade", help="Stretch every colour to its full range, for faded prints."),
    ] = False,
    quality: Annotated[
        int, typer.Option(min=1, max=100, help="Of JPEG, WebP and AVIF results.")
    ] = 95,
    max_pixels: Annotated[int, typer.Option(min=1, help="Refuse larger pictures.")] = 300_000_000,
    norm: NormOf = None,
    input_stats: StatsOf = None,
    img_range: RangeOf = None,
    eps: EpsOf = None,
) -> None:
    """Restore pictures: old ones and phone pictures, or whatever the model was trained for."""
    from iln.catalogue import default_model
    from iln.jobs import Options, plan_jobs, run_jobs

    jobs = plan_jobs(inputs, output, recursive=recursive, overwrite=overwrite)
    options = Options(
        model=default_model() if model is None else model,
        memory=memory,
        precision=precision.value,
        device=device.value,
        engine=engine.value,
        overwrite=overwrite,
        quality=quality,
        unfade=unfade,
        max_pixels=max_pixels,
        overrides=answers(norm, input_stats, img_range, eps),
    )
    raise typer.Exit(run_jobs(jobs, options))
