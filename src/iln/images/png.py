"""PNG files: what their chunks say beside the pixels, and how to add some (PNG, third edition)."""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from iln.images import colour, jpeg

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# The header chunk always ends here, and all that we add may stand behind it.
_HEADER_END = 33
_TEXT_LIMIT = 16 << 20
_INCH = 0.0254
_XMP = "XML:com.adobe.xmp"
# EXIF, XMP and IPTC in hexadecimal behind a name and a length, as ImageMagick and Exiv2 write them.
_RAW_PROFILE = "Raw profile type "
_RAW_PROFILE_TEXT = re.compile(r"\s*\S[^\n]*\n\s*\d+\n([0-9a-fA-F\s]*)")


@dataclass
class PngChunks:
    """What a PNG file says beside its pixels.

    Attributes:
        apple: written for iOS apps, in a variant that other programs do not read.
        animated: has several frames (APNG).
        dpi: pixels per inch, across and down.
        text: keywords and texts.
        exif: an EXIF block.
        xmp: a packet of XMP.
        iptc: IPTC records.
        gray: it holds no colours.
        code_points: primaries and transfer of cICP (ITU-T H.273).
        narrow: values go from 16 to 235, as in video, and not from 0 to 255.
        icc: an ICC profile that fits the channels.
        srgb: its pixels are sRGB, as the chunk of that name says.
        gamma: of gAMA, such as 1 / 2.2.
        primaries: of cHRM.
        profile_lost: there is one that does not, or that is damaged.
    """

    apple: bool = False
    animated: bool = False
    dpi: tuple[float, float] | None = None
    text: list[tuple[str, str]] = field(default_factory=list)
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    gray: bool = False
    code_points: tuple[int, int] | None = None
    narrow: bool = False
    icc: bytes | None = None
    profile_lost: bool = False
    srgb: bool = False
    gamma: float | None = None
    primaries: colour.Primaries | None = None

    @property
    def encoding(self) -> colour.Encoding | None:
        """What the pixels mean; None where a profile says it.

        Raises:
            UnknownColours: if they cannot be turned to sRGB.
        """
        if self.narrow:
            raise colour.UnknownColours("values in video's narrow range; save it as sRGB")
        if self.code_points is not None:
            return colour.of_code_points(*self.code_points)
        if self.icc is not None:
            return None
        if self.srgb:
            return colour.Encoding()
        return colour.of_gamma(self.gamma, self.primaries)


