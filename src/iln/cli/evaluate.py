"""`iln evaluate`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from iln.assignment import parse_assignment
from iln.cli import options
from iln.cli.written import check_no_input
from iln.errors import InputError
from iln.progress import progress_bar

_SEVERAL = ("--sets", "--param")
"""Options that take all words up to the next option."""


class EvaluateCommand(TyperCommand):
    """`--sets A B` means `--sets A --sets B`, so that `--sets data/*` does."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _spread(args))


def _spread(words: Sequence[str]) -> list[str]:
    spread: list[str] = []
    option = None
    for i, word in enumerate(words):
        if word == "--":
            return [*spread, *words[i:]]
        if word.startswith("-"):
            name, equals, _ = word.partition("=")
            option = name if name in _SEVERAL else None
            if option is None or equals or i + 1 == len(words) or words[i + 1].startswith("-"):
                spread.append(word)
        else:
            spread += [word] if option is None else [option, word]
    return spread


def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Shipped models (see `iln models`), files, or hf:// addresses.",
        ),
    ],
    sets: Annotated[
        list[Path],
        typer.Option(
            metavar="DIR...",
            help="Evaluate on these folders: clean pictures, or pairs in `input` and `target`.",
        ),
    ],
    task: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Choose the task. Default: the task that the models were trained for.",
        ),
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE...", help="Parameters of the task, such as sigma=25."),
    ] = None,
    csv_file: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="Write all scores as CSV, one per line."),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json", metavar="FILE", help="Write all scores and the evaluation settings as JSON."
        ),
    ] = None,
    overwrite: options.Overwrite = False,
    seed: Annotated[
        int,
        typer.Option(
            min=0, help="Set the seed of the degradation. Each picture's name is mixed in."
        ),
    ] = 0,
    memory: options.Memory = None,
    precision: options.PrecisionOption = options.Precision.auto,
    device: options.DeviceOption = options.Device.auto,
    engine: Annotated[
        options.Engine | None,
        typer.Option(
            "--engine", help="Choose the inference engine. Default: torch; openvino for its graphs."
        ),
    ] = None,
    norm: options.NormOption = None,
    input_stats: options.InputStatsOption = None,
    img_range: options.ImgRangeOption = None,
    eps: options.EpsOption = None,
) -> None:
    """Evaluate models on folders of pictures and compare their scores.

    Pictures are degraded by the task, the same in every run, and restored without tiling.
    """
    parameters = dict(map(parse_assignment, param or []))
    if csv_file is not None and json_file is not None and csv_file.resolve() == json_file.resolve():
        raise InputError("--csv and --json name the same file")

    from rich.console import Console

    from iln.atomic import check_writable
    from iln.lab import evaluation
    from iln.lab.evaluation.files import write_csv, write_json
    from iln.lab.evaluation.table import print_table

    for file in filter(None, (csv_file, json_file)):
        check_writable(file, overwrite)
        check_no_input(file, (*models, *sets))
    with progress_bar() as progress:
        result = evaluation.evaluate(
            models,
            sets,
            task=task,
            parameters=parameters,
            seed=seed,
            memory=memory,
            precision=precision.value,
            device=device.value,
            progress=progress,
            **({} if engine is None else {"engine": engine.value}),
            **options.checkpoint_overrides(norm, input_stats, img_range, eps),
        )
    if csv_file is not None:
        write_csv(result, csv_file, overwrite=overwrite)
    if json_file is not None:
        write_json(result, json_file, overwrite=overwrite)
    print_table(result, Console())
