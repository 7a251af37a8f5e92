"""What kind of picture a file is, by its content; names and suffixes lie."""

import re
import struct
from dataclasses import dataclass
from typing import BinaryIO

from iln.images.jpeg import GAIN_MAPS

_AVIF_HEADER = 1 << 20  # what is described before the pixels is shorter, profile and all
ACCEPTED = "JPEG, PNG, TIFF, WebP, AVIF, BMP, GIF or PPM"

HEAD = 512
"""Bytes from the start of a file that `sniff` and `describe` want."""
_CONVERT = f"convert it to one of {ACCEPTED}"
_RASTERISE = "export it as PNG at the size you need"
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
    b"\x1aE\xdf\xa3": ("a video", "save the frame you want as a picture"),
    b"PK\x03\x04": ("a ZIP archive", "unpack it first"),
    b"\x1f\x8b": ("compressed by gzip", "unpack it first"),
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
        return "a video", "save the frame you want as a picture"
    if re.search(rb"<svg[\s>]", head, re.IGNORECASE):
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
    file.seek(0)
    found = re.finditer(rb"ispe\0{4}(.{4})(.{4})", file.read(_AVIF_HEADER), re.DOTALL)
    return [(int.from_bytes(match[1]), int.from_bytes(match[2])) for match in found]


@dataclass(frozen=True)
class HeifBoxes:
    """What an AVIF or HEIC file says before its pixels.

    Attributes:
        code_points: primaries and transfer (ITU-T H.273); None where there are none, and where
            there is an ICC profile, which counts more.
        gain_map: whether it says how bright an HDR screen may show the picture.
    """

    code_points: tuple[int, int] | None
    gain_map: bool


def heif_boxes(file: BinaryIO) -> HeifBoxes:
    """Look for the boxes that matter; they precede the pixels."""
    file.seek(0)
    header = file.read(_AVIF_HEADER)
    found = re.search(rb"colrnclx(.{2})(.{2})", header, re.DOTALL)
    profile = re.search(rb"colr(?:prof|rICC)", header) is not None
    points = None
    if found is not None and not profile:
        points = int.from_bytes(found[1]), int.from_bytes(found[2])
    return HeifBoxes(points, b"tmap" in header or any(mark in header for mark in GAIN_MAPS))


def _brands(head: bytes) -> set[bytes]:
    """The brands in the `ftyp` box that begins HEIF and AVIF files."""
    if head[4:8] != b"ftyp":
        return set()
    box = head[: int.from_bytes(head[:4])]
    return {box[8:12], *(box[at : at + 4] for at in range(16, len(box) - 3, 4))}
