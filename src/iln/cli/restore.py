"""`iln restore`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from iln.atomic import printable
from iln.cli.options import (
    Device,
    DeviceOption,
    Engine,
    EngineOption,
    EpsOption,
    ImgRangeOption,
    InputStatsOption,
    Memory,
    NormOption,
    Overwrite,
    Precision,
    PrecisionOption,
    checkpoint_overrides,
    complete_model,
)
from iln.errors import InputError

_CLUSTER = "On a cluster"


def restore(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="IN...", help="Pictures, folders, patterns (*.jpg), or - for standard input."
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            help="Write to this file or folder, or to standard output (-). "
            "Default: NAME_restored beside the input.",
        ),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            help="Use a shipped model (see `iln models`), a file, or hf://OWNER/NAME. Repeat to "
            "apply several. Default: photo.",
            autocompletion=complete_model,
        ),
    ] = None,
    strength: Annotated[
        str,
        typer.Option(
            metavar="0..1", help="Take this share of the result, the rest of the picture as it is."
        ),
    ] = "1",
    size: Annotated[
        str | None,
        typer.Option(
            metavar="WIDTHxHEIGHT",
            help="Resize the result: 4000x sets its width, x3000 its height, 4000x3000 the box "
            "that it fits into, 100% the picture's own size.",
        ),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Also write before and after, side by side, to this file."
        ),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Restore only where this picture is white, with a soft edge."
        ),
    ] = None,
    save_mask: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also write where the picture was seen to change, for --mask; nothing else of it "
            "is changed.",
        ),
    ] = None,
    unfade: Annotated[
        bool,
        typer.Option("--unfade", help="Stretch every colour to its full range, for faded prints."),
    ] = False,
    recursive: Annotated[
        bool, typer.Option("-r", "--recursive", help="Include subfolders.")
    ] = False,
    overwrite: Overwrite = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Skip pictures whose results exist already.")
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="K/N",
            help="Restore only the K-th of N parts, for jobs side by side; auto asks SLURM or "
            "torchrun.",
        ),
    ] = None,
    quality: Annotated[
        int, typer.Option(min=1, max=100, help="Set the quality of JPEG, WebP and AVIF output.")
    ] = 95,
    allow_damaged: Annotated[
        bool,
        typer.Option("--allow-damaged", help="Restore what can be read of damaged pictures."),
    ] = False,
    max_pixels: Annotated[
        int, typer.Option(min=1, help="Refuse pictures with more pixels than this.")
    ] = 300_000_000,
    memory: Memory = None,
    precision: PrecisionOption = Precision.auto,
    device: DeviceOption = Device.auto,
    engine: EngineOption = Engine.auto,
    norm: NormOption = None,
    input_stats: InputStatsOption = None,
    img_range: ImgRangeOption = None,
    eps: EpsOption = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="auto|local|HOST:PORT",
            help="Restore a folder, also of an object store (s3://...), on this Ray cluster. "
            "Results that exist are kept.",
            rich_help_panel=_CLUSTER,
        ),
    ] = None,
    actor_cpus: Annotated[
        int | None,
        typer.Option(
            min=1, help="Give each actor so many CPUs. Default: 1.", rich_help_panel=_CLUSTER
        ),
    ] = None,
    actor_gpus: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Give each actor so many GPUs, or a part of one. Default: 0.",
            rich_help_panel=_CLUSTER,
        ),
    ] = None,
    time_limit: Annotated[
        float | None,
        typer.Option(
            min=1,
            metavar="SECONDS",
            help="Give up a picture that takes longer. Default: 3600.",
            rich_help_panel=_CLUSTER,
        ),
    ] = None,
    scale: Annotated[str | None, typer.Option("-s", "--scale", hidden=True)] = None,
    input_option: Annotated[str | None, typer.Option("-i", "--input", hidden=True)] = None,
) -> None:
    """Restore pictures: old ones and phone pictures, or whatever the model was trained for."""
    from iln.checkpoints.catalogue import default_model
    from iln.checkpoints.chains import CHAINS
    from iln.restoration.batch import BatchOptions, run_jobs
    from iln.restoration.jobs import parse_shard, plan_jobs

    if scale is not None:
        raise InputError(
            "-s, --scale: the scale is the model's; use --model sr-x2 or --model sr-x4, and --size "
            "300% for any other"
        )
    if input_option is not None:
        raise InputError("-i, --input: give pictures by their names alone: iln restore PICTURE")
    if overwrite and skip_existing:
        raise InputError("--overwrite and --skip-existing: only one of them can be meant")
    said = checkpoint_overrides(norm, input_stats, img_range, eps)
    if said and models and (len(models) > 1 or models[0] in CHAINS):
        option = "--" + next(iter(said)).replace("_", "-")
        what = "with several models, run each by itself"
        if len(models) == 1:
            what = f"those of {models[0]} say it"
        raise InputError(f"{option} says what one file does not; {what}")
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
        skip_existing=skip_existing or (cluster is not None and not overwrite),
        quality=quality,
        unfade=unfade,
        strength=_number("strength", strength),
        size=size,
        compare=compare,
        mask=mask,
        save_mask=save_mask,
        max_pixels=max_pixels,
        allow_damaged=allow_damaged,
    )
    resources = {"cpus": actor_cpus, "gpus": actor_gpus, "time_limit": time_limit}
    given: dict[str, Any] = {name: value for name, value in resources.items() if value is not None}
    parts = (1, 1) if shard is None else parse_shard(shard)
    if cluster is not None:
        of_one = any(file is not None for file in (compare, mask, save_mask))
        if len(inputs) != 1 or output in (None, "-") or inputs == ["-"] or of_one:
            raise InputError("--cluster: give one folder, and another for results (-o)")
        from iln.deploy.cluster import Work, restore_on_cluster

        work = Work(inputs[0], output, options, **given)
        raise typer.Exit(restore_on_cluster(cluster, work, recursive=recursive, shard=parts))
    if addresses := [word for word in (*inputs, output or "") if "://" in word]:
        raise InputError(f"{printable(addresses[0])}: addresses are for --cluster, such as local")
    if given:
        raise InputError("--actor-cpus, --actor-gpus and --time-limit: only with --cluster")
    plan = plan_jobs(
        inputs,
        output,
        recursive=recursive,
        overwrite=overwrite,
        skip_existing=skip_existing,
        shard=parts,
    )
    if any(job.target is None for job in plan.jobs) and sys.stdout.isatty():
        raise InputError("standard output is a terminal; redirect it (> FILE) or name a file (-o)")
    raise typer.Exit(run_jobs(plan, options))


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{name} {text!r}: must be from 0 to 1, such as 0.5") from None
