"""Files of weights: where they lie, what kind they are, and the tensors in them."""

from __future__ import annotations

import contextlib
import difflib
import logging
import os
import re
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import safetensors
from torch import Tensor

from iln.atomic import printable
from iln.checkpoints import hub
from iln.checkpoints.chains import CHAINS
from iln.checkpoints.hub import SUFFIX
from iln.checkpoints.pickles import read_pickle
from iln.checkpoints.wrappers import find_weights
from iln.errors import InputError, first_line

log = logging.getLogger("iln")

OUR_KEY = "iln"
"""Of what they say of themselves, in safetensors' metadata."""
_OTHER_KINDS = {
    b"GGUF": "a GGUF file",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "compressed by gzip",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x28\xb5\x2f\xfd": "compressed by Zstandard",
    b"\xfd7zXZ": "compressed by xz",
    b"BZh": "compressed by bzip2",
    b"\x93NUMPY": "an array of NumPy (npy)",
    b"%PDF": "a PDF document",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
}
_WEB_PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*)*+<(?:!doctype html|html|head)",
    re.IGNORECASE | re.DOTALL,
)
_ONNX = re.compile(rb"\x08[\x01-\x7f]\x12[\x01-\x7f][ -~]")  # its version, its maker
_MAX_HEADER = 100_000_000  # safetensors' own limit


def _zoo() -> Traversable:
    return resources.files("iln.zoo")


def shipped_files() -> dict[str, Traversable]:
    """Of the models that come with the package, by name."""
    files = [entry for entry in _zoo().iterdir() if entry.name.endswith(SUFFIX)]
    return {entry.name.removesuffix(SUFFIX): entry for entry in files}


def shipped_card(name: str) -> str:
    """The Markdown that says all about a shipped model."""
    return (_zoo() / f"{name}.md").read_text("utf-8")


@contextlib.contextmanager
def located(name_or_file: str | os.PathLike[str]) -> Iterator[Path]:
    """The file behind a name or an address; only text without a folder can be a name."""
    if isinstance(name_or_file, str) and hub.is_address(name_or_file):
        path = hub.fetch(name_or_file)
        with about(name_or_file):
            if kind_of(path) != "safetensors":
                raise InputError("is no safetensors file; nothing else is taken from the net")
        yield path
        return
    if isinstance(name_or_file, str) and Path(name_or_file).name == name_or_file:
        known = shipped_files()
        if name_or_file in known:
            with resources.as_file(known[name_or_file]) as path:
                yield path
            return
        if "\0" in name_or_file or not os.path.lexists(name_or_file):
            raise InputError(_unknown(printable(name_or_file), sorted([*known, *CHAINS])))
    yield Path(name_or_file)


def _unknown(name: str, known: list[str]) -> str:
    if name in CHAINS:
        return (
            f"{name!r} is a chain of models ({', '.join(CHAINS[name].models)}); iln restore, "
            "iln.restore and iln.Pipeline take it"
        )
    close = difflib.get_close_matches(name, known)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    return (
        f"no shipped model and no file is called {name!r}; {hint}"
        f"shipped: {', '.join(known) or 'none'}; the path of a weights file and hf://OWNER/NAME "
        "are accepted as well"
    )


def called(name_or_file: str | os.PathLike[str], path: Path) -> str | Path:
    """What to call a file that was located: an address of the Hub by itself."""
    return name_or_file if isinstance(name_or_file, str) and hub.is_address(name_or_file) else path


def short_name(name_or_file: str | os.PathLike[str]) -> str:
    """What to call a model in a table: a shipped one by its name, others by their file's."""
    word = os.fspath(name_or_file)
    if hub.is_address(word):
        return hub.short_name(word)
    return word if word in shipped_files() else Path(word).stem


@contextlib.contextmanager
def about(path: str | Path) -> Iterator[None]:
    """Begin the message of every error with the file's name."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{printable(path)}: {error}") from error.__cause__


def kind_of(path: Path) -> str:
    """`safetensors` or `torch`, by the first bytes; InputError for anything else."""
    try:
        # Opening a named pipe would wait for somebody to write to it.
        strange = path.exists() and not path.is_file() and not path.is_dir()
        if not strange:
            with path.open("rb") as file:
                head = file.read(512)
    except FileNotFoundError:
        raise InputError("no such file; give a weights file or a shipped model's name") from None
    except IsADirectoryError:
        raise InputError("is a folder; give a weights file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot be read: {reason}") from error
    if strange:
        raise InputError("is a device or a pipe; give a weights file")
    if not head:
        raise InputError("is empty")
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= _MAX_HEADER:
        return "safetensors"
    if head.startswith((b"PK\x03\x04", b"\x80")):
        return "torch"
    raise InputError(f"is {_other_kind(head)}; expected safetensors or a file of torch.save")


def _other_kind(head: bytes) -> str:
    """What a file is that begins so; a failed download leaves a web page or a pointer behind."""
    if head.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS, not the weights themselves (git lfs pull fetches them)"
    if _WEB_PAGE.match(head):
        return "a web page, not the weights that it may link to"
    if _ONNX.match(head):
        return "an ONNX graph, no weights file (give the weights that it was exported from)"
    if head.lstrip().startswith(b"<?xml"):
        return "an XML file, such as a graph of OpenVINO, no weights file"
    if head.lstrip().startswith(b"{") and (b'"weight_map"' in head or b'"total_size"' in head):
        return "the index of weights in several parts; join the tensors of all parts in one file"
    if head[257:262] == b"ustar":
        return "no weights file (it is a tar archive)"
    for start, name in _OTHER_KINDS.items():
        if head.startswith(start):
            return f"{name}, no weights file"
    words = head.replace(b"\r", b"").replace(b"\n", b"").replace(b"\t", b"")
    text = words.decode("utf-8", "ignore").isprintable() and b"\xff" not in words
    return f"no weights file{' (it is text)' if text else ''}"


def is_weights(name_or_file: str | os.PathLike[str]) -> bool:
    """Whether it is a shipped model's name, an address, or a file that begins like weights.

    A file that cannot be read, or does not exist, is not.
    """
    if hub.is_address(name_or_file):
        return True
    try:
        with located(name_or_file) as path:
            return path.is_file() and bool(kind_of(path))  # opening a named pipe would wait
    except InputError:
        return False


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A safetensors file. Raises InputError if it is damaged."""
    try:
        file = safetensors.safe_open(path, framework="pt")
    except Exception as error:  # SafetensorError, and OSError or ValueError besides
        raise InputError("is a damaged or cut off safetensors file; get it again") from error
    with file:
        yield file


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a network in a file, and a safetensors file's metadata.

    Of several sets of weights one is taken, and a line of the log says which.
    """
    content, metadata = read_content(path)
    if OUR_KEY in metadata:
        return content, metadata
    found = find_weights(content)
    if found.note is not None:
        log.info("%s %s", printable(path), found.note)
    return found.tensors, metadata


def read_content(path: Path) -> tuple[Any, dict[str, str]]:
    """All that a file holds, as it lies there, and a safetensors file's metadata."""
    if kind_of(path) == "torch":
        return read_pickle(path), {}
    with opened(path) as file:
        try:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except Exception as error:  # a type of number that this PyTorch does not have
            raise InputError(f"holds tensors that cannot be read: {first_line(error)}") from error
        return weights, file.metadata() or {}
