"""EXIF blocks and TIFF directories: the few edits a picture needs on its way through.

An EXIF block is a small TIFF file (TIFF 6.0, section 2; CIPA DC-008 for the tags). libvips
rewrites such blocks through libexif, which drops private tags and moves maker notes, whose
inner offsets then point nowhere. So blocks are edited in place here and carried as they are.
"""

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

# Bytes per value of each TIFF field type; rationals (5, 10) are two 4-byte integers.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SWAP_UNIT = _SIZES | {5: 4, 10: 4}

ORIENTATION = 0x0112
WIDTH_AND_HEIGHT = (0xA002, 0xA003)
SUBFILE_TYPE = 0x00FE
EXTRA_SAMPLES = 0x0152
_EXIF, _GPS, _INTEROP = 0x8769, 0x8825, 0xA005
_POINTERS = (_EXIF, _GPS, _INTEROP)
# The tags of a TIFF file's main directory that describe the photograph, not the file.
# Ratings and the Windows XP texts included; XMP, IPTC and ICC have places of their own.
_DESCRIPTIVE = {0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x4746, 0x4749, 0x8298}
_DESCRIPTIVE |= {0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F, _EXIF, _GPS}

Buffer = bytes | bytearray | mmap.mmap


@dataclass(frozen=True)
class Entry:
    """One field of a directory: where its 12-byte record and its value lie in the block."""

    tag: int
    kind: int
    count: int
    record_at: int
    value_at: int
    size: int


@dataclass(frozen=True)
class Directory:
    """One TIFF directory; `next_at` is where the offset of the following one is stored."""

    entries: list[Entry]
    next_at: int


