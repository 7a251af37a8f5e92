"""ONNX files, by PyTorch's exporter from a traced program."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.export import ExportedProgram

from iln.deploy.export.about import KEY
from iln.deploy.export.graph import IMAGE, RESTORED
from iln.extras import need


def onnx_bytes(program: ExportedProgram, card: dict[str, Any]) -> bytes:
    """The content of an ONNX file: input `image`, output `restored`, `card` under the key `iln`.

    Sizes that are free are called `height` and `width`, the result's `restored_height` and
    `restored_width`. Raises InputError where onnx or onnxscript are missing.
    """
    need("onnx", "export")
    need("onnxscript", "export")
    with quietly("torch.onnx._internal.exporter._registration"):  # "torchvision is not installed"
        exported = torch.onnx.export(
            program, dynamo=True, input_names=[IMAGE], output_names=[RESTORED], verbose=False
        )
    assert exported is not None
    model = exported.model
    # Where each operation stood in the source, in the file system of whoever exports.
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
    model.graph.metadata_props.clear()
    model.metadata_props.clear()
    model.metadata_props[KEY] = json.dumps(card)
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
