"""OpenVINO's own files: a graph (.xml) and its weights (.bin) beside it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from iln.atomic import atomic_write
from iln.export.about import KEY
from iln.export.extras import need


def write_openvino(content: bytes, card: dict[str, Any], file: Path, *, overwrite: bool) -> None:
    """Convert the content of an ONNX file and write `file` (.xml) and its .bin.

    The card stands in the graph's runtime information under `iln`. Raises InputError if either
    file exists and may not be replaced, or cannot be written, or openvino is missing.
    """
    openvino = need("openvino", "openvino")
    model = openvino.Core().read_model(content)
    model.set_rt_info(json.dumps(card), [KEY])
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "model.xml"
        openvino.save_model(model, graph, compress_to_fp16=card["precision"] == "fp16")
        # The graph last: it is what people open, and it should find its weights.
        for suffix in (".bin", ".xml"):
            with atomic_write(file.with_suffix(suffix), overwrite) as temporary:
                temporary.write_bytes(graph.with_suffix(suffix).read_bytes())
