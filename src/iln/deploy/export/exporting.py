"""From a model to a file that other programs run."""

import io
import json
import os
from pathlib import Path
from typing import Unpack

import torch

from iln.atomic import atomic_write, check_folder, check_writable, printable
from iln.backbones import Backbone
from iln.checkpoints.files import OUR_KEY
from iln.checkpoints.native import load
from iln.deploy.export.about import card
from iln.deploy.export.executorch_file import executorch_bytes
from iln.deploy.export.graph import Size, trace
from iln.deploy.export.official import write_official
from iln.deploy.export.onnx_file import onnx_bytes
from iln.deploy.export.openvino_file import write_graph
from iln.deploy.export.web.folder import MARK, write_page
from iln.errors import InputError
from iln.extras import need, openvino_core
from iln.restoration.options import CheckpointOverrides

SUFFIXES: dict[str, tuple[str, ...]] = {
    "onnx": (".onnx",),
    "openvino": (".xml",),
    "torch": (".pt2",),
    "executorch": (".pte",),
    "official": (".pth", ".safetensors"),
    "web": (),
}
"""What an exported file's name ends in; a page is a folder, of any name."""


def export(
    model: str | os.PathLike[str] | Backbone,
    file: str | os.PathLike[str],
    *,
    to: str = "onnx",
    size: Size | None = None,
    precision: str = "fp32",
    runtime: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    **given: Unpack[CheckpointOverrides],
) -> None:
    """Write a network as a graph: `image` (1, C, H, W) float32 in [0, 1] -> `restored`.

    Or, with `official`, a LayerNorm network as weights that its authors' code loads; with `web`, a
    folder with a page that restores pictures in the visitor's browser.

    Args:
        model: a shipped model's name, a file, or a module from `iln.build` or `iln.load`.
        file: the name to write, ending in `.onnx`, `.xml`, `.pt2`, `.pte`, or for `official`
            `.pth` or `.safetensors`; for `web` a folder.
        to: `onnx`; `openvino` (the graph, and its weights in a .bin beside it); `torch` (a program
            of `torch.export`, for `torch.export.load`); `executorch` (for phones); `official` (see
            `iln.deploy.export.official`; pictures of any size, in fp32); or `web` (see
            `iln.deploy.export.web`; pictures of any size up to 2 megapixels).
        size: (H, W) of the only pictures it shall take; None: any (not with executorch).
        precision: `fp32` or `fp16`; see `iln.deploy.export.graph.trace`. A page has fp32 as well,
            for devices without fp16.
        runtime: for `web`, a folder with onnxruntime-web; None: npm fetches it.
        overwrite: replace an existing file, or an earlier page.
        given: what a file of others does not say; see `iln.load`.

    Raises:
        InputError: for anything that is not accepted, a package that is missing, and a file that
            cannot be written; then nothing is left behind.
    """
    if to not in SUFFIXES:
        raise InputError(f"cannot export to {to!r}; accepted: {', '.join(SUFFIXES)}")
    if to == "web":
        check_folder(file, overwrite, MARK)
    else:
        _check_format(Path(file), to)
        check_target(file, SUFFIXES[to], overwrite)
    if runtime is not None and to != "web":
        raise InputError("--runtime is what a page computes with; it goes with --to web alone")
    if to == "web" and size is not None:
        raise InputError("a page is for pictures of any size; leave --size away")
    source = None if isinstance(model, Backbone) else model
    if to == "official" and (size is not None or precision != "fp32"):
        raise InputError("--to official is for pictures of any size, in fp32: no --size, no fp16")
    network = model if isinstance(model, Backbone) else load(model, **given)
    if to == "official":
        write_official(network, Path(file), overwrite=overwrite)
        return
    if to == "web":
        write_page(
            network,
            source,
            Path(file),
            precision=precision,
            runtime=None if runtime is None else Path(runtime),
            overwrite=overwrite,
        )
        return
    if to == "openvino":  # before the minutes that tracing takes
        check_target(Path(file).with_suffix(".bin"), (".bin",), overwrite)
        need("openvino", "openvino")
    if to == "executorch" and size is None:
        raise InputError("executorch programs are for pictures of one size; give it (--size HxW)")
    about = card(network, source, precision)
    program = trace(network, size, precision)
    if to == "openvino":
        graph = openvino_core().read_model(onnx_bytes(program, about))
        write_graph(graph, about, Path(file), overwrite=overwrite)
        return
    if to == "onnx":
        content = onnx_bytes(program, about)
    elif to == "executorch":
        content = executorch_bytes(program, about)
    else:
        buffer = io.BytesIO()
        torch.export.save(program, buffer, extra_files={OUR_KEY: json.dumps(about)})
        content = buffer.getvalue()
    with atomic_write(file, overwrite) as temporary:
        temporary.write_bytes(content)


def _check_format(file: Path, to: str) -> None:
    """Raises InputError for a name that is one of another format."""
    meant = next((name for name, ends in SUFFIXES.items() if file.suffix in ends), to)
    if meant != to:
        ends = " or ".join(SUFFIXES[to])
        raise InputError(
            f"{printable(file)}: the name of this file must end in {ends}, or give --to {meant}"
        )


def check_target(file: str | os.PathLike[str], suffixes: tuple[str, ...], overwrite: bool) -> None:
    """Before minutes of work: InputError for a name that could not be written afterwards."""
    shown = printable(file)
    if Path(file).suffix not in suffixes:
        accepted = " or ".join(suffixes)
        raise InputError(f"{shown}: the name of this file must end in {accepted}")
    check_writable(file, overwrite)
