"""EXIF blocks and TIFF directories: the few edits a picture needs on its way through.

An EXIF block is a small TIFF file (TIFF 6.0, section 2; CIPA DC-008 for the tags). libvips
rewrites such blocks through libexif, which drops private tags and moves maker notes, whose
inner offsets then point nowhere. So blocks are edited in place here and carried as they are.
A field that reaches beyond the end, or that holds what it cannot hold, is taken out by itself.
"""

import mmap
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from itertools import islice

import numpy as np

# Bytes per value of each TIFF field type; rationals (5, 10) are two 4-byte integers.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SIZES |= {16: 8, 17: 8, 18: 8}
_SWAP_UNIT = _SIZES | {5: 4, 10: 4}
# Nothing here is ever negative: of a signed type (6, 8, 9) such a number is one too large.
_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "B", 8: "H", 9: "I"}

ORIENTATION = 0x0112
WIDTH_AND_HEIGHT = (0xA002, 0xA003)
_RESOLUTION, RESOLUTION_UNIT = (0x011A, 0x011B), 0x0128
SUBFILE_TYPE = 0x00FE
_THUMBNAIL = (0x0201, 0x0202)
IPTC = 0x83BB
EXTRA_SAMPLES = 0x0152
_EXIF, _GPS, _INTEROP = 0x8769, 0x8825, 0xA005
_POINTERS = (_EXIF, _GPS, _INTEROP)
# The tags of a TIFF file's main directory that describe the photograph, not the file.
# Ratings and the Windows XP texts included; XMP, IPTC and ICC have places of their own.
_DESCRIPTIVE = {0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x4746, 0x4749, 0x8298}
_DESCRIPTIVE |= {0x010D, 0x011D, 0x013C}  # names of the document, of the page, of the computer
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
    """One TIFF directory.

    Attributes:
        next_at: where the offset of the following one is stored.
        damaged: where the records of fields lie whose values reach beyond the end.
    """

    entries: list[Entry]
    next_at: int
    damaged: list[int] = field(default_factory=list)

    def find(self, tag: int) -> Entry | None:
        """The first field of this tag."""
        return self._by_tag.get(tag)

    @cached_property
    def _by_tag(self) -> dict[int, Entry]:
        return {entry.tag: entry for entry in reversed(self.entries)}


@dataclass
class Room:
    """Bytes that the directories of a file may yet take: one that is named often is made to be
    slow."""

    left: int

    def take(self, size: int) -> None:
        """Raises ValueError if there are not as many."""
        if size > self.left:
            raise ValueError("directories overlap")
        self.left -= size


@dataclass(frozen=True)
class _Layout:
    """How the numbers of a directory lie in a block: 4 bytes each, or 8 in a BigTIFF file."""

    order: str
    big: bool

    def read(self, block: Buffer, at: int) -> int:
        """A count of values, or an offset."""
        (value,) = struct.unpack_from(self.order + ("Q" if self.big else "I"), block, at)
        return int(value)


def _layout(block: Buffer) -> _Layout:
    kinds = {b"II*\0": ("<", False), b"MM\0*": (">", False)}
    kinds |= {b"II+\0": ("<", True), b"MM\0+": (">", True)}
    found = kinds.get(bytes(block[:4]))
    if found is None:
        raise ValueError("not a TIFF block")
    return _Layout(*found)


def byte_order(block: Buffer) -> str:
    """The struct prefix, "<" or ">". Raises ValueError if this is no TIFF block."""
    return _layout(block).order


def directory(block: Buffer, at: int, room: Room | None = None) -> Directory:
    """The directory at offset `at`. Raises ValueError if it reaches beyond the block or takes more
    than the room that is left."""
    layout = _layout(block)
    order, wide = layout.order, 8 if layout.big else 4
    if at >= len(block):
        raise ValueError("a directory reaches beyond the end")
    try:
        (count,) = struct.unpack_from(order + ("Q" if layout.big else "H"), block, at)
        first, size_of_record = at + (8 if layout.big else 2), 4 + 2 * wide
        next_at = first + size_of_record * count
        if count > 65535 or next_at + wide > len(block):  # BigTIFF has room for a larger count
            raise ValueError("a directory reaches beyond the end")
        if room is not None:
            room.take(next_at - at)
        found = Directory([], next_at)
        for record_at in range(first, next_at, size_of_record):
            tag, kind = struct.unpack_from(order + "HH", block, record_at)
            values = layout.read(block, record_at + 4)
            size = values * _SIZES.get(kind, 1)
            value_at = record_at + 4 + wide
            if size > wide:
                value_at = layout.read(block, value_at)
            if value_at + size > len(block):
                found.damaged.append(record_at)
            else:
                found.entries.append(Entry(tag, kind, values, record_at, value_at, size))
    except struct.error as error:
        raise ValueError("a directory reaches beyond the end") from error
    return found


