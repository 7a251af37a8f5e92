"""What files say beside their pixels, and kinds of files that are refused for it."""

from collections.abc import Callable
from typing import BinaryIO

from iln.images import colour, jpeg, png, sniffing, tiff
from iln.images.metadata import Found
from iln.images.pillow_formats import gif_left_out, read_gif_header
from iln.images.refusals import Refused, animated

_GAIN_MAP = "its gain map for HDR screens is left out"


def _read_png_header(file: BinaryIO, found: Found, allow_damaged: bool) -> None:
    chunks = png.look(file)
    if chunks.apple:
        raise Refused(
            "is a PNG in Apple's own variant (CgBI), as apps for iOS hold it; convert it, for "
            "instance by pngcrush -revert-iphone-optimizations"
        )
    if chunks.animated:
        raise animated()
    found.dpi, found.text, found.xmp = chunks.dpi, chunks.text, chunks.xmp
    found.exif, found.iptc, found.encoding = chunks.exif, chunks.iptc, chunks.encoding
    found.icc_counts = chunks.code_points is None
    found.icc = chunks.icc if found.icc_counts else None
    if chunks.profile_lost and found.icc_counts:
        found.notes.append(colour.PROFILE_LEFT_OUT)


def _read_jpeg_header(file: BinaryIO, found: Found, allow_damaged: bool) -> None:
    file.seek(0)
    data = file.read()
    segments = jpeg.look(data)
    mended = jpeg.mended(data) if allow_damaged else data
    if mended is not data:
        found.notes.append("is damaged, look at the result (it is cut off)")
    if segments.padding or mended is not data:
        # Of padding libjpeg complains, and then no more of what is lost.
        found.cleaned = jpeg.without(mended, segments.padding)
    if segments.variant is not None:
        raise Refused(
            f"is a {segments.variant}, which is not read here; save it as a usual JPEG or as PNG"
        )
    found.dpi = segments.dpi
    found.iptc, found.text = segments.iptc, [("Comment", words) for words in segments.comments]
    if segments.extended_xmp:
        found.notes.append("a part of its XMP, too long for one segment, is left out")
    if segments.video:
        found.notes.append("the video behind it is left out")
    if segments.gain_map:
        found.notes.append(_GAIN_MAP)
    elif segments.more_pictures:
        found.notes.append("further pictures in the file are left out")


def _read_tiff_header(file: BinaryIO, found: Found, allow_damaged: bool) -> tiff.TiffFile:
    page = tiff.look(file)
    if page.raw:
        raise Refused(
            "is a raw file of a camera; develop it to a 16-bit TIFF, for instance by darktable or "
            "RawTherapee"
        )
    if page.reduced:
        raise Refused(
            "holds only a reduced copy of its picture where programs look for it; save the full "
            "picture as a TIFF file of its own"
        )
    if page.unspecified and not allow_damaged:
        raise Refused(
            "has one channel more than colours, and does not say what it is (the infrared of a "
            "scanner?); save it without, or take the colours alone by iln restore --allow-damaged"
        )
    found.exif, found.dpi, found.iptc = page.exif, page.dpi, page.iptc
    found.notes_without_icc = colour.notes_of_numbers(page.chromaticities)
    return page


def _read_gif_header(file: BinaryIO, found: Found, allow_damaged: bool) -> None:
    file.seek(0)
    read_gif_header(file, found)
    file.seek(0)
    found.notes += [f"its {what} is left out" for what in gif_left_out(file.read())]


READ_HEADER: dict[str, Callable[[BinaryIO, Found, bool], tiff.TiffFile | None]] = {
    "png": _read_png_header,
    "jpeg": _read_jpeg_header,
    "tiff": _read_tiff_header,
    "gif": _read_gif_header,
}
"""By format: what stands beside the pixels goes into `Found`. Raises Refused for a kind of file
that libvips would misread."""


def read_heif_header(file: BinaryIO, found: Found) -> None:
    """What an AVIF or HEIC file says. Raises UnknownColours for what sRGB cannot hold."""
    boxes = sniffing.heif_boxes(file)
    if boxes.code_points is not None:
        found.encoding = colour.of_code_points(*boxes.code_points)
    if boxes.gain_map:
        found.notes.append(_GAIN_MAP)
    found.premultiplied = boxes.premultiplied
