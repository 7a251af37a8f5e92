"""int8 for OpenVINO: post-training quantisation by NNCF, with pictures to measure ranges on."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from iln.backbones import Backbone
from iln.deploy.export.about import card
from iln.deploy.export.exporting import check_target
from iln.deploy.export.graph import trace
from iln.deploy.export.onnx_file import onnx_bytes, quietly
from iln.deploy.export.openvino_file import write_graph
from iln.errors import InputError
from iln.extras import need, openvino_core

LEAST, MOST = 1, 64
"""Pictures that ranges can be measured on; more than the latter bring nothing but time."""
KEPT = (
    *("Add", "Subtract", "Multiply", "Divide", "Power", "Sqrt", "ReduceMean", "Softmax"),
    *("Concat", "Gather", "Transpose"),
)
"""Operations that stay in float: the residual stream, statistics, softmax and what moves data."""

Input = npt.NDArray[np.float32]
"""(1, C, H, W) in [0, 1], as the graph takes it."""


def quantize(
    network: Backbone,
    file: str | os.PathLike[str],
    inputs: Sequence[Input],
    *,
    source: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a network as an OpenVINO graph whose body computes in int8.

    The linear layers and convolutions of the body have weights of 8 bits with a step for each
    output channel, and inputs of 8 bits with one step, from the ranges seen on `inputs`. The first
    and the last convolution, which see and make pixels, the projections to q, k and v, the products
    inside attention, statistics and the residual stream stay in float.

    The file may be used on another computer, so its weights take half of their range, as CPUs
    without 8-bit dot products need it; the card says `weight_range`: `half`.

    Args:
        file: ends in .xml; its .bin lies beside.
        inputs: 1 to 64 pictures of the kind that the network is for.
        source: the shipped model's name or file that it was loaded from, for the card.

    Raises:
        InputError: for another suffix or number of pictures, missing packages, or a file that
            cannot be written.
    """
    check_target(file, (".xml",), overwrite)
    check_target(Path(file).with_suffix(".bin"), (".bin",), overwrite)
    if not LEAST <= len(inputs) <= MOST:
        raise InputError(f"{len(inputs)} pictures to calibrate with; accepted: {LEAST} to {MOST}")
    core, nncf = openvino_core(), need("nncf", "nncf")
    graph = core.read_model(onnx_bytes(trace(network), {}))
    with quietly("nncf"):  # it lists every operation that it leaves alone
        small = nncf.quantize(
            graph,
            nncf.Dataset(list(inputs), lambda picture: {0: picture}),
            subset_size=len(inputs),
            model_type=nncf.ModelType.TRANSFORMER,
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                overflow_fix=nncf.OverflowFix.ENABLE  # weights from -64 to 64
            ),
            ignored_scope=nncf.IgnoredScope(
                names=_in_float(graph), types=list(KEPT), validate=False
            ),
        )
    about = {**card(network, source, "int8"), "weight_range": "half"}
    write_graph(small, about, Path(file), overwrite=overwrite)


def _in_float(graph: Any) -> list[str]:
    """The first and the last convolution, and products without a plain weight: those inside
    attention, and the projections to q, k and v, whose weights are shares of one."""
    operations = graph.get_ordered_ops()
    convolutions = [o for o in operations if o.get_type_name() == "Convolution"]
    products = [
        o
        for o in operations
        if o.get_type_name() == "MatMul" and not any(map(_constant, o.inputs()))
    ]
    return [o.get_friendly_name() for o in (convolutions[0], convolutions[-1], *products)]


def _constant(entry: Any) -> bool:
    return bool(entry.get_source_output().get_node().get_type_name() == "Constant")
