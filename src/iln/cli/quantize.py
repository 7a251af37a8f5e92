"""`iln quantize`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from iln.cli.options import (
    EpsOption,
    ImgRangeOption,
    InputStatsOption,
    ModelName,
    NormOption,
    Overwrite,
    checkpoint_overrides,
)
from iln.cli.written import check_no_input, written
from iln.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from iln.backbones import Backbone

INT8_PERCENTILE = 99.999
"""Share of a layer's inputs, in per cent, that stay in range. Networks with i-LN have few large
values: cutting off more of them costs more than finer steps give (docs/precision.md)."""
SUFFIXES = {"int8": (".safetensors", ".xml"), "int4": (".safetensors",)}


class Kind(StrEnum):
    int8 = "int8"
    int4 = "int4"


def quantize(
    model: ModelName,
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Write to this file: .safetensors, or .xml (OpenVINO, int8 only).",
        ),
    ],
    precision: Annotated[
        Kind,
        typer.Option(
            help="Choose int8 (calibrated; faster with --engine openvino) or int4 (weights only; "
            "smaller file, computed in float32)."
        ),
    ] = Kind.int8,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Calibrate activation ranges on these clean pictures. Required for int8.",
        ),
    ] = None,
    pictures: Annotated[
        int,
        typer.Option(
            min=1, max=64, help="Calibrate on this many pictures, spread evenly over the folder."
        ),
    ] = 16,
    crop: Annotated[
        int,
        typer.Option(
            min=16, metavar="PIXELS", help="Crop each network input to its central PIXELS x PIXELS."
        ),
    ] = 128,
    norm: NormOption = None,
    input_stats: InputStatsOption = None,
    img_range: ImgRangeOption = None,
    eps: EpsOption = None,
    overwrite: Overwrite = False,
) -> None:
    """Make a model ready to compute in int8, or store its weights in 4 bits."""
    from iln.atomic import printable
    from iln.checkpoints.native import load

    _check(output, precision, calibrate, overwrite)
    check_no_input(output, (model,))
    network = load(model, **checkpoint_overrides(norm, input_stats, img_range, eps))
    for name, weight in network.named_parameters():
        if not weight.isfinite().all():
            raise InputError(
                f"{printable(model)}: {name} holds values that are not finite; a network of them "
                "cannot be quantized"
            )
    inputs = [] if calibrate is None else _inputs(network, model, calibrate, pictures, crop)
    if output.suffix == ".xml":
        from iln.deploy.export.quantizing import quantize as write

        write(network, output, inputs, source=model, overwrite=overwrite)
    else:
        if inputs:
            network.ranges = _measured(network, inputs)
        _save(network, model, output, overwrite, bits=None if inputs else 4)
    typer.echo(written(output))


def _check(output: Path, precision: Kind, calibrate: Path | None, overwrite: bool) -> None:
    """Before the minutes that measuring takes."""
    from iln.atomic import printable
    from iln.deploy.export.exporting import check_target
    from iln.extras import need

    if output.suffix not in SUFFIXES[precision.value]:
        accepted = " or ".join(SUFFIXES[precision.value])
        raise InputError(f"{printable(output)}: the name of this file must end in {accepted}")
    check_target(output, (output.suffix,), overwrite)
    if precision is Kind.int4 and calibrate is not None:
        raise InputError("--calibrate is for int8; int4 weights need no pictures")
    if precision is Kind.int8 and calibrate is None:
        raise InputError("int8 needs pictures to measure ranges on; give --calibrate FOLDER")
    if output.suffix == ".xml":
        need("openvino", "openvino")
        need("nncf", "nncf")


def _measured(network: Backbone, inputs: Sequence[npt.NDArray[np.float32]]) -> dict[str, Any]:
    """The ranges of its layers' inputs."""
    import torch

    from iln.deploy.quantization import calibrate
    from iln.progress import progress_bar

    with progress_bar() as tell:

        def images() -> Any:
            for i, pixels in enumerate(inputs):
                tell("measuring ranges", i / len(inputs))
                yield torch.from_numpy(pixels)

        ranges = calibrate(network, images(), INT8_PERCENTILE)
    for layer, limits in ranges.items():
        if not all(map(math.isfinite, limits)):
            raise InputError(f"{layer} sees values that are not finite; int8 needs finite ones")
    return ranges


def _save(network: Backbone, model: str, output: Path, overwrite: bool, bits: int | None) -> None:
    """With what the model's file says of it, but for its scores: they were another network's."""
    import torch

    from iln.checkpoints.native import said_by, save

    said = said_by(model)
    kept = {name: said.get(name) for name in ("task", "training", "licence")}
    dtype = None if bits else torch.float16
    save(network, output, dtype=dtype, bits=bits, overwrite=overwrite, **kept)


def _inputs(
    network: Backbone, model: str, folder: Path, count: int, crop: int
) -> list[npt.NDArray[np.float32]]:
    """(1, C, H, W) in [0, 1]: pictures damaged as the model's task does it, cut to the middle.

    Where nobody says what the model is for, they are taken as they are.
    """
    import numpy as np

    from iln.atomic import printable
    from iln.checkpoints.native import said_by
    from iln.images import read
    from iln.lab.evaluation.choice import task_of
    from iln.lab.tasks.folders import load_pair, sources

    task = task_of(printable(model), network.spec, said_by(model))
    found = sources(folder)
    count = min(count, len(found))
    inputs = []
    for source in (found[i * len(found) // count] for i in range(count)):
        if task is not None:
            if source.input is None and min(read(source.target).rgb8().shape[:2]) < task.scale:
                raise InputError(
                    f"{printable(source.target)}: is too small to be shrunk by {task.scale}"
                )
            damaged, _ = load_pair(source, task)
        else:
            damaged = read(source.input or source.target).rgb8()
        top, left = (max(0, (side - crop) // 2) for side in damaged.shape[:2])
        pixels = damaged[top : top + crop, left : left + crop].astype(np.float32)
        if damaged.dtype == np.uint8:
            pixels /= 255
        if pixels.shape[2] > network.spec.in_chans:  # a gray network that does not say its task
            pixels = pixels.mean(2, keepdims=True, dtype=np.float32)
        inputs.append(np.ascontiguousarray(pixels.transpose(2, 0, 1)[None]))
    return inputs