def byte_order(block: Buffer) -> str:
    """The struct prefix, "<" or ">". Raises ValueError if this is no (classic) TIFF block."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(block[:4]))
    if order is None:
        raise ValueError("not a TIFF block")
    return order


def directory(block: Buffer, at: int) -> Directory:
    """The directory at offset `at`. Raises ValueError if it reaches beyond the block."""
    order = byte_order(block)
    try:
        (count,) = struct.unpack_from(order + "H", block, at)
        entries = []
        for record_at in range(at + 2, at + 2 + 12 * count, 12):
            tag, kind, values = struct.unpack_from(order + "HHI", block, record_at)
            size = values * _SIZES.get(kind, 1)
            value_at = record_at + 8
            if size > 4:
                (value_at,) = struct.unpack_from(order + "I", block, record_at + 8)
            if value_at + size > len(block):
                raise ValueError(f"tag {tag:#06x} reaches beyond the end")
            entries.append(Entry(tag, kind, values, record_at, value_at, size))
        next_at = at + 2 + 12 * count
        struct.unpack_from(order + "I", block, next_at)
    except struct.error as error:
        raise ValueError("a directory reaches beyond the end") from error
    return Directory(entries, next_at)


def main_directories(block: Buffer) -> Iterator[Directory]:
    """The chain of top-level directories: a TIFF file's pages; EXIF's second is a thumbnail."""
    order = byte_order(block)
    at_pointer, seen = 4, set[int]()
    while len(block) >= at_pointer + 4:
        (at,) = struct.unpack_from(order + "I", block, at_pointer)
        if at == 0 or at in seen:
            return
        seen.add(at)
        found = directory(block, at)
        yield found
        at_pointer = found.next_at


def integer(block: Buffer, entry: Entry) -> int:
    """The first value of an integer field."""
    code = {1: "B", 2: "B", 3: "H", 4: "I", 13: "I"}.get(entry.kind)
    if code is None or entry.count == 0:
        raise ValueError(f"tag {entry.tag:#06x} is no integer")
    (value,) = struct.unpack_from(byte_order(block) + code, block, entry.value_at)
    return int(value)


def set_integer(block: bytearray, entry: Entry, value: int) -> None:
    """Overwrite the first value of a SHORT or LONG field."""
    code = {3: "H", 4: "I"}.get(entry.kind)
    if code is None or value >= 1 << (8 * _SIZES[entry.kind]):
        raise ValueError(f"tag {entry.tag:#06x} cannot hold {value}")
    struct.pack_into(byte_order(block) + code, block, entry.value_at, value)


def _with_children(block: Buffer, parent: Directory, depth: int = 0) -> Iterator[Directory]:
    yield parent
    for entry in parent.entries:
        if entry.tag in _POINTERS and depth < 2:
            yield from _with_children(block, directory(block, integer(block, entry)), depth + 1)


def upright(block: bytes, width: int, height: int) -> bytes:
    """The EXIF block of a picture that stands upright and is width x height pixels.

    Orientation becomes 1 and the pixel dimensions, where present, are corrected. The
    thumbnail is cut off, for it shows the picture before it was restored. All else stays at
    its place, byte for byte. Raises ValueError if the block is malformed.
    """
    edited = bytearray(block)
    pages = main_directories(block)
    main = next(pages, None)
    if main is None:
        raise ValueError("no directory")
    parts = list(_with_children(block, main))
    for part in parts:
        for entry in part.entries:
            if entry.tag == ORIENTATION:
                set_integer(edited, entry, 1)
            elif entry.tag in WIDTH_AND_HEIGHT:
                set_integer(edited, entry, (width, height)[WIDTH_AND_HEIGHT.index(entry.tag)])
    if any(edited[main.next_at : main.next_at + 4]):
        edited[main.next_at : main.next_at + 4] = bytes(4)
        ends = [part.next_at + 4 for part in parts]
        ends += [entry.value_at + entry.size for part in parts for entry in part.entries]
        del edited[max(ends) :]
    return bytes(edited)


def from_tiff(file: Buffer) -> bytes | None:
    """The EXIF block of a TIFF file: the fields of its main directory that describe the photo.

    None if there is nothing to keep. Raises ValueError if the file is malformed.
    """
    order = byte_order(file)
    main = next(main_directories(file), None)
    if main is None:
        raise ValueError("no directory")
    kept = [entry for entry in main.entries if entry.tag in _DESCRIPTIVE]
    if not kept:
        return None
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return head + _pack(_values(file, kept, order), 8, order)


def into_tiff(file: bytes, block: bytes) -> list[bytes]:
    """A TIFF file of one page with the photo's fields of an EXIF block, as parts to write.

    A new main directory, old and new fields together, goes to the end of the file and the
    header points to it. Raises ValueError if either is malformed or the file is a BigTIFF.
    """
    order = byte_order(file)
    (page,) = main_directories(file)
    source = next(main_directories(block))
    kept = [entry for entry in source.entries if entry.tag in _DESCRIPTIVE]
    fields = dict(_values(block, kept, order))
    at = len(file) + len(file) % 2
    # The records of the old fields stay valid as they are: their offsets count from the start.
    old = {
        entry.tag: file[entry.record_at : entry.record_at + 12]
        for entry in page.entries
        if entry.tag not in fields
    }
    tail = _pack(list(fields.items()), at, order, old)
    if at + len(tail) >= 1 << 32:
        raise ValueError("the file would exceed 4 GB")
    return [file[:4], struct.pack(order + "I", at), file[8:], bytes(at - len(file)), tail]


# A field's type, count and value bytes; or, for a pointer, the fields it points to.
_Value = tuple[int, int, bytes] | list[tuple[int, "_Value"]]


def _values(
    block: Buffer, entries: list[Entry], order: str, depth: int = 0
) -> list[tuple[int, _Value]]:
    """The fields with their values in byte order `order`, sub-directories nested."""
    same = byte_order(block) == order
    found: list[tuple[int, _Value]] = []
    for entry in entries:
        if entry.tag in _POINTERS and depth < 2:
            inner = directory(block, integer(block, entry)).entries
            found.append((entry.tag, _values(block, inner, order, depth + 1)))
            continue
        raw = bytes(block[entry.value_at : entry.value_at + entry.size])
        unit = _SWAP_UNIT.get(entry.kind, 1)
        if not same and unit > 1:
            raw = np.frombuffer(raw, f"u{unit}").byteswap().tobytes()
        found.append((entry.tag, (entry.kind, entry.count, raw)))
    return found


def _pack(
    fields: list[tuple[int, _Value]],
    at: int,
    order: str,
    ready: dict[int, bytes] | None = None,
) -> bytes:
    """A directory laid out at offset `at`, then its values; `ready` are finished records."""
    records = dict(ready or {})
    data_at = at + 2 + 12 * (len(records) + len(fields)) + 4
    data = bytearray()
    for tag, value in fields:
        if isinstance(value, list):
            kind, count, raw = 4, 1, struct.pack(order + "I", data_at + len(data))
            data += _pack(value, data_at + len(data), order)
        else:
            kind, count, raw = value
        if len(raw) > 4:
            data, raw = data + raw, struct.pack(order + "I", data_at + len(data))
        data += bytes(len(data) % 2)
        records[tag] = struct.pack(order + "HHI", tag, kind, count) + raw.ljust(4, b"\0")
    body = b"".join(records[tag] for tag in sorted(records))
    return b"".join([struct.pack(order + "H", len(records)), body, bytes(4), data])
