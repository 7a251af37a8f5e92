"""TIFF files: what libvips does not tell about them, and kinds of pixels that it does not read."""

import mmap
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from iln.images import exif, jpeg

_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC = 0x0100, 0x0101, 0x0102, 0x0103, 0x0106
_SAMPLES, _OLD_SUBFILE_TYPE, _PLANAR, _SUB_DIRECTORIES = 0x0115, 0x00FF, 0x011C, 0x014A
_PREDICTOR, _TILE_WIDTH, _SAMPLE_FORMAT, _DNG_VERSION = 0x013D, 0x0142, 0x0153, 0xC612
_PHOTOSHOP, _WHITE_POINT, _PRIMARIES = 0x8649, 0x013E, 0x013F
_RAW_PHOTOMETRICS = {32803, 34892}
_MASK, _YCBCR, _JPEG_COMPRESSIONS = 4, 6, {6, 7}
# Of Sony, Epson and Samsung, Nikon, Pentax.
_RAW_COMPRESSIONS = {32767, 32769, 32770, 34713, 65535}
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4}
"""Channels of colour by photometric interpretation; others are not counted."""
_COMPRESSIONS = {
    6: "JPEG of an old kind",
    34676: "SGI's LogL",
    34677: "SGI's LogL",
    34712: "JPEG 2000",
    33003: "JPEG 2000",
    33005: "JPEG 2000",
    34887: "LERC",
    34925: "LZMA",
    50000: "Zstandard",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
_USUAL_COMPRESSIONS = {1, 2, 3, 4, 5, 7, 8, 32771, 32773, 32946}
_MOST = {exif.ORIENTATION: 8, exif.RESOLUTION_UNIT: 3}
"""Fields that say nothing of the pixels, and what they may be from 1 on."""
_PHOTOMETRICS = {8: "CIELAB", 9: "ICC Lab", 10: "ITU Lab", 32844: "LogL", 32845: "LogLuv"}


@dataclass
class TiffFile:
    """What the directories of a TIFF file say.

    Attributes:
        exif: fields of the first page that describe the photograph, as an EXIF block.
        dpi: pixels per inch, across and down.
        iptc: IPTC records.
        chromaticities: x, y of white, red, green and blue, where a page in RGB says them.
        pages: the numbers of the directories that hold a page: neither a mask nor a reduced copy
            of another one. None where the directories cannot be read.
        raw: the data of a camera's sensor (DNG and others).
        reduced: all directories hold reduced copies; the picture lies where libvips does not look.
        unspecified: there is one channel more than colours, and nothing says that it is alpha.
        packed: the page of 10, 12 or 14 bits a value as one of bytes, for `unpack`.
        unusual: what a page holds that is hardly ever read, in words; None for a usual one.
        misread: libvips would take an unusual page for a usual one.
        inverted: gray in floats whose 0 is white; libvips turns whole numbers alone.
        premultiplied: colours are stored multiplied with their alpha.
        edited: the file as libvips is to read it, where it would misread it as it is: with its
            alpha declared straight if it is premultiplied, as libvips would divide in 8 bits and
            turn gray to RGB, and without fields that say nothing of the pixels and that libtiff
            refuses.
    """

    exif: bytes | None = None
    dpi: tuple[float, float] | None = None
    iptc: bytes | None = None
    chromaticities: tuple[float, ...] = ()
    pages: list[int] | None = None
    raw: bool = False
    reduced: bool = False
    unspecified: bool = False
    unusual: str | None = None
    misread: bool = False
    inverted: bool = False
    packed: "PackedPage | None" = None
    premultiplied: bool = False
    edited: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class PackedPage:
    """A page of 10, 12 or 14 bits a value, declared as gray bytes so that libvips decompresses it.

    Attributes:
        data: the file, so declared.
        size: (height, width, channels).
        bits: of a value.
        white_is_zero: gray that counts from white.
    """

    data: bytes = field(repr=False)
    size: tuple[int, int, int]
    bits: int
    white_is_zero: bool

    def unpack(self, rows: NDArray[np.uint8]) -> NDArray[np.uint16]:
        """Rows of bytes (n, bytes of a row) as values (n, width, channels), 16 bits full scale."""
        _, width, channels = self.size
        bits = np.unpackbits(rows, axis=1)[:, : width * channels * self.bits]
        values = bits.reshape(len(rows), -1, self.bits).astype(np.uint32)
        weights = (1 << np.arange(self.bits)[::-1]).astype(np.uint32)
        full = (1 << self.bits) - 1
        found = ((values @ weights) * 65535 + full // 2) // full
        if self.white_is_zero:
            found = 65535 - found
        return found.astype(np.uint16).reshape(len(rows), width, channels)


def look(file: BinaryIO) -> TiffFile:
    """Go over the directories of a file; what is damaged is left to libvips to refuse."""
    found = TiffFile()
    try:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as block:
            _look(found, block)
    except (OSError, AttributeError):  # a file in memory
        file.seek(0)
        _look(found, file.read())
    return found


def _look(found: TiffFile, block: exif.Buffer) -> None:
    page = None
    try:
        room = exif.Room(len(block))
        directories = list(exif.main_directories(block, room))
        if not directories:
            return
        inner = [one for parent in directories for one in _sub_directories(block, parent, room)]
        numbers = [_Numbers(block, one) for one in (*directories, *inner)]
        found.raw = bytes(block[8:10]) == b"CR" or any(one.is_raw for one in numbers)
        places = range(len(directories))
        found.pages = [place for place in places if numbers[place].is_page]
        found.reduced = not found.pages and bool(inner)
        page = directories[found.pages[0] if found.pages else 0]
        _look_at_page(found, block, page)
        entry = page.find(exif.IPTC)
        if entry is not None:
            # Of whatever type it is declared, the bytes are those of the records.
            found.iptc = bytes(block[entry.value_at : entry.value_at + entry.size])
        elif (entry := page.find(_PHOTOSHOP)) is not None:
            found.iptc = jpeg.iptc_of(bytes(block[entry.value_at : entry.value_at + entry.size]))
    except (ValueError, IndexError):
        pass
    try:
        found.exif = exif.from_tiff(block, page)
        found.dpi = exif.resolution(block, page)
    except (ValueError, IndexError):
        pass


class _Numbers:
    """The numbers of a directory by tag; 0 or nothing where one is missing."""

    def __init__(self, block: exif.Buffer, directory: exif.Directory) -> None:
        self.block, self.directory = block, directory

    def all(self, tag: int) -> list[int]:
        entry = self.directory.find(tag)
        return [] if entry is None else exif.integers(self.block, entry)

    def first(self, tag: int, default: int = 0) -> int:
        return next(iter(self.all(tag)), default)

    @property
    def is_page(self) -> bool:
        # Reduced copies (bit 0) and masks (bit 2) of the picture are no pages.
        return not self.first(exif.SUBFILE_TYPE) & 5 and self.first(_OLD_SUBFILE_TYPE) != 2

    @property
    def is_raw(self) -> bool:
        has_version = self.directory.find(_DNG_VERSION) is not None
        raw_data = self.first(_COMPRESSION) in _RAW_COMPRESSIONS
        return has_version or raw_data or self.first(_PHOTOMETRIC) in _RAW_PHOTOMETRICS

    @property
    def chromaticities(self) -> tuple[float, ...]:
        white, others = (self.directory.find(tag) for tag in (_WHITE_POINT, _PRIMARIES))
        if white is None or others is None:
            return ()
        return (*exif.rationals(self.block, white), *exif.rationals(self.block, others))


def _sub_directories(
    block: exif.Buffer, parent: exif.Directory, room: exif.Room
) -> list[exif.Directory]:
    found = []
    for at in _Numbers(block, parent).all(_SUB_DIRECTORIES):
        try:
            found.append(exif.directory(block, at, room))
        except ValueError:
            continue
    return found


def _look_at_page(found: TiffFile, block: exif.Buffer, page: exif.Directory) -> None:
    numbers = _Numbers(block, page)
    photometric, samples = numbers.first(_PHOTOMETRIC), numbers.first(_SAMPLES, 1)
    found.chromaticities = numbers.chromaticities if photometric in (2, 6) else ()
    extra = numbers.all(exif.EXTRA_SAMPLES)
    bits = numbers.first(_BITS, 1)
    if samples == _COLOURS.get(photometric, samples) + 1:
        found.unspecified = not extra or extra[0] not in (1, 2)
    compression = numbers.first(_COMPRESSION, 1)
    floats = numbers.first(_SAMPLE_FORMAT, 1) == 3
    found.inverted = floats and samples < 3 and numbers.first(_PHOTOMETRIC, 1) == 0
    found.misread = photometric in _PHOTOMETRICS or (floats and photometric not in (0, 1, 2))
    if photometric == _YCBCR and compression not in _JPEG_COMPRESSIONS:
        found.unusual, found.misread = "holds its colours as YCbCr, not in JPEG", True
    elif found.misread and photometric not in _PHOTOMETRICS:
        found.unusual = f"holds floating-point values of photometric interpretation {photometric}"
    elif photometric in _PHOTOMETRICS:
        found.unusual = f"holds its colours as {_PHOTOMETRICS[photometric]}"
    elif compression in _COMPRESSIONS:
        found.unusual = f"is compressed by {_COMPRESSIONS[compression]}"
    elif compression not in _USUAL_COMPRESSIONS:
        found.unusual = f"is compressed in an unusual way ({compression})"
    elif photometric == _MASK:
        found.unusual, found.misread = "holds a mask alone", True
    elif bits not in (1, 2, 4, 8, 16, 32) or (floats and bits == 16):
        found.unusual = f"holds values of {bits} bits"
    elif bits < 8 and samples > 1:
        found.unusual = f"holds colours of {bits} bits"
    elif numbers.first(_PLANAR, 1) == 2 and samples > 1 and page.find(_TILE_WIDTH) is not None:
        found.unusual = "holds its colours apart, in tiles"
    found.premultiplied = extra[:1] == [1]
    if edits := _edits(numbers, found.premultiplied):
        edited = bytearray(block)
        for entry, value in edits:
            if value is None:
                exif.blank(edited, entry)
            else:
                exif.set_integer(edited, entry, value)
        found.edited = bytes(edited)
    if bits in (10, 12, 14) and photometric in (0, 1, 2) and samples in (1, 3):
        one_plane = samples == 1 or numbers.first(_PLANAR, 1) == 1
        plain = numbers.first(_PREDICTOR, 1) == 1  # else libtiff adds up bytes, and not values
        if (
            plain
            and one_plane
            and page.find(_TILE_WIDTH) is None
            and numbers.first(_SAMPLE_FORMAT, 1) == 1
        ):
            found.packed = _packed(block, page, numbers)


def _edits(numbers: _Numbers, premultiplied: bool) -> list[tuple[exif.Entry, int | None]]:
    """Fields of a page, and what they are to be; None for what is left out."""
    edits: list[tuple[exif.Entry, int | None]] = []
    for entry in numbers.directory.entries:
        if entry.tag == exif.EXTRA_SAMPLES and premultiplied:
            edits.append((entry, 2))
        elif entry.tag in _MOST and entry.count:
            if not 1 <= numbers.first(entry.tag, 1) <= _MOST[entry.tag]:
                edits.append((entry, 1))
        elif not exif.is_known(entry):
            edits.append((entry, None))
    return edits


def _packed(block: exif.Buffer, page: exif.Directory, numbers: _Numbers) -> PackedPage | None:
    width, samples, bits = numbers.first(_WIDTH), numbers.first(_SAMPLES, 1), numbers.first(_BITS)
    row = (width * samples * bits + 7) // 8
    edited = bytearray(block)
    for tag, value in ((_WIDTH, row), (_BITS, 8), (_SAMPLES, 1), (_PHOTOMETRIC, 1)):
        entry = page.find(tag)
        if entry is None:
            if tag == _SAMPLES:
                continue
            return None
        if entry.count > 1:
            exif.set_single(edited, entry, value)
        else:
            exif.set_integer(edited, entry, value)
    size = numbers.first(_LENGTH), width, samples
    return PackedPage(bytes(edited), size, bits, numbers.first(_PHOTOMETRIC) == 0)
