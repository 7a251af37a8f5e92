"""Read a picture file: upright, at its full depth, with what belongs to it."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO, UnsupportedOperation
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from iln.atomic import printable
from iln.errors import InputError
from iln.images import colour, jpeg, phone, sniffing, tiff, xmp
from iln.images import exif as exif_blocks
from iln.images.decoding import (
    STORED,
    View,
    cmyk_to_srgb,
    decode,
    field_of,
    floats_as_integers,
    unpack,
    unpremultiply,
)
from iln.images.format_headers import READ_HEADER, read_heif_header
from iln.images.libvips import complaints, forget_errors, libvips, own_errors, reason, warnings
from iln.images.metadata import Found
from iln.images.picture import NAMES, Array, Picture, icc_fits
from iln.images.pillow_formats import read_with_pillow
from iln.images.refusals import Refused, animated, check_size, damaged

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
"""A file's name, its bytes, or an open file."""

MAX_PIXELS = 300_000_000
_LOADERS = {
    "jpeg": "jpegload_source",
    "png": "pngload_source",
    "tiff": "tiffload_source",
    "webp": "webpload_source",
    "avif": "heifload_source",
    "gif": "gifload_source",
}
# What can be meant, and what JPEG can hold; other numbers are a program's mistake.
_LEAST_DPI, _MOST_DPI = 0.5, 65535
# What decoders of JPEG and of fax warn of in a TIFF file: not of padding, but of data lost.
_TIFF_DAMAGE = re.compile(
    r"Corrupt JPEG data|Premature EO[LF]|[Ll]ine length mismatch|[Bb]ad code word|Invalid code"
)


def read(source: Source, max_pixels: int = MAX_PIXELS, *, allow_damaged: bool = False) -> Picture:
    """Read JPEG, PNG, TIFF, WebP, AVIF, BMP, GIF or PPM; the content decides, not the suffix.

    HEIC and JPEG XL are read where the extra `phone` is installed. The EXIF orientation is
    applied. Depth stays 8 or 16 bits: fewer become 8, more than 8 (of AVIF, HEIC, TIFF) become 16,
    and so do floats in [0, 1] of a TIFF. Gray stays gray where the format knows it (WebP and AVIF
    do not), a palette becomes RGB (a TIFF or GIF palette of grays: gray), transparency becomes
    alpha. CMYK becomes sRGB through its profile, or a standard one; colours that are described by
    numbers instead of a profile (PNG's gAMA, cHRM and cICP, AVIF's nclx) become sRGB. An ICC
    profile is kept where it fits the channels, EXIF without its thumbnail, and XMP, IPTC and texts.

    Args:
        source: a file's name, the bytes of a file, or a file open for reading bytes.
        max_pixels: larger pictures are refused before they are decoded.
        allow_damaged: take what a viewer would show of a damaged picture, and the colours alone
            where nobody knows what a fourth channel is.

    Returns:
        The picture. Its `notes` say what was left out or had to be assumed.

    Raises:
        InputError: if the file is missing, unreadable, no picture, damaged or cut off, too large,
            animated, of several pages, of high dynamic range, or of another depth or colour model.
    """
    if isinstance(source, memoryview) and not source.c_contiguous:
        source = source.tobytes()
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _read_open(BytesIO(source), "the picture", max_pixels, allow_damaged)
    if not isinstance(source, (str, os.PathLike)):
        name = getattr(source, "name", None)
        named = printable(name) if isinstance(name, str) else "the picture"
        return _read_open(BytesIO(_content(source, named)), named, max_pixels, allow_damaged)
    name, source = printable(source), os.fsdecode(source)
    try:
        if "\0" in source:
            raise FileNotFoundError
        # Opening a named pipe would wait forever.
        if Path(source).exists() and not Path(source).is_file():
            what = "a folder" if Path(source).is_dir() else "not a regular file"
            raise InputError(f"{name}: is {what}; give a {sniffing.ACCEPTED} picture")
        with Path(source).open("rb") as file:
            return _read_open(file, name, max_pixels, allow_damaged)
    except FileNotFoundError:
        raise InputError(f"{name}: no such file; give a {sniffing.ACCEPTED} picture") from None
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror or error}") from None


def _content(file: BinaryIO, name: str) -> bytes:
    """All of an open file, from where it stands."""
    try:
        content: Any = file.read()
    except (OSError, ValueError) as error:  # open for writing alone, closed, gone
        raise InputError(f"{name}: cannot be read: {error}") from None
    if isinstance(content, str):
        raise InputError(f"{name}: is open for text; open it for bytes (mode 'rb')")
    if not content:
        raise InputError(f"{name}: is empty, or stands at its end; seek(0) goes to its beginning")
    return bytes(content)


