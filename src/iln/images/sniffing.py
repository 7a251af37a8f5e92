"""What kind of picture a file is, by its content; names and suffixes lie."""

import re
import struct
from dataclasses import dataclass
from typing import BinaryIO

from iln.images.jpeg import GAIN_MAPS

# Of what describes an AVIF or HEIC picture, profile and all; and of boxes, a dozen as a rule.
_LONGEST_META, _MOST_BOXES = 16 << 20, 4096
ACCEPTED = "JPEG, PNG, TIFF, WebP, AVIF, BMP, GIF or PPM"

_SVG_HEADER = 1 << 13  # comments and declarations come before the first element

HEAD = 512
"""Bytes from the start of a file that `sniff` and `describe` want."""
_CONVERT = f"convert it to one of {ACCEPTED}"
_RASTERISE = "export it as PNG at the size you need"
_FRAME = "save the frame you want as a picture"
_DEVELOP = "develop it to a 16-bit TIFF, for instance by darktable or RawTherapee"
# Known kinds that are not read: naming them helps more than "unknown".
_OTHERS = {
    b"%PDF": ("a PDF document", _RASTERISE),
    b"%!PS": ("a PostScript document", _RASTERISE),
    b"8BPS": ("a Photoshop file", _CONVERT),
    b"gimp xcf": ("a GIMP file", _CONVERT),
    b"\0\0\0\x0cjP  ": ("a JPEG 2000 picture", _CONVERT),
    b"\xff\x4f\xff\x51": ("a JPEG 2000 picture", _CONVERT),
    b"v/1\x01": ("an OpenEXR picture", _CONVERT),
    b"#?RADIANCE": ("a Radiance HDR picture", _CONVERT),
    b"qoif": ("a QOI picture", _CONVERT),
    b"DDS ": ("a DDS texture", _CONVERT),
    b"BPG\xfb": ("a BPG picture", _CONVERT),
    b"icns": ("an icon (ICNS)", _CONVERT),
    b"II\xbc\x01": ("a JPEG XR picture", _CONVERT),
    b"P7\n": ("a PAM picture", _CONVERT),
    b"Pf\n": ("a PFM picture", _CONVERT),
    b"PF\n": ("a PFM picture", _CONVERT),
    b"FUJIFILMCCD-RAW": ("a raw file of a camera (RAF)", _DEVELOP),
    b"IIRO": ("a raw file of a camera (ORF)", _DEVELOP),
    b"IIRS": ("a raw file of a camera (ORF)", _DEVELOP),
    b"MMOR": ("a raw file of a camera (ORF)", _DEVELOP),
    b"IIU\0": ("a raw file of a camera (RW2)", _DEVELOP),
    b"FOVb": ("a raw file of a camera (X3F)", _DEVELOP),
    b"\0MRM": ("a raw file of a camera (MRW)", _DEVELOP),
    b"II\x1a\0\0\0HEAPCCDR": ("a raw file of a camera (CRW)", _DEVELOP),
    b"#?RGBE": ("a Radiance HDR picture", _CONVERT),
    b"FLIF": ("a FLIF picture", _CONVERT),
    b"\xabKTX ": ("a KTX texture", _CONVERT),
    b"VTF\0": ("a VTF texture", _CONVERT),
    b"\x01\xda": ("an SGI picture", _CONVERT),
    b"\x59\xa6\x6a\x95": ("a Sun raster picture", _CONVERT),
    b"/* XPM */": ("an XPM picture", _CONVERT),
    b"SIMPLE  =": ("a FITS file", _CONVERT),
    b"SDPX": ("a DPX picture", _CONVERT),
    b"XPDS": ("a DPX picture", _CONVERT),
    b"\x80\x2a\x5f\xd7": ("a Cineon picture", _CONVERT),
    b"AT&TFORM": ("a DjVu document", _RASTERISE),
    b"\xd7\xcd\xc6\x9a": ("a drawing (WMF)", _RASTERISE),
    b"\xc5\xd0\xd3\xc6": ("a PostScript document", _RASTERISE),
    b"\x8aMNG": ("a MNG animation", _FRAME),
    b"\x8bJNG": ("a JNG picture", _CONVERT),
    b"\x1aE\xdf\xa3": ("a video", _FRAME),
    b"FLV\1": ("a video", _FRAME),
    b"\0\0\1\xba": ("a video", _FRAME),
    b"\0\0\1\xb3": ("a video", _FRAME),
    b"PK\x03\x04": ("a ZIP archive", "unpack it first"),
    b"7z\xbc\xaf": ("a 7z archive", "unpack it first"),
    b"Rar!": ("a RAR archive", "unpack it first"),
    b"\x1f\x8b": ("compressed by gzip", "unpack it first"),
    b"version https://git-lfs": ("a pointer of Git LFS", "get the picture itself by git lfs pull"),
}
# The same, where the mark does not begin the file: a pattern for its first bytes.
_PATTERNS = {
    rb"RIFF....AVI ": ("a video", _FRAME),
    rb"....(?:moov|mdat|wide|free|skip|pnot)": ("a video", _FRAME),
    rb"\n[\x00-\x05]\x01[\x01\x02\x04\x08]": ("a PCX picture", _CONVERT),
    rb"FORM....(?:ILBM|PBM )": ("an IFF picture", _CONVERT),
    rb"\x01\0\0\0.{36} EMF": ("a drawing (EMF)", _RASTERISE),
    rb".{128}DICM": ("a DICOM picture", _CONVERT),
    rb"#define \w+_width ": ("an XBM picture", _CONVERT),
    rb"\s*%PDF": ("a PDF document", _RASTERISE),
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*)*+(?i:<!doctype html|<html|<head)": (
        "a web page",
        "save the picture that it shows",
    ),
}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_TGA_FOOTER = b"TRUEVISION-XFILE.\0"


