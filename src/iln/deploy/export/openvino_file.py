"""OpenVINO's own files: a graph (.xml) and its weights (.bin) beside it."""

import json
import tempfile
import zlib
from pathlib import Path
from typing import Any

from iln.atomic import atomic_write, printable
from iln.backbones import Spec
from iln.checkpoints.files import OUR_KEY, about
from iln.deploy.export.about import read_card
from iln.errors import InputError, first_line
from iln.extras import need, openvino_core

_CHECKSUM = "weights_crc32"


def write_graph(graph: Any, card: dict[str, Any], file: Path, *, overwrite: bool) -> None:
    """Write an OpenVINO graph with the card in its runtime information, under `iln`.

    The card also says the checksum of the weights, so that a graph knows its own.

    Raises:
        InputError: if either file exists and may not be replaced, or cannot be written.
    """
    openvino, half = need("openvino", "openvino"), card["precision"] == "fp16"
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "model.xml"
        try:
            openvino.save_model(graph, made, compress_to_fp16=half)
            known = card | {_CHECKSUM: _checksum(made)}
            graph.set_rt_info(json.dumps(known), [OUR_KEY])
            openvino.save_model(graph, made, compress_to_fp16=half)  # the weights as before
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
        spec, card = read_card(text)
        if _CHECKSUM in card and card[_CHECKSUM] != _checksum(file):  # older graphs say none
            raise InputError("the .bin beside it holds the weights of another graph")
        return graph, spec, card


def _checksum(graph: Path) -> int:
    """Of the weights of a graph (.xml)."""
    return zlib.crc32(graph.with_suffix(".bin").read_bytes())
