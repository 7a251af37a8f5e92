"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from iln.restoration.options import FileSays


class Precision(StrEnum):
    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"
    int8 = "int8"


class Engine(StrEnum):
    torch = "torch"
    openvino = "openvino"


class Device(StrEnum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class InputStats(StrEnum):
    none = "none"
    mean = "mean"
    mean_std = "mean+std"


ModelName = Annotated[str, typer.Argument(help="A shipped model (see `iln models`) or a file.")]
Compute = Annotated[Device, typer.Option("--device", help="Where to compute.")]
Numbers = Annotated[Precision, typer.Option("--precision", help="Numbers to compute in.")]
EngineOf = Annotated[
    Engine, typer.Option("--engine", help="What computes; openvino is faster on CPUs.")
]
Memory = Annotated[
    str | None,
    typer.Option(
        "--memory",
        metavar="SIZE",
        help="Peak of the whole process, such as 4GB; else what is free.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")]
Crop = Annotated[
    int,
    typer.Option(
        "--crop", min=0, metavar="PIXELS", help="Use the middle of larger pictures; 0: whole."
    ),
]

NormOf = Annotated[
    str | None, typer.Option("--norm", help="For files that do not say their norm: ln, i-ln, ...")
]
StatsOf = Annotated[
    InputStats | None, typer.Option("--input-stats", help="For files that do not say them.")
]
RangeOf = Annotated[
    float | None, typer.Option("--img-range", help="For files that do not say it: 1 or 255.")
]
EpsOf = Annotated[float | None, typer.Option("--eps", help="For files that do not say it.")]


def answers(
    norm: str | None, input_stats: InputStats | None, img_range: float | None, eps: float | None
) -> FileSays:
    """What was said of files that do not say it, by name."""
    given = {
        "norm": norm,
        "input_stats": None if input_stats is None else input_stats.value,
        "img_range": img_range,
        "eps": eps,
    }
    said = {name: value for name, value in given.items() if value is not None}
    return cast("FileSays", said)
