"""onnxruntime-web: the one version whose files are known here by their SHA-256."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from iln.atomic import printable
from iln.errors import InputError

VERSION = "1.30.0"
FILES = {
    "ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    "ort-wasm-simd-threaded.mjs": (
        "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b"
    ),
    "ort-wasm-simd-threaded.wasm": (
        "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2"
    ),
    "ort.webgpu.min.mjs": "3dffff71811bc13a3a3d9591c57ca5ee5735b8f5f3eaf789510b02bb040ae3a0",
    "ort-wasm-simd-threaded.asyncify.mjs": (
        "3d1c85995364bb643302fc6fd877a0c3ba5ae72401815e0f24828a53d9191e28"
    ),
    "ort-wasm-simd-threaded.asyncify.wasm": (
        "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da"
    ),
}
"""For the processor (WebAssembly with SIMD, and threads), and for WebGPU."""

_PACKAGE = f"onnxruntime-web@{VERSION}"
_INSTEAD = f"give a folder with the files of {_PACKAGE} (--runtime FOLDER)"
_PATIENCE = 600
"""Seconds for some 30 MB."""


def runtime_files(folder: Path | None) -> dict[str, bytes]:
    """The files by name, as they are known.

    Args:
        folder: where they lie, or the unpacked package; None: npm fetches them.

    Raises:
        InputError: for files that are missing or others, and where npm is missing or fails.
    """
    if folder is not None:
        return _checked(_read(folder), printable(folder))
    return _checked(_fetched(), "what npm fetched")


def _read(folder: Path) -> Callable[[str], bytes | None]:
    places = [folder, folder / "dist", folder / "package" / "dist"]
    shown = printable(folder)
    if not folder.is_dir():
        raise InputError(f"{shown}: no such folder; {_INSTEAD}")

    def read(name: str) -> bytes | None:
        try:
            found = next((place / name for place in places if (place / name).is_file()), None)
            return None if found is None else found.read_bytes()
        except OSError as error:
            raise InputError(f"{shown}: {name} cannot be read: {error.strerror}") from None

    return read


def _fetched() -> Callable[[str], bytes | None]:
    npm = shutil.which("npm")
    if npm is None:
        raise InputError(f"npm, which fetches {_PACKAGE}, is not installed; {_INSTEAD}")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", _PACKAGE, "--silent", "--ignore-scripts", "--fetch-retries=1"]
        try:
            subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=_PATIENCE)
            (packed,) = Path(folder).glob("*.tgz")
            with tarfile.open(packed) as archive:
                files = {}
                for name in FILES:
                    member = archive.extractfile(f"package/dist/{name}")
                    files[name] = None if member is None else member.read()
        except (OSError, subprocess.SubprocessError, tarfile.TarError, KeyError, ValueError):
            raise InputError(f"npm could not fetch {_PACKAGE}; {_INSTEAD}") from None
    return files.get


def _checked(read: Callable[[str], bytes | None], shown: str) -> dict[str, bytes]:
    found = {}
    for name, expected in FILES.items():
        content = read(name)
        if content is None:
            raise InputError(f"{shown}: has no {name}; {_INSTEAD}")
        if hashlib.sha256(content).hexdigest() != expected:
            raise InputError(
                f"{shown}: {name} is not that of {_PACKAGE} (its SHA-256 is another); {_INSTEAD}"
            )
        found[name] = content
    return found