def size_of(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """Width and height that a picture's header declares, as stored; None where it cannot be told
    quickly. Nothing is decoded, and nothing raised."""
    pyvips = libvips()
    with own_errors():
        try:
            if not Path(path).is_file():  # opening a named pipe would wait forever
                return None
            header = pyvips.Image.new_from_file(os.fspath(path), access="sequential")
            return int(header.width), int(header.height)
        except (pyvips.Error, UnicodeDecodeError, ValueError, OSError):
            return None


def _read_open(file: BinaryIO, name: str, max_pixels: int, allow_damaged: bool) -> Picture:
    try:
        return _read(file, max_pixels, allow_damaged)
    except Refused as refused:
        raise InputError(f"{name}: {refused}") from refused.__cause__
    except colour.UnknownColours as error:
        raise InputError(f"{name}: holds {error}") from None


def _read(file: BinaryIO, max_pixels: int, allow_damaged: bool) -> Picture:
    head = file.read(sniffing.HEAD)
    if not head:
        raise Refused(f"is empty; give a {sniffing.ACCEPTED} picture")
    kind = sniffing.sniff(head)
    if kind is None:
        what, convert = sniffing.describe(head, file)
        raise Refused(f"is {what}; {convert}")
    if kind in phone.PACKAGES:
        return _read_phone(file, kind, max_pixels)
    if kind == "avif":
        if sniffing.is_animated_avif(head):
            raise animated()
        # libvips would complain of the wildest on stderr.
        for width, height in sniffing.avif_sizes(file):
            check_size(width, height, max_pixels)
    file.seek(0)
    if kind in ("bmp", "pnm"):
        array, found = read_with_pillow(file, kind, max_pixels)
        found.icc = _whole_profile(found.icc, found)
        return _picture(*_split(array), found, kind)
    return _read_vips(file, kind, max_pixels, allow_damaged)


def _read_vips(file: BinaryIO, kind: str, max_pixels: int, allow_damaged: bool) -> Picture:
    found = Found()
    read_header = READ_HEADER.get(kind)
    page = None if read_header is None else read_header(file, found, allow_damaged)
    if page is not None and page.misread:
        raise damaged(kind, "", page)
    if kind == "avif":
        read_heif_header(file, found)
    trouble = ""
    for fail_on in ("error", "none") if allow_damaged else ("error",):
        try:
            with _complaints() as heard:
                view, pixels, alpha = _decoded(file, kind, max_pixels, page, found, fail_on)
                trouble = trouble or _trouble(kind, heard, file)
        except (libvips().Error, UnicodeDecodeError) as error:
            trouble = trouble or reason(error)
            if fail_on == "none" or not allow_damaged:
                hint = not allow_damaged and _readable_in_part(file, kind, max_pixels)
                raise damaged(kind, trouble, page, hint=hint) from None
        else:
            break
    if page is not None and trouble and (page.unusual is not None or not allow_damaged):
        hint = not allow_damaged and _readable_in_part(file, kind, max_pixels)
        raise damaged(kind, trouble, page, hint=hint)
    if not trouble and kind == "jpeg" and _lost_step(file):
        trouble = "its data do not end where the picture does"
    if trouble:
        found.notes.append(f"is damaged, look at the result ({trouble})")

    premultiplied = found.premultiplied or (page is not None and page.premultiplied)
    if premultiplied and alpha is not None:
        unpremultiply(pixels, alpha)
    if page is not None and page.unspecified:
        alpha = None
        found.notes.append("its fourth channel is left out: nothing says that it is transparency")
    if found.box is not None:
        alpha = _cleared_around(found.box, pixels, alpha)
    return _picture(pixels, alpha, found, kind, view)


def _cleared_around(box: tuple[int, int, int, int], pixels: Array, alpha: Array | None) -> Array:
    """Alpha, transparent outside of the box."""
    left, top, right, bottom = box
    inside = np.s_[top:bottom, left:right]
    cleared: Array = np.zeros_like(pixels[..., 0])
    cleared[inside] = np.iinfo(pixels.dtype).max if alpha is None else alpha[inside]
    return cleared


def _readable_in_part(file: BinaryIO, kind: str, max_pixels: int) -> bool:
    """Whether `allow_damaged` gives a picture: not where a decoder gives all or nothing."""
    file.seek(0)
    try:
        _read_vips(file, kind, max_pixels, allow_damaged=True)
    except (Refused, colour.UnknownColours):
        return False
    return True


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """Nobody else's complaints meanwhile, and none are left; yields what is warned of."""
    with own_errors(), warnings() as heard:
        yield heard


def _trouble(kind: str, heard: list[str], file: BinaryIO) -> str:
    """What libvips says of damage that it has passed over, in spite of `fail_on`.

    It paints a tile of a TIFF file black that it cannot decode, and takes what decoders warn of for
    no error: of JPEG's it keeps it with the errors, of those inside of TIFF files it tells the log.
    """
    if kind == "jpeg":
        said = complaints("VipsJpeg")
        if said:
            file.seek(0)
            data = file.read()
            said = [line for line in said if not jpeg.is_harmless(line, data)]
    elif kind == "tiff":
        damage = [line for line in heard if _TIFF_DAMAGE.search(line)]
        said = complaints("tiff2vips") or complaints("VipsJpeg") or damage
    else:
        said = complaints("")
    return next(iter(said), "")


def _decoded(
    file: BinaryIO,
    kind: str,
    max_pixels: int,
    page: tiff.TiffFile | None,
    found: Found,
    fail_on: str,
) -> tuple[View, Array, Array | None]:
    """How the stored picture is turned, and its pixels and alpha, upright."""
    options: dict[str, Any] = {"access": "sequential", "fail_on": fail_on}
    packed = None if page is None else page.packed
    if page is not None and page.pages and page.pages[0] > 0:
        options["page"] = page.pages[0]
    if packed is not None:
        source = libvips().Source.new_from_memory(packed.data)
    elif page is not None and page.edited is not None:
        source = libvips().Source.new_from_memory(page.edited)
    elif found.cleaned is not None:
        source = libvips().Source.new_from_memory(found.cleaned)
    else:
        source = _vips_source(file)
    stored = getattr(libvips().Image, _LOADERS[kind])(source, **options)
    height, width = (stored.height, stored.width) if packed is None else packed.size[:2]
    check_size(width, height, max_pixels)
    _check_frames(stored, kind, page)
    # None for AVIF, which libheif has turned already; there EXIF's word does not count.
    turned = field_of(stored, "orientation", 1)
    if kind == "png":  # libvips looks for EXIF before the pixels alone
        turned = exif_blocks.orientation(_plain(found.exif)) if found.exif else 1
    view = STORED.get(turned, STORED[1])
    if kind != "png":  # libpng keeps back profiles that it finds fault with
        found.icc = _blob(stored, "icc-profile-data")
    found.icc = _whole_profile(found.icc, found)
    if kind != "png":
        found.xmp = _blob(stored, "xmp-data")
    if kind not in ("tiff", "png"):
        found.exif = _blob(stored, "exif-data")
    if packed is not None:
        forget_errors()
        return view, unpack(stored, packed, view), None
    if kind == "tiff":
        stored = floats_as_integers(stored, inverted=page is not None and page.inverted)
    space = _check_space(stored)
    forget_errors()
    if space == "cmyk":
        found.icc = None  # of what is sRGB from here on
        stored = cmyk_to_srgb(stored)
    return view, *decode(stored, view)


def _whole_profile(profile: bytes | None, found: Found) -> bytes | None:
    """An ICC profile without padding after it, which PNG does not take; None for one cut off."""
    if profile is None or not found.icc_counts:
        return None
    size = int.from_bytes(profile[:4])
    if 128 <= size <= len(profile):
        return profile[:size]
    found.notes.append("its colour profile is damaged and left out")
    return None


def _vips_source(file: BinaryIO) -> Any:
    file.seek(0)
    try:
        return libvips().Source.new_from_descriptor(file.fileno())
    except (UnsupportedOperation, AttributeError):
        return libvips().Source.new_from_memory(file.read())


def _lost_step(file: BinaryIO) -> bool:
    """Whether a JPEG's decoder is done before the data are: see `jpeg.probes`."""
    file.seek(0)
    data = file.read()
    scan = jpeg.look(data).baseline_scan
    others = [] if scan is None else jpeg.probes(data, scan)
    if not others:
        return False
    # One after the other, since of a healthy file the first one tells.
    end = _last_rows(data)
    return end is not None and all(_last_rows(other) == end for other in others)


def _last_rows(data: bytes) -> bytes | None:
    """Of a JPEG picture, the last row of blocks."""
    try:
        with _complaints():
            image = libvips().Image.jpegload_buffer(data, access="sequential", fail_on="none")
            rows = min(32, image.height)
            found: bytes = image.crop(0, image.height - rows, image.width, rows).write_to_memory()
    except libvips().Error:
        return None
    return found


def _picture(
    pixels: Array,
    alpha: Array | None,
    found: Found,
    kind: str,
    view: View = STORED[1],
) -> Picture:
    """Pixels, upright, and what goes with them, corrected to them."""
    height, width, channels = pixels.shape
    icc = found.icc if icc_fits(found.icc, channels) else None
    if found.icc is not None and icc is None:
        found.notes.append(colour.PROFILE_LEFT_OUT)
    found.notes += found.notes_without_icc if icc is None else []
    encoding = found.encoding if icc is None else None
    if encoding is not None and not encoding.is_srgb:
        colour.to_srgb(pixels, encoding)
        found.notes.append("its colours are turned to sRGB")
    block = None
    if found.exif is not None:
        try:
            block = exif_blocks.upright(_plain(found.exif), width, height)
        except ValueError:
            # Not to be corrected, and a wrong orientation does more harm than none.
            found.notes.append("its EXIF is damaged and left out")
    dpi = found.dpi
    if dpi is None and block is not None and kind != "tiff":
        dpi = exif_blocks.resolution(block)
    if dpi is not None and not _LEAST_DPI <= min(dpi) <= max(dpi) <= _MOST_DPI:
        dpi = None
    packet = None if found.xmp is None else xmp.upright(found.xmp, width, height)
    if found.xmp is not None and packet is None:
        found.notes.append("its XMP is damaged and left out")
    return Picture(
        pixels,
        alpha,
        icc=icc,
        exif=block,
        xmp=packet,
        iptc=found.iptc,
        text=tuple(found.text),
        dpi=dpi[::-1] if dpi is not None and view[2] else dpi,
        source_format=kind,
        notes=tuple(found.notes),
    )


def _read_phone(file: BinaryIO, kind: str, max_pixels: int) -> Picture:
    try:
        phone.decoder(kind)
    except InputError as error:
        raise Refused(f"is a {NAMES[kind]} picture: {error}") from None
    try:
        if kind == "heic":
            check_size(*phone.heic_size(file), max_pixels)
            array, found = phone.read_heic(file)
            read_heif_header(file, found)
        else:
            facts = phone.jxl_facts(file)
            if facts["have_animation"]:
                raise animated()
            check_size(facts["width"], facts["height"], max_pixels)
            array, found = phone.read_jxl(file)
            if facts["bits_per_sample"] > 8:
                found.notes.append(f"is read with 8 of its {facts['bits_per_sample']} bits")
    except (Refused, colour.UnknownColours):
        raise
    except Exception as error:  # the packages raise many kinds for a damaged file
        raise damaged(kind, printable(str(error))[:120]) from None
    pixels, alpha = _split(array)
    if found.premultiplied and alpha is not None:
        unpremultiply(pixels, alpha)
    return _picture(pixels, alpha, found, kind)


def _split(array: NDArray[Any]) -> tuple[Array, Array | None]:
    """(H, W) or (H, W, C) as colours (H, W, 1 or 3) and alpha."""
    if array.ndim == 2:
        array = array[..., None]
    colours = 3 if array.shape[2] >= 3 else 1
    pixels: Array = np.array(array[..., :colours], order="C")
    if array.shape[2] == colours:
        return pixels, None
    alpha: Array = np.ascontiguousarray(array[..., colours])
    return pixels, alpha


def _check_frames(stored: Any, kind: str, page: tiff.TiffFile | None) -> None:
    pages = field_of(stored, "n-pages", 1)
    if kind in ("webp", "gif") and pages > 1:
        raise animated()
    if page is not None:
        pages = pages if page.pages is None else len(page.pages)
        if pages > 1:
            raise Refused(f"holds {pages} pages; save the one you want as a file of its own")


def _check_space(stored: Any) -> str:
    """The colour space, if the pixels are of a kind that is read."""
    depth = {"uchar": 8, "ushort": 16}.get(stored.format)
    if depth is None:
        what = "floating-point" if stored.format in ("float", "double") else stored.format
        raise Refused(f"holds {what} values; accepted are 8 and 16 bits unsigned")
    bands = {"b-w": (1, 2), "grey16": (1, 2), "srgb": (3, 4), "rgb16": (3, 4), "cmyk": (4, 5)}
    if stored.bands not in bands.get(stored.interpretation, ()):
        raise Refused(
            f"has {stored.bands} channels of kind {stored.interpretation}; "
            "accepted are gray, RGB and CMYK, with or without alpha"
        )
    return str(stored.interpretation)


def _plain(exif: bytes) -> bytes:
    return exif.removeprefix(jpeg.EXIF)


def _blob(image: Any, name: str) -> bytes | None:
    value = field_of(image, name, None)
    return None if value is None else bytes(value)