def main_directories(block: Buffer, room: Room | None = None) -> Iterator[Directory]:
    """The chain of top-level directories: a TIFF file's pages; EXIF's second is a thumbnail."""
    layout, room = _layout(block), room or Room(len(block))
    at_pointer, seen = 8 if layout.big else 4, set[int]()
    while len(block) >= at_pointer + (8 if layout.big else 4):
        at = layout.read(block, at_pointer)
        if at == 0 or at in seen:
            return
        seen.add(at)
        found = directory(block, at, room)
        yield found
        at_pointer = found.next_at


def integer(block: Buffer, entry: Entry) -> int:
    """The first value of an integer field."""
    found = integers(block, entry)
    if not found:
        raise ValueError(f"tag {entry.tag:#06x} is no integer")
    return found[0]


def integers(block: Buffer, entry: Entry) -> list[int]:
    """The values of an integer field, sixteen at most; none of a field of another type."""
    code = (_INTEGERS | {2: "B", 13: "I", 16: "Q", 18: "Q"}).get(entry.kind)
    if code is None:
        return []
    form = f"{byte_order(block)}{min(entry.count, 16)}{code}"
    return [int(value) for value in struct.unpack_from(form, block, entry.value_at)]


def rationals(block: Buffer, entry: Entry) -> tuple[float, ...]:
    """The values of a field of positive fractions, sixteen at most; 0 where nothing divides."""
    if entry.kind != 5:
        return ()
    count = 2 * min(entry.count, 16)
    parts = struct.unpack_from(f"{byte_order(block)}{count}I", block, entry.value_at)
    return tuple(a / b if b else 0.0 for a, b in zip(parts[::2], parts[1::2], strict=True))


def set_integer(block: bytearray, entry: Entry, value: int) -> None:
    """Overwrite the first value of an integer field."""
    code = _integer_code(entry, value)
    struct.pack_into(byte_order(block) + code, block, entry.value_at, value)


def set_single(block: bytearray, entry: Entry, value: int) -> None:
    """Make an integer field of several values one of a single value, inside its record."""
    layout, code = _layout(block), _integer_code(entry, value)
    wide = "Q" if layout.big else "I"
    struct.pack_into(layout.order + wide, block, entry.record_at + 4, 1)
    place = entry.record_at + 4 + struct.calcsize(layout.order + wide)
    struct.pack_into(layout.order + code, block, place, value)


def is_known(entry: Entry) -> bool:
    """Whether the type of its values is one of TIFF's or BigTIFF's."""
    return entry.kind in _SIZES


def blank(block: bytearray, entry: Entry) -> None:
    """Make a field one of four bytes that say nothing, inside its record."""
    layout = _layout(block)
    wide = "Q" if layout.big else "I"
    struct.pack_into(layout.order + "H" + wide, block, entry.record_at + 2, 7, 4)


def _integer_code(entry: Entry, value: int) -> str:
    code, signed = _INTEGERS.get(entry.kind), entry.kind > 4
    if code is None or entry.count == 0 or value >= 1 << (8 * _SIZES[entry.kind] - signed):
        raise ValueError(f"tag {entry.tag:#06x} cannot hold {value}")
    return code


def _with_children(block: Buffer, parent: Directory, depth: int = 0) -> Iterator[Directory]:
    yield parent
    if depth < 2:
        for entry in _pointers(parent):
            yield from _with_children(block, directory(block, integer(block, entry)), depth + 1)


def _pointers(part: Directory) -> list[Entry]:
    """To its sub-directories, of each kind the first: a block may be made to be slow."""
    return [entry for tag in _POINTERS if (entry := part.find(tag)) is not None]


def _first(block: Buffer) -> Directory:
    main = next(main_directories(block), None)
    if main is None:
        raise ValueError("no directory")
    return main


def _without_damage(block: bytes) -> bytearray:
    """The block without the fields that cannot be followed or read; the others stay in place."""
    if _layout(block).big:
        raise ValueError("EXIF is no BigTIFF")
    edited = bytearray(block) + bytes(4)  # in place of the end of a directory, where it is missing
    while (found := _damaged(edited, _first(edited), len(block))) is not None:
        part, lost = found
        size = 12 * (len(part.entries) + len(part.damaged))
        start, end = part.next_at - size, part.next_at + 4
        places = range(start, part.next_at, 12)
        kept = [edited[at : at + 12] for at in places if at not in lost]
        following = edited[part.next_at : end]
        edited[start:end] = (b"".join(kept) + following).ljust(end - start, b"\0")
        struct.pack_into(byte_order(edited) + "H", edited, start - 2, len(kept))
    return edited


