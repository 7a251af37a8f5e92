"""Many files as one ZIP file that is made while it is sent."""

from __future__ import annotations

import io
import os
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

_CHUNK = 1 << 20


class _Pipe(io.RawIOBase):
    """Holds what was written until it is taken."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        part = bytes(data)  # type: ignore[call-overload]
        self.parts.append(part)
        return len(part)

    def taken(self) -> bytes:
        found = b"".join(self.parts)
        self.parts.clear()
        return found


def zipped(files: Sequence[Path]) -> Iterator[bytes]:
    """The pieces of the archive. Pictures are compressed already, so they are stored as they are;
    those of one name get numbers, and those that have gone meanwhile are left out."""
    pipe, used = _Pipe(), set[str]()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as archive:
        for file in files:
            try:
                source = file.open("rb")
            except FileNotFoundError:
                continue
            entry = zipfile.ZipInfo(_free(file.name, used), _written_at(source))
            entry.external_attr = 0o644 << 16
            with source, archive.open(entry, "w", force_zip64=True) as target:
                while part := source.read(_CHUNK):
                    target.write(part)
                    yield pipe.taken()
    yield pipe.taken()


def _written_at(file: BinaryIO) -> tuple[int, int, int, int, int, int]:
    """Its time, as ZIP can hold it: from 1980 to 2107."""
    year, *rest = time.localtime(os.fstat(file.fileno()).st_mtime)[:6]
    month, day, hour, minute, second = rest
    if not 1980 <= year <= 2107:
        return 1980, 1, 1, 0, 0, 0
    return year, month, day, hour, minute, second


def _free(name: str, used: set[str]) -> str:
    """The name, with a number where another picture has it."""
    stem, dot, suffix = name.rpartition(".")
    found, number = name, 1
    while found.casefold() in used:
        number += 1
        found = f"{stem} ({number}){dot}{suffix}"
    used.add(found.casefold())
    return found
