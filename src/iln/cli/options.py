"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from iln.restoration.options import CheckpointOverrides


class Precision(StrEnum):
    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"
    int8 = "int8"


class Engine(StrEnum):
    auto = "auto"
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


ModelName = Annotated[
    str, typer.Argument(help="A shipped model (see `iln models`), a file, or hf://OWNER/NAME.")
]
DeviceOption = Annotated[Device, typer.Option("--device", help="Choose the device.")]
PrecisionOption = Annotated[
    Precision, typer.Option("--precision", help="Choose the numeric precision.")
]
EngineOption = Annotated[
    Engine,
    typer.Option(
        "--engine", help="Choose the inference engine; auto takes openvino where it is faster."
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        "--memory",
        metavar="SIZE",
        help="Limit the peak memory of the process, such as 4GB. Default: most of what is free.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")]
Crop = Annotated[
    int,
    typer.Option(
        "--crop",
        min=0,
        metavar="PIXELS",
        help="Crop larger pictures to their central PIXELS x PIXELS; 0 uses them whole.",
    ),
]

NormOption = Annotated[
    str | None,
    typer.Option("--norm", help="Set the norm (ln, i-ln, ...) if the file does not record it."),
]
InputStatsOption = Annotated[
    InputStats | None,
    typer.Option(
        "--input-stats", help="Set the input statistics if the file does not record them."
    ),
]
ImgRangeOption = Annotated[
    float | None,
    typer.Option(
        "--img-range", help="Set the image range (1 or 255) if the file does not record it."
    ),
]
EpsOption = Annotated[
    float | None,
    typer.Option("--eps", help="Set the norm's epsilon if the file does not record it."),
]


def checkpoint_overrides(
    norm: str | None, input_stats: InputStats | None, img_range: float | None, eps: float | None
) -> CheckpointOverrides:
    """What was said of files that do not say it, by name."""
    given = {
        "norm": norm,
        "input_stats": None if input_stats is None else input_stats.value,
        "img_range": img_range,
        "eps": eps,
    }
    said = {name: value for name, value in given.items() if value is not None}
    return cast("CheckpointOverrides", said)


def complete_model(incomplete: str) -> list[str]:
    """Names of models that begin so, for the shell."""
    from iln.checkpoints.catalogue import names

    return [name for name in names() if name.startswith(incomplete)]