def _damaged(
    block: bytearray, part: Directory, end: int, depth: int = 0
) -> tuple[Directory, set[int]] | None:
    """A directory, this one or one inside it, and the records in it that are of no use."""
    beyond = (entry for entry in part.entries if entry.size > 4)
    lost = {entry.record_at for entry in beyond if entry.value_at + entry.size > end}
    lost.update(part.damaged)
    inner: list[Directory] = []
    pointers = _pointers(part) if depth < 2 else []
    for entry in part.entries:
        try:
            if entry.tag == ORIENTATION:
                _integer_code(entry, 1)
            elif entry.tag in WIDTH_AND_HEIGHT:
                _integer_code(entry, 65535)
            elif entry in pointers:
                inner.append(directory(block, integer(block, entry)))
        except ValueError:
            lost.add(entry.record_at)
    if lost:
        return part, lost
    deeper = (_damaged(block, one, end, depth + 1) for one in inner)
    return next((found for found in deeper if found is not None), None)


def upright(block: bytes, width: int, height: int) -> bytes:
    """The EXIF block of a picture that stands upright and is width x height pixels.

    Orientation becomes 1 and the pixel dimensions, where present, are corrected. The thumbnail is
    cut off, for it shows the picture before it was restored. Damaged fields are taken out. All else
    stays at its place, byte for byte.

    Raises:
        ValueError: if the block has no directory that can be read.
    """
    edited = _without_damage(block)
    main = _first(edited)
    parts = list(_with_children(edited, main))
    for part in parts:
        for entry in part.entries:
            if entry.tag == ORIENTATION:
                set_integer(edited, entry, 1)
            elif entry.tag in WIDTH_AND_HEIGHT:
                size = (width, height)[WIDTH_AND_HEIGHT.index(entry.tag)]
                set_integer(edited, entry, min(size, (1 << (8 * _SIZES[entry.kind])) - 1))
    ends = [part.next_at + 4 for part in parts]
    ends += [entry.value_at + entry.size for part in parts for entry in part.entries]
    end = max(ends)
    if any(edited[main.next_at : main.next_at + 4]):
        _blacken_thumbnails(edited, parts)
        edited[main.next_at : main.next_at + 4] = bytes(4)
        del edited[end:]
    del edited[max(end, len(block)) :]
    list(_with_children(edited, _first(edited)))  # where parts overlap, an edit may hit another
    return bytes(edited)


def _blacken_thumbnails(block: bytearray, kept: list[Directory]) -> None:
    """Zeros for the JPEG data of the second directory, which may lie before what is kept."""
    taken = [(part.next_at - 12 * len(part.entries) - 2, part.next_at + 4) for part in kept]
    taken += [(e.value_at, e.value_at + e.size) for part in kept for e in part.entries]
    try:
        for part in islice(main_directories(block), 1, 2):
            entries = [part.find(tag) for tag in _THUMBNAIL]
            start, size = (0 if one is None else integer(block, one) for one in entries)
            if not any(a < start + size and start < b for a, b in taken):
                block[start : start + size] = bytes(len(block[start : start + size]))
    except ValueError:
        pass


def orientation(block: bytes) -> int:
    """How the picture is turned, 1 to 8, by what `upright` overwrites; 1 where nothing says it."""
    try:
        mended = _without_damage(block)
        entry = _first(mended).find(ORIENTATION)
    except ValueError:
        return 1
    return 1 if entry is None else integer(mended, entry)


def resolution(block: Buffer, main: Directory | None = None) -> tuple[float, float] | None:
    """Pixels per inch, across and down; None where the block does not say it."""
    main = main or _first(block)
    unit = main.find(RESOLUTION_UNIT)
    said = [2] if unit is None else integers(block, unit)
    per_inch = {2: 1.0, 3: 2.54}.get(next(iter(said), 0))
    fields = [main.find(tag) for tag in _RESOLUTION]
    values = []
    for entry in fields:
        said_too = () if entry is None else rationals(block, entry)
        if not said_too or per_inch is None:
            return None
        values.append(round(said_too[0] * per_inch, 3))
    return (values[0], values[1]) if min(values) > 0 else None


def with_resolution(block: bytes | None, dpi: tuple[float, float]) -> bytes:
    """An EXIF block that says this density (pixels per inch): `block`, if there is one, all else in
    it as it was; with other fields than before its main directory goes to the end."""
    if block is None:
        return b"II*\0" + struct.pack("<I", 8) + _pack(_density("<", dpi), 8, "<")
    if (said := resolution(block)) is not None and np.allclose(said, dpi, 1e-3):
        return block
    order, at = byte_order(block), len(block) + len(block) % 2
    fields = _density(order, dpi)
    old = _records(block, _first(block), dict(fields))
    tail = _pack(fields, at, order, old)
    return block[:4] + struct.pack(order + "I", at) + block[8:].ljust(at - 8, b"\0") + tail


