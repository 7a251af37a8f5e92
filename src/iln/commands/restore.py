"""`iln restore` and `iln models`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


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


def models() -> None:
    """List the shipped models."""
    from iln.checkpoint import describe, shipped

    for name in shipped():
        about = describe(name)
        size = f"{about['parameters'] / 1e6:.2f} M parameters, {about['bytes'] / 1e6:.1f} MB"
        typer.echo(f"{name:12} {about['task'] or ''}  ({about['backbone']}, {size})")
