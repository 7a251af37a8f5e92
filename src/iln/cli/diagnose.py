"""`iln diagnose`."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from iln.atomic import printable
from iln.cli import options
from iln.cli.written import check_no_input
from iln.errors import InputError
from iln.progress import progress_bar

if TYPE_CHECKING:
    from iln.backbones import Backbone
    from iln.images.sample_pictures import SamplePicture
    from iln.restoration.options import CheckpointOverrides


def diagnose(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="CHECKPOINT...",
            help="Diagnose this shipped model (see `iln models`) or file. Add a second to compare. "
            "Add pictures to measure on. Default: a built-in picture.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="FILE.html", help="Write the HTML report to this file."
        ),
    ] = Path("report.html"),
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json",
            metavar="FILE",
            help="Write all numbers here. Default: the report's name with .json.",
        ),
    ] = None,
    crop: options.Crop = 128,
    device: options.DeviceOption = options.Device.auto,
    overwrite: options.Overwrite = False,
    norm: options.NormOption = None,
    input_stats: options.InputStatsOption = None,
    img_range: options.ImgRangeOption = None,
    eps: options.EpsOption = None,
) -> None:
    """Diagnose a model: features, half precision, int8 and int4, with recommendations.

    Write a self-contained HTML report and a JSON file. A second model is compared with it.
    """
    if output.suffix.lower() != ".html":
        raise InputError(f"{printable(output)}: the name of the page must end in .html")
    numbers = output.with_suffix(".json") if json_file is None else json_file
    if numbers.resolve() == output.resolve():
        raise InputError("--output and --json name the same file")

    from iln.atomic import atomic_write, check_writable
    from iln.images.sample_pictures import sample_pictures_of
    from iln.lab.dynamics import report
    from iln.lab.dynamics.verdict import judge

    for file in (output, numbers):
        check_writable(file, overwrite)
        check_no_input(file, words)
    checkpoints, pictures = _sorted(words)
    loaded = _load(
        checkpoints, options.checkpoint_overrides(norm, input_stats, img_range, eps), device.value
    )
    sample_pictures = sample_pictures_of(pictures, crop)
    subjects = _subjects(loaded, sample_pictures)
    date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    text = report.page(subjects, sample_pictures, date)
    found = json.dumps(report.as_json(subjects, sample_pictures, date), indent=1, allow_nan=False)
    with atomic_write(output, overwrite) as one, atomic_write(numbers, overwrite) as two:
        one.write_text(text, "utf-8", errors="replace")  # a file's own words may be no Unicode
        two.write_text(found + "\n", "utf-8")
    for subject in subjects:
        typer.echo(f"{subject.name}: {judge(subject.found).headline}")
    for sentence in report.comparison(subjects):
        typer.echo(sentence)
    typer.echo(f"{printable(output)} and {printable(numbers)} say more")


def _sorted(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Checkpoints and pictures. The first word is a checkpoint; any other is one if it is the
    name of a shipped model, or a file that begins like weights, and else a picture."""
    from iln.checkpoints.files import is_weights

    checkpoints, pictures = [words[0]], list[str]()
    for word in words[1:]:
        if not is_weights(word) and not os.path.lexists(word):
            raise InputError(
                f"{printable(word)}: no such file; after the first checkpoint come one more at "
                "most, and pictures"
            )
        (checkpoints if is_weights(word) else pictures).append(word)
    if len(checkpoints) > 2:
        raise InputError(f"{len(checkpoints)} checkpoints; two at most can be compared")
    return checkpoints, pictures


def _load(
    files: Sequence[str], given: CheckpointOverrides, device: str
) -> list[tuple[str, Backbone, dict[str, Any], dict[str, Any]]]:
    """(name, network, what its file says, what was assumed) of each."""
    from iln.checkpoints.files import short_name
    from iln.checkpoints.native import load_explained, said_by
    from iln.checkpoints.published import Answers
    from iln.lab.evaluation.models import distinct
    from iln.restoration.restorer import find_device

    names = distinct([short_name(file) for file in files], files, (), "checkpoint")
    about = [said_by(file) for file in files]
    if given and all(about):
        raise InputError(f"{', '.join(given)}: only for files that do not say it; these do")
    loaded = []
    for name, file, said in zip(names, files, about, strict=True):
        model, assumed = load_explained(file, Answers(**({} if said else given)))
        loaded.append((name, model.to(find_device(device)), said, assumed))
    return loaded


def _subjects(
    loaded: Sequence[tuple[str, Backbone, dict[str, Any], dict[str, Any]]],
    sample_pictures: Sequence[SamplePicture],
) -> list[Any]:
    from iln.backbones import name_of
    from iln.lab.dynamics import diagnose
    from iln.lab.dynamics.report import Subject

    subjects = []
    with progress_bar() as progress:
        for i, (name, model, said, assumed) in enumerate(loaded):

            def tell(share: float, i: int = i, name: str = name) -> None:
                progress(name, (i + share) / len(loaded))

            spec = model.spec
            parameter = next(model.parameters())
            images = [s.image(spec.in_chans).to(parameter.device) for s in sample_pictures]
            subjects.append(
                Subject(
                    name=name,
                    backbone=name_of(spec),
                    spec=spec,
                    parameters=sum(p.numel() for p in model.parameters()),
                    about=said,
                    assumed=assumed,
                    found=diagnose(model, images, progress=tell),
                )
            )
    return subjects
