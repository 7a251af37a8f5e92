"""`iln degrade`: damage a picture as a task does for training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iln.assignment import parse_assignment
from iln.errors import InputError

if TYPE_CHECKING:
    from iln.images import Picture
    from iln.lab.tasks import Task

_MARK = "_degraded"


def degrade(
    photo: Annotated[Path, typer.Argument(metavar="IN", help="A picture.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="The task's parameters: sigma=25, scale=4."),
    ] = None,
    task: Annotated[
        str,
        typer.Option(
            help="Choose the task: sr, denoise, jpeg, derain, deblur, photo or scratches."
        ),
    ] = "photo",
    seed: Annotated[int, typer.Option(min=0, help="Set the random seed.")] = 0,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            help="Write to this file or folder. Default: NAME_degraded beside the input.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing result.")
    ] = False,
    quality: Annotated[
        int, typer.Option(min=1, max=100, help="Set the quality of JPEG, WebP and AVIF output.")
    ] = 95,
) -> None:
    """Damage a picture: noise, JPEG, rain, blur, old photographs, low resolution.

    The same picture, task, parameters and seed give the same damage. A lossy result loses a
    little more: give -o NAME.png to measure with.
    """
    import numpy as np

    from iln.atomic import printable
    from iln.images import check_suffix, read, write
    from iln.lab.tasks import task as task_by_name
    from iln.restoration.batch import LOCAL
    from iln.restoration.jobs import plan_jobs

    chosen = task_by_name(task, dict(map(parse_assignment, overrides or [])))
    if not photo.is_file():
        what = "is a folder; give one picture" if photo.is_dir() else "is no file"
        raise InputError(f"{printable(photo)} {what}")
    beside = _writable(photo.with_name(f"{photo.stem}{_MARK}{photo.suffix}"))
    target = beside if output is None else output
    plan = plan_jobs([str(photo)], target, recursive=False, overwrite=overwrite)
    (job,) = plan.jobs
    if job.problem is not None or job.target is None:
        raise InputError(job.problem or "-: give the name of a file to write")
    picture = read(photo)
    check_suffix(job.target, alpha=picture.alpha is not None)
    if picture.bit_depth == 16:
        typer.echo("note: damaged in 8 bits: rounded from 16", err=True)
    LOCAL.prepare(job.target)
    result = _damaged(picture, chosen, seed)
    notes = write(result, job.target, overwrite=overwrite, quality=quality)
    parameters = " ".join(
        f"{key}={value}" for key, value in chosen if key != "scale" or chosen.scale > 1
    )
    typer.echo(
        f"{printable(job.target)}  {picture.width}x{picture.height} -> "
        f"{result.width}x{result.height}, {task} {parameters}, seed {seed}"
    )
    if np.array_equal(result.pixels, picture.pixels):
        notes = [*notes, f"with these parameters, seed {seed} leaves this picture as it was"]
    for note in notes:
        typer.echo(f"note: {note}", err=True)


def _writable(target: Path) -> Path:
    """GIF and names without a suffix become PNG."""
    from iln.images import SUFFIXES

    return target if target.suffix.lower() in SUFFIXES else target.with_suffix(".png")


def _damaged(picture: Picture, task: Task, seed: int) -> Picture:
    """With the metadata it had; transparency goes along, gray stays gray."""
    from dataclasses import replace
    from fractions import Fraction

    import numpy as np

    from iln.images import resize
    from iln.lab.tasks import generator, to_uint8
    from iln.lab.tasks.task import luma

    rgb = picture.rgb8()
    if min(rgb.shape[:2]) < task.scale:
        raise InputError(
            f"{picture.width} x {picture.height} is too small to be shrunk by {task.scale}"
        )
    damaged, _ = task.pair(rgb, generator(seed))
    pixels = to_uint8(damaged)
    if picture.channels == 1 and pixels.shape[2] == 3:
        pixels = luma(pixels)
    if picture.alpha is None:
        return replace(picture, pixels=pixels)
    full = 257 if picture.alpha.dtype == np.uint16 else 1
    alpha = np.rint(picture.alpha / full).astype(np.uint8)
    height, width = (side * task.scale for side in pixels.shape[:2])
    alpha = resize(alpha[:height, :width], Fraction(1, task.scale))
    return replace(picture, pixels=pixels, alpha=alpha)
