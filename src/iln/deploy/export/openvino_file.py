"""OpenVINO's own files: a graph (.xml) and its weights (.bin) beside it."""

import json
import tempfile
from pathlib import Path
from typing import Any

from iln.atomic import atomic_write, printable
from iln.backbones import Spec
from iln.checkpoints.files import OUR_KEY, about
from iln.deploy.export.about import read_card
from iln.errors import InputError, first_line
from iln.extras import need, openvino_core


def write_graph(graph: Any, card: dict[str, Any], file: Path, *, overwrite: bool) -> None:
    """Write an OpenVINO graph with the card in its runtime information, under `iln`.

    Raises:
        InputError: if either file exists and may not be replaced, or cannot be written.
    """
    openvino = need("openvino", "openvino")
    graph.set_rt_info(json.dumps(card), [OUR_KEY])
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "model.xml"
        try:
            openvino.save_model(graph, made, compress_to_fp16=card["precision"] == "fp16")
        except RuntimeError as error:
            raise InputError(
                f"{printable(folder)}: cannot be written ({first_line(error)}); is the disk full? "
                "TMPDIR names another one"
            ) from None
        # The graph last: it is what people open, and it should find its weights.
        for suffix in (".bin", ".xml"):
            with atomic_write(file.with_suffix(suffix), overwrite) as temporary:
                temporary.write_bytes(made.with_suffix(suffix).read_bytes())


def read_graph(file: Path) -> tuple[Any, Spec, dict[str, Any]]:
    """The graph, its network's spec and its card.

    Raises:
        InputError: for anything but a file of `write_graph`, or if openvino is missing.
    """
    core = openvino_core()
    with about(file):
        if not file.is_file():
            raise InputError("no such file")
        try:
            graph = core.read_model(file)
        except RuntimeError:
            raise InputError("is no OpenVINO graph, or its .bin is not beside it") from None
        try:
            text = graph.get_rt_info(OUR_KEY).astype(str)
        except RuntimeError:
            raise InputError("was not written by iln export or iln quantize") from None
        return graph, *read_card(text)
