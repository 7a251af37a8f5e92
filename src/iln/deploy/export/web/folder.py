"""The page as a folder of files, for any web server that hands out files."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from iln.atomic import atomic_folder
from iln.backbones import Backbone
from iln.checkpoints.catalogue import card as card_of
from iln.checkpoints.catalogue import does, names
from iln.checkpoints.native import said_by
from iln.deploy.export.about import card
from iln.deploy.export.web.program import Program, record
from iln.deploy.export.web.runtime import runtime_files
from iln.errors import InputError
from iln.extras import need
from iln.restoration.precision import unsafe_in_fp16

MOST_PIXELS = 1 << 21
"""Of a picture: 2 megapixels."""
MARK = Path("model", "model.json")
"""By which a folder is recognised as such a page, and may be replaced."""
_OWN = Path(__file__).parent / "page"
_SERVED = Path(__file__).parents[2] / "serve" / "page"
_SHARED = ("style.css", "icon.svg", "viewer.js", "files.js", "words.js")
"""Of the page of `iln serve`."""
_PLACES = {"index.html": ".", "serve.py": ".", "LICENSE.txt": "runtime"}
"""Where files go that do not belong to `page`; the licence is that of onnxruntime-web."""


def write_page(
    model: Backbone,
    source: str | os.PathLike[str] | None,
    folder: Path,
    *,
    precision: str,
    runtime: Path | None,
    overwrite: bool,
) -> None:
    """Write a network as a page; see `iln.deploy.export.export`.

    Args:
        source: the shipped model's name or file that the model was loaded from; None if neither.
        precision: `fp32`; or `fp16`, which devices compute in that have it, and the others in fp32.
        runtime: a folder with onnxruntime-web; None: npm fetches it.

    Raises:
        InputError: for a network that pages do not know or that float16 cannot hold, for a runtime
            that is not the known one, and for a folder that cannot be written.
    """
    need("onnx", "export")
    need("onnxscript", "export")
    if precision == "fp16" and (why := unsafe_in_fp16(model)):
        raise InputError(f"--precision fp16: {why}; without it the page computes in fp32")
    engine = runtime_files(runtime)
    precisions = ["fp32"] if precision == "fp32" else ["fp16", "fp32"]
    programs = {name: record(model, name) for name in precisions}
    with atomic_folder(folder, overwrite, MARK) as temporary:
        _write_texts(temporary)
        for name, content in engine.items():
            (temporary / "runtime" / name).write_bytes(content)
        for name, program in programs.items():
            _write_program(program, temporary / "model" / name)
        about = _about(model, source, precisions)
        (temporary / MARK).write_text(json.dumps(about, ensure_ascii=False, indent=1), "utf-8")


def _write_texts(folder: Path) -> None:
    files = [path for path in _OWN.iterdir() if path.is_file()]
    for path in files + [_SERVED / name for name in _SHARED]:
        place = folder / _PLACES.get(path.name, "page")
        place.mkdir(exist_ok=True)
        (place / path.name).write_bytes(path.read_bytes())


def _write_program(program: Program, folder: Path) -> None:
    folder.mkdir(parents=True)
    weights, offset = [], 0
    with (folder / "weights.bin").open("wb") as file:
        for tensor in program.weights:
            content = _bytes(tensor)
            weights.append(
                {"type": str(tensor.dtype)[6:], "shape": list(tensor.shape), "offset": offset}
            )
            offset += file.write(content)
            offset += file.write(bytes(-offset % 4))  # where JavaScript may begin an array
    for number, graph in enumerate(program.graphs):
        (folder / f"{number}.onnx").write_bytes(graph)
    about = {
        "maps": program.maps,
        "steps": program.steps,
        "result": program.result,
        "graphs": len(program.graphs),
        "weights": weights,
    }
    (folder / "program.json").write_text(json.dumps(about), "utf-8")


def _bytes(tensor: Tensor) -> bytes:
    """Little-endian, as browsers hold numbers."""
    whole = {2: torch.int16, 4: torch.int32}[tensor.element_size()]
    values = tensor.contiguous().view(whole).numpy()
    return values.astype(values.dtype.newbyteorder("<")).tobytes()


def _about(
    model: Backbone, source: str | os.PathLike[str] | None, precisions: list[str]
) -> dict[str, Any]:
    """What the page says of the network and must know of it."""
    spec = model.spec
    said = {} if source is None else said_by(source)
    name = Path(source).name if source is not None else "A network of your own"
    text = card_of(str(source)) if str(source) in names() else ""
    return {
        "name": name,
        "does": does(str(said.get("task") or "")) or f"{model.title}, {spec.scale} times the size",
        "licence": said.get("licence") or "not told by its file",
        "card": re.sub(r"<!--.*?-->\n*", "", text).strip(),
        "precisions": precisions,
        "channels": spec.in_chans,
        "window": spec.window,
        "unshuffle": spec.unshuffle,
        "scale": spec.scale,
        "most_pixels": MOST_PIXELS,
        "iln": card(model, source, "fp32"),
    }