def sniff(head: bytes) -> str | None:
    """The format of a file that starts with `head` (`HEAD` bytes), or None if not ours."""
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    # "BM" alone begins many a text: the four reserved bytes are zero in every real BMP.
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return "bmp"
    if re.match(rb"P[1-6]\s", head):
        return "pnm"
    brands = _brands(head)
    if brands & {b"avif", b"avis"}:
        return "avif"
    if brands & _HEIC_BRANDS:
        return "heic"
    if head[:2] == b"\xff\x0a" or head[:12] == b"\0\0\0\x0cJXL \r\n\x87\n":
        return "jxl"
    return None


def describe(head: bytes, file: BinaryIO) -> tuple[str, str]:
    """What a file that `sniff` does not know seems to be, and what to do with it."""
    for start, found in _OTHERS.items():
        if head.startswith(start):
            return found
    if re.match(rb"\0\0[\1\2]\0[^\0]\0", head):  # unlike a TGA picture it counts its pictures
        return "an icon (ICO or CUR)", _CONVERT
    brands = _brands(head)
    if b"crx " in brands:
        return "a raw file of a camera (CR3)", _DEVELOP
    if brands:
        return "a video", _FRAME
    for pattern, found in _PATTERNS.items():
        if re.match(pattern, head, re.DOTALL):
            return found
    file.seek(0)
    if re.search(rb"<(?:\w+:)?svg[\s>]", file.read(_SVG_HEADER), re.IGNORECASE):
        return "an SVG drawing", _RASTERISE
    if _is_tga(head, file):
        return "a TGA picture", _CONVERT
    return "not a picture", f"give a {ACCEPTED} picture"


def _is_tga(head: bytes, file: BinaryIO) -> bool:
    """By the footer of its second version; by plausible numbers of the first, which has no mark."""
    size = file.seek(0, 2)
    file.seek(max(0, size - len(_TGA_FOOTER)))
    if file.read() == _TGA_FOOTER:
        return True
    if len(head) < 18 or head[1] > 1 or head[2] not in (1, 2, 3, 9, 10, 11):
        return False
    width, height, depth = struct.unpack_from("<HHB", head, 12)
    return width > 0 < height and depth in (8, 15, 16, 24, 32) and head[17] & 0xC0 == 0


def is_animated_avif(head: bytes) -> bool:
    """Whether an AVIF file says that it is first of all an image sequence."""
    return head[4:12] == b"ftypavis"


def avif_sizes(file: BinaryIO) -> list[tuple[int, int]]:
    """Widths and heights that an AVIF file declares: of the picture, its tiles, its thumbnail."""
    found = re.finditer(rb"ispe\0{4}(.{4})(.{4})", _meta(file), re.DOTALL)
    return [(int.from_bytes(match[1]), int.from_bytes(match[2])) for match in found]


@dataclass(frozen=True)
class HeifBoxes:
    """What an AVIF or HEIC file says beside its pixels.

    Attributes:
        code_points: primaries and transfer (ITU-T H.273); None where there are none, and where
            there is an ICC profile, which counts more.
        gain_map: whether it says how bright an HDR screen may show the picture.
        premultiplied: whether its colours are multiplied with their alpha.
    """

    code_points: tuple[int, int] | None
    gain_map: bool
    premultiplied: bool


def heif_boxes(file: BinaryIO) -> HeifBoxes:
    """Look for the boxes that matter."""
    header = _meta(file)
    found = re.search(rb"colrnclx(.{2})(.{2})", header, re.DOTALL)
    profile = re.search(rb"colr(?:prof|rICC)", header) is not None
    points = None
    if found is not None and not profile:
        points = int.from_bytes(found[1]), int.from_bytes(found[2])
    gain_map = b"tmap" in header or any(mark in header for mark in GAIN_MAPS)
    # A reference from one item to another, with numbers of 16 or 32 bits (ISO/IEC 23008-12).
    premultiplied = re.search(rb"\0{3}[\x0e\x12]prem", header) is not None
    return HeifBoxes(points, gain_map, premultiplied)


def _meta(file: BinaryIO) -> bytes:
    """What describes an AVIF or HEIC picture: its boxes but those of data, in any order."""
    end = file.seek(0, 2)
    at, room, found = 0, _LONGEST_META, list[bytes]()
    while at + 8 <= end and len(found) < _MOST_BOXES:
        file.seek(at)
        head = file.read(16)
        size, kind = int.from_bytes(head[:4]), head[4:8]
        size = int.from_bytes(head[8:16]) if size == 1 else size or end - at
        if size < 8:
            break
        described = kind not in (b"mdat", b"free", b"skip")
        file.seek(at)
        found.append(file.read(min(size, room)) if described else b"")
        room -= len(found[-1])
        at += size
    return b"".join(found)


def _brands(head: bytes) -> set[bytes]:
    """The brands in the `ftyp` box that begins HEIF and AVIF files."""
    if head[4:8] != b"ftyp":
        return set()
    box = head[: int.from_bytes(head[:4])]
    return {box[8:12], *(box[at : at + 4] for at in range(16, len(box) - 3, 4))}