def _records(block: bytes, part: Directory, but: Iterable[int]) -> dict[int, bytes]:
    """A directory's records as they are, without some: their offsets count from the start, so
    that they stay valid in another place. Of a tag that is there twice the first counts."""
    return {
        entry.tag: block[entry.record_at : entry.record_at + 12]
        for entry in reversed(part.entries)
        if entry.tag not in but
    }


def _density(order: str, dpi: tuple[float, float] | None) -> list[tuple[int, "_Value"]]:
    """The three fields of a density; without one a pixel is said to have no size."""
    x, y = (1.0, 1.0) if dpi is None else dpi
    fields: list[tuple[int, _Value]] = []
    for tag, value in zip(_RESOLUTION, (x, y), strict=True):
        fields.append((tag, (5, 1, struct.pack(order + "II", *_ratio(value)))))
    fields.append((RESOLUTION_UNIT, (3, 1, struct.pack(order + "H", 1 if dpi is None else 2))))
    return fields


def _ratio(value: float) -> tuple[int, int]:
    ratio = Fraction(value).limit_denominator(10_000)
    return ratio.numerator, ratio.denominator


def from_tiff(file: Buffer, main: Directory | None = None) -> bytes | None:
    """The EXIF block of a TIFF file: the fields of a page, else the first, that describe the photo.

    Returns:
        None if there is nothing to keep.

    Raises:
        ValueError: if the file is malformed.
    """
    order, main = byte_order(file), main or _first(file)
    kept = [entry for entry in main.entries if entry.tag in _DESCRIPTIVE]
    if not kept:
        return None
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return head + _pack(list(_values(file, kept, order).items()), 8, order)


def into_tiff(
    file: bytes, block: bytes | None, dpi: tuple[float, float] | None, iptc: bytes | None
) -> list[bytes]:
    """A TIFF file of one page with a photo's EXIF fields, density and IPTC, as parts to write.

    A new main directory, old and new fields together, goes to the end of the file and the header
    points to it.

    Raises:
        ValueError: if a part is malformed or the file is a BigTIFF.
    """
    layout = _layout(file)
    if layout.big:
        raise ValueError("BigTIFF")
    order = layout.order
    (page,) = main_directories(file)
    fields = dict(_density(order, dpi))
    if block is not None:
        kept = [entry for entry in _first(block).entries if entry.tag in _DESCRIPTIVE]
        fields |= _values(block, kept, order)
    if iptc is not None:
        fields[IPTC] = 7, len(iptc), iptc
    at = len(file) + len(file) % 2
    tail = _pack(list(fields.items()), at, order, _records(file, page, fields))
    if at + len(tail) >= 1 << 32:
        raise ValueError("the file would exceed 4 GB")
    return [file[:4], struct.pack(order + "I", at), file[8:], bytes(at - len(file)), tail]


# A field's type, count and value bytes; or, for a pointer, the fields it points to.
_Value = tuple[int, int, bytes] | list[tuple[int, "_Value"]]


def _values(block: Buffer, entries: list[Entry], order: str, depth: int = 0) -> dict[int, _Value]:
    """The fields with their values in byte order `order`, sub-directories nested.

    Of a tag that is there twice the first counts; a sub-directory that cannot be read is left out.
    """
    same = byte_order(block) == order
    room = len(block)
    found: dict[int, _Value] = {}
    for entry in entries:
        if entry.tag in found or entry.kind not in _SIZES:
            continue
        if entry.tag in _POINTERS and depth < 2:
            try:
                inner = directory(block, integer(block, entry)).entries
            except ValueError:
                continue
            found[entry.tag] = list(_values(block, inner, order, depth + 1).items())
            continue
        room -= entry.size
        if room < 0:  # made to take much memory
            raise ValueError("fields share their values")
        raw = bytes(block[entry.value_at : entry.value_at + entry.size])
        unit = _SWAP_UNIT.get(entry.kind, 1)
        if not same and unit > 1:
            raw = np.frombuffer(raw, f"u{unit}").byteswap().tobytes()
        found[entry.tag] = entry.kind, entry.count, raw
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
            place = data_at + len(data)
            data += raw
            raw = struct.pack(order + "I", place)
        data += bytes(len(data) % 2)
        records[tag] = struct.pack(order + "HHI", tag, kind, count) + raw.ljust(4, b"\0")
    body = b"".join(records[tag] for tag in sorted(records))
    return b"".join([struct.pack(order + "H", len(records)), body, bytes(4), data])
