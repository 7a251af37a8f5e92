"""What kind of picture a file is, by its content; names and suffixes lie."""

import re
import struct
from typing import BinaryIO

_AVIF_HEADER = 1 << 20  # what is described before the pixels is shorter, profile and all
ACCEPTED = "JPEG, PNG, TIFF, WebP, AVIF, BMP or GIF"

# Known kinds that are not read: naming them helps more than "unknown".
_OTHERS = {
    b"%PDF": "a PDF document",
    b"8BPS": "a Photoshop file",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 picture",
    b"\xff\x4f\xff\x51": "a JPEG 2000 picture",
    b"\xff\x0a": "a JPEG XL picture",
    b"\0\0\0\x0cJXL ": "a JPEG XL picture",
    b"v/1\x01": "an OpenEXR picture",
    b"#?RADIANCE": "a Radiance HDR picture",
    b"<svg": "an SVG drawing",
}


def sniff(head: bytes) -> str | None:
    """The format of a file that starts with `head` (64 bytes suffice), or None if not ours."""
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
    if _brands(head) & {b"avif", b"avis"}:
        return "avif"
    return None


def describe(head: bytes) -> str:
    """What a file that `sniff` does not know seems to be, for an error message."""
    if _brands(head) & {b"heic", b"heix", b"hevc", b"mif1", b"heim", b"heis"}:
        return "a HEIC picture"
    for start, name in _OTHERS.items():
        if head.startswith(start):
            return name
    return "not a picture"


def is_animated_avif(head: bytes) -> bool:
    """Whether an AVIF file says that it is first of all an image sequence."""
    return head[4:12] == b"ftypavis"


def is_animated_png(file: BinaryIO) -> bool:
    """Whether a PNG file has an animation control chunk (APNG) for more than one frame."""
    file.seek(8)
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"acTL":
            return int.from_bytes(file.read(4)) > 1
        if kind in (b"IDAT", b"IEND"):
            return False
        file.seek(length + 4, 1)
    return False


def avif_sizes(file: BinaryIO) -> list[tuple[int, int]]:
    """Widths and heights that an AVIF file declares: of the picture, its tiles, its thumbnail."""
    file.seek(0)
    found = re.finditer(rb"ispe\0{4}(.{4})(.{4})", file.read(_AVIF_HEADER), re.DOTALL)
    return [(int.from_bytes(match[1]), int.from_bytes(match[2])) for match in found]


def _brands(head: bytes) -> set[bytes]:
    """The brands in the `ftyp` box that begins HEIF and AVIF files."""
    if head[4:8] != b"ftyp":
        return set()
    box = head[: int.from_bytes(head[:4])]
    return {box[8:12], *(box[at : at + 4] for at in range(16, len(box) - 3, 4))}
