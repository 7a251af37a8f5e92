"""`iln export`: a model as a file that other programs run."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

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


class Format(StrEnum):
    onnx = "onnx"
    openvino = "openvino"
    torch = "torch"
    executorch = "executorch"
    official = "official"
    web = "web"


class Precision(StrEnum):
    fp32 = "fp32"
    fp16 = "fp16"


def export(
    model: ModelName,
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Write to this file (.onnx, .xml, .pt2, .pte; official: .pth or .safetensors; "
            "web: a folder).",
        ),
    ],
    to: Annotated[Format, typer.Option(help="Choose the file format.")] = Format.onnx,
    size: Annotated[
        str | None,
        typer.Option(metavar="HxW", help="Fix the input size. Default: pictures of any size."),
    ] = None,
    precision: Annotated[
        Precision, typer.Option(help="Set the precision of weights and activations.")
    ] = Precision.fp32,
    runtime: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Take onnxruntime-web for --to web from this folder. Default: npm fetches it.",
        ),
    ] = None,
    norm: NormOption = None,
    input_stats: InputStatsOption = None,
    img_range: ImgRangeOption = None,
    eps: EpsOption = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a model as ONNX, OpenVINO, PyTorch or ExecuTorch program, to be run without iln.

    The input is `image` (1, C, H, W), float32 in [0, 1]; the output `restored`, not clamped.

    With --to official, write a LayerNorm model as weights for its authors' code, and for what loads
    their files.

    With --to web, write a folder with a page that restores pictures in the visitor's browser.
    """
    from iln.deploy.export import export as write
    from iln.deploy.export import parse_shape

    check_no_input(output, (model,))
    fixed = None if size is None else parse_shape(size)
    write(
        model,
        output,
        to=to.value,
        size=fixed,
        precision=precision.value,
        runtime=runtime,
        overwrite=overwrite,
        **checkpoint_overrides(norm, input_stats, img_range, eps),
    )
    typer.echo(written(output))
