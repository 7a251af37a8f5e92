"""ONNX files, by PyTorch's exporter from a traced program."""

import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.export import ExportedProgram

from iln.checkpoints.files import OUR_KEY
from iln.deploy.export.graph import IMAGE, RESTORED
from iln.extras import need


def onnx_bytes(program: ExportedProgram, card: dict[str, Any]) -> bytes:
    """The content of an ONNX file: input `image`, output `restored`, `card` under the key `iln`.

    Sizes that are free are called `height` and `width`, the result's `restored_height` and
    `restored_width`.

    Raises:
        InputError: where onnx or onnxscript are missing.
    """
    exported = _converted(program, [IMAGE], RESTORED)
    exported.model.metadata_props[OUR_KEY] = json.dumps(card)
    content = exported.model_proto
    for values, names in (
        (content.graph.input, ("height", "width")),
        (content.graph.output, ("restored_height", "restored_width")),
    ):
        for dim, name in zip(values[0].type.tensor_type.shape.dim[2:], names, strict=True):
            if dim.dim_param or not dim.dim_value:
                dim.dim_param = name
    data: bytes = content.SerializeToString()
    return data


def weightless_onnx(
    program: ExportedProgram, inputs: Sequence[str], weights: Sequence[str]
) -> bytes:
    """The same for a graph with output `y` whose weights are inputs, too.

    Args:
        inputs: names to give to the program's own inputs.
        weights: names of parameters in the program, which become `w0`, `w1`, ...
    """
    exported = _converted(program, list(inputs), "y", optimize=False)
    graph = exported.model.graph
    for number, name in enumerate(weights):
        value = graph.initializers.pop(name)
        value.const_value = None
        value.name = f"w{number}"
        graph.inputs.append(value)
    exported.optimize()  # not before, or weights would be computed with
    data: bytes = exported.model_proto.SerializeToString()
    return data


def _converted(
    program: ExportedProgram, inputs: list[str], output: str, *, optimize: bool = True
) -> Any:
    need("onnx", "export")
    need("onnxscript", "export")
    with quietly("torch.onnx._internal.exporter._registration"):  # "torchvision is not installed"
        exported = torch.onnx.export(
            program,
            dynamo=True,
            input_names=inputs,
            output_names=[output],
            verbose=False,
            optimize=optimize,
        )
    assert exported is not None
    # Where each operation stood in the source, in the file system of whoever exports.
    for node in exported.model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
    exported.model.graph.metadata_props.clear()
    exported.model.metadata_props.clear()
    return exported


@contextmanager
def quietly(name: str) -> Iterator[None]:
    """Without a logger's notes on what these networks have no use for."""
    log = logging.getLogger(name)
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"onnx|torch\.")
            # Its own way of asking, in some versions.
            warnings.filterwarnings("ignore", r".*treespec, LeafSpec", FutureWarning)
            yield
    finally:
        log.setLevel(level)