def look(file: BinaryIO) -> PngChunks:
    """Go over the chunks of a PNG file; damaged ones are passed over."""
    found = PngChunks()
    budget = _TEXT_LIMIT
    seen: set[bytes] = set()
    for kind, length in _chunks(file):
        # What says what the pixels mean stands before them, and once.
        if kind in _COLOURS and (kind in seen or seen & {b"PLTE", b"IDAT"}):
            continue
        seen.add(kind)
        if kind == b"CgBI":
            found.apple = True
        elif kind in _SMALL and length <= 1024:
            _SMALL[kind](found, file.read(length))
        elif kind == b"iCCP":
            found.icc = _profile(file.read(length), found.gray)
            found.profile_lost = found.icc is None
        elif kind == b"eXIf" and length <= budget:
            found.exif = file.read(length)
        elif kind in (b"tEXt", b"zTXt", b"iTXt") and length <= budget:
            text = _text(kind, file.read(length), budget)
            # Whatever it holds, and also where it is too long: a file may be made to be slow.
            budget -= budget // 2 if text is None else len(text[1])
            if text is None:
                continue
            if text[0] == _XMP:
                found.xmp = text[1].encode()
            elif text[0].startswith(_RAW_PROFILE):
                _raw_profile(found, text[1])
            else:
                found.text.append(text)
    return found


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Kind and length of each; the file then stands at its data."""
    at = len(SIGNATURE)
    while True:
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return
        length, kind = struct.unpack(">I4s", head)
        yield kind, length
        if kind == b"IEND":
            return
        at += length + 12


def _ihdr(found: PngChunks, data: bytes) -> None:
    found.gray = data[9:10] in (b"\0", b"\4")


def _cicp(found: PngChunks, data: bytes) -> None:
    if len(data) == 4:
        found.code_points = data[0], data[1]
        found.narrow = data[3] == 0


def _profile(data: bytes, gray: bool) -> bytes | None:
    """The profile of an iCCP chunk, if it is whole and for these channels."""
    try:
        profile = _inflate(data.split(b"\0", 1)[1][1:], _TEXT_LIMIT)
    except (IndexError, ValueError, zlib.error):
        return None
    size = int.from_bytes(profile[:4])
    fits = profile[16:20] == (b"GRAY" if gray else b"RGB ") and profile[36:40] == b"acsp"
    return profile[:size] if fits and 128 <= size <= len(profile) else None


def _raw_profile(found: PngChunks, words: str) -> None:
    """What programs put into a text that have no chunk for it; a chunk counts more."""
    match = _RAW_PROFILE_TEXT.fullmatch(words)
    try:
        data = b"" if match is None else bytes.fromhex(match[1])
    except ValueError:
        return
    if data.startswith(jpeg.EXIF):
        found.exif = found.exif or data
    elif data.startswith(jpeg.XMP):
        found.xmp = found.xmp or data.removeprefix(jpeg.XMP)
    elif b"<x:xmpmeta" in data[:256] or b"<?xpacket" in data[:256]:
        found.xmp = found.xmp or data
    elif data.startswith((b"8BIM", b"\x1c")):
        found.iptc = found.iptc or jpeg.iptc_of(data)


def _gama(found: PngChunks, data: bytes) -> None:
    if len(data) == 4:
        found.gamma = int.from_bytes(data) / 100_000


def _chrm(found: PngChunks, data: bytes) -> None:
    if len(data) == 32:
        a, b, c, d, e, f, g, h = (value / 100_000 for value in struct.unpack(">8I", data))
        found.primaries = a, b, c, d, e, f, g, h


def _srgb(found: PngChunks, data: bytes) -> None:
    found.srgb = True


def _phys(found: PngChunks, data: bytes) -> None:
    if len(data) == 9:
        x, y, unit = struct.unpack(">IIB", data)
        if unit == 1 and x and y:  # unit 0 gives a ratio alone
            found.dpi = round(x * _INCH, 2), round(y * _INCH, 2)


def _actl(found: PngChunks, data: bytes) -> None:
    found.animated = int.from_bytes(data[:4]) > 1


_COLOURS = {b"cICP", b"gAMA", b"cHRM", b"sRGB", b"iCCP"}
_SMALL = {
    b"IHDR": _ihdr,
    b"cICP": _cicp,
    b"gAMA": _gama,
    b"cHRM": _chrm,
    b"sRGB": _srgb,
    b"pHYs": _phys,
    b"acTL": _actl,
}


def _text(kind: bytes, data: bytes, budget: int) -> tuple[str, str] | None:
    """Keyword and text of a chunk; None if it is damaged or too long."""
    try:
        keyword, rest = data.split(b"\0", 1)
        if kind == b"tEXt":
            return keyword.decode("latin-1"), rest.decode("latin-1")
        if kind == b"zTXt":
            return keyword.decode("latin-1"), _inflate(rest[1:], budget).decode("latin-1")
        compressed = rest[0]
        _, _, text = rest[2:].split(b"\0", 2)  # language, translated keyword
        if compressed:
            text = _inflate(text, budget)
        return keyword.decode("latin-1"), text.decode("utf-8")
    except (ValueError, IndexError, zlib.error):
        return None


def _inflate(data: bytes, budget: int) -> bytes:
    inflater = zlib.decompressobj()
    text = inflater.decompress(data, budget)
    if inflater.unconsumed_tail:
        raise ValueError("too long")
    return text


def insert(
    data: bytes,
    *,
    exif: bytes | None,
    dpi: tuple[float, float] | None,
    text: tuple[tuple[str, str], ...],
    xmp: bytes | None,
) -> list[bytes]:
    """An encoded picture with these chunks in the place of its own density, as parts."""
    parts = [data[:_HEADER_END]]
    if dpi is not None:
        x, y = (max(1, round(value / _INCH)) for value in dpi)
        parts += _chunk(b"pHYs", struct.pack(">IIB", x, y, 1))
    if exif is not None:
        parts += _chunk(b"eXIf", exif)
    if xmp is not None:
        parts += _chunk(b"iTXt", _XMP.encode() + bytes(5) + xmp)
    for keyword, words in text:
        parts += _text_chunk(keyword, words)
    at = _HEADER_END
    while data[at + 4 : at + 8] not in (b"IDAT", b""):
        end = at + 12 + int.from_bytes(data[at : at + 4])
        if data[at + 4 : at + 8] != b"pHYs":  # libvips writes one in any case
            parts.append(data[at:end])
        at = end
    return [*parts, data[at:]]


def _text_chunk(keyword: str, words: str) -> list[bytes]:
    key = keyword.encode("latin-1", "replace")[:79] or b"Comment"
    words = words.replace("\0", " ")  # it would end the text
    try:
        return _chunk(b"tEXt", key + b"\0" + words.encode("latin-1"))
    except UnicodeEncodeError:
        return _chunk(b"iTXt", key + bytes(5) + words.encode("utf-8"))


def _chunk(kind: bytes, body: bytes) -> list[bytes]:
    check = zlib.crc32(kind + body)
    return [struct.pack(">I4s", len(body), kind), body, struct.pack(">I", check)]
