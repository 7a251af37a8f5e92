"""Read a picture file: upright, at its full depth, with what belongs to it."""

import mmap
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from iln.atomic import printable
from iln.errors import InputError
from iln.images import exif as exif_blocks
from iln.images import sniffing
from iln.images.libvips import forget_errors, libvips, reason
from iln.images.picture import Array, Picture, icc_fits

MAX_PIXELS = 300_000_000
# Of each side: decoders keep many rows at a time, and no picture but a damaged one is wider.
_MAX_SIDE = 1_000_000

_LOADERS = {
    "jpeg": "jpegload_source",
    "png": "pngload_source",
    "tiff": "tiffload_source",
    "webp": "webpload_source",
    "avif": "heifload_source",
    "gif": "gifload_source",
}
_NAMES = {"jpeg": "JPEG", "png": "PNG", "tiff": "TIFF", "webp": "WebP", "avif": "AVIF"}
_NAMES |= {"gif": "GIF", "bmp": "BMP"}
# Rows decoded at a time: enough to be fast, few enough to be small beside the picture.
_STRIP = 64
# EXIF orientation: (rows backward, columns backward, then transposed) takes the upright
# picture to the stored one; only numpy views, so nothing is moved in memory.
_STORED = {
    1: (False, False, False),
    2: (False, True, False),
    3: (True, True, False),
    4: (True, False, False),
    5: (False, False, True),
    6: (False, True, True),
    7: (True, True, True),
    8: (True, False, True),
}


class _Refused(Exception):
    """A picture we do not take; the message says why, the caller adds the file's name."""


def read(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> Picture:
    """Read JPEG, PNG, TIFF, WebP, AVIF, BMP or GIF; the content decides, not the suffix.

    The EXIF orientation is applied. Depth stays 8 or 16 bits: fewer become 8, the 10 or 12 of
    AVIF become 16. Gray stays gray where the format knows it (WebP and AVIF do not), a
    palette becomes RGB (a TIFF or GIF palette of grays: gray), transparency becomes alpha.
    CMYK becomes sRGB through its profile, or a standard one. EXIF is kept without its
    thumbnail and an ICC profile where it fits the channels; both are dropped when malformed.

    Args:
        max_pixels: larger pictures are refused before they are decoded.

    Raises:
        InputError: if the file is missing, unreadable, no picture, damaged or cut off, too large,
            animated, of several pages, or of another depth or colour model.
    """
    name = printable(path)
    try:
        # Opening a named pipe would wait forever.
        if Path(path).exists() and not Path(path).is_file():
            what = "a folder" if Path(path).is_dir() else "not a regular file"
            raise InputError(f"{name}: is {what}; give a {sniffing.ACCEPTED} picture")
        with Path(path).open("rb") as file:
            return _read(file, max_pixels)
    except FileNotFoundError:
        raise InputError(f"{name}: no such file; give a {sniffing.ACCEPTED} picture") from None
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror or error}") from None
    except _Refused as refused:
        raise InputError(f"{name}: {refused}") from refused.__cause__


def _read(file: BinaryIO, max_pixels: int) -> Picture:
    head = file.read(64)
    if not head:
        raise _Refused(f"is empty; give a {sniffing.ACCEPTED} picture")
    kind = sniffing.sniff(head)
    if kind is None:
        raise _Refused(f"is {sniffing.describe(head)}; give a {sniffing.ACCEPTED} picture")
    if (kind == "avif" and sniffing.is_animated_avif(head)) or (
        kind == "png" and sniffing.is_animated_png(file)
    ):
        raise _animated()
    if kind == "avif":
        # libvips would complain of the wildest on stderr.
        for width, height in sniffing.avif_sizes(file):
            _check_size(width, height, max_pixels)
    file.seek(0)
    if kind == "bmp":
        return _read_bmp(file, max_pixels)
    return _read_vips(file, kind, max_pixels)


def _read_vips(file: BinaryIO, kind: str, max_pixels: int) -> Picture:
    pyvips = libvips()
    forget_errors()
    tiff = _Tiff(file) if kind == "tiff" else None
    try:
        if tiff is not None and tiff.straightened is not None:
            source = pyvips.Source.new_from_memory(tiff.straightened)
        else:
            source = pyvips.Source.new_from_descriptor(file.fileno())
        load = getattr(pyvips.Image, _LOADERS[kind])
        # "error" includes "truncated"; "warning" would refuse many healthy photos.
        stored = load(source, access="sequential", fail_on="error")
        width, height = stored.width, stored.height
        _check_size(width, height, max_pixels)
        _check_frames(stored, kind, tiff)
        space = _check_space(stored)
        profile = _blob(stored, "icc-profile-data")
        if space == "cmyk":
            stored = _to_srgb(stored)
        # None for AVIF, which libheif has turned already; there EXIF's word does not count.
        view = _STORED.get(_field(stored, "orientation", 1), _STORED[1])
        pixels, alpha = _decode(stored, view)
    except (pyvips.Error, UnicodeDecodeError) as error:
        forget_errors()
        raise _damaged(kind, error) from None

    if tiff is not None and tiff.straightened is not None and alpha is not None:
        _unpremultiply(pixels, alpha)
    block = tiff.exif if tiff is not None else _blob(stored, "exif-data")
    return Picture(
        pixels,
        alpha,
        icc=profile if icc_fits(profile, pixels.shape[2]) else None,
        exif=_upright_exif(block, pixels.shape[1], pixels.shape[0]),
        dpi=_dpi(stored, turned=view[2]),
        source_format=kind,
    )


def _to_srgb(cmyk: Any) -> Any:
    """CMYK to sRGB through the embedded profile or, without one, libvips' standard profile."""
    colours = cmyk.extract_band(0, n=4).icc_transform(
        "srgb",
        embedded=True,
        input_profile="cmyk",
        # As browsers and editors show it: white paper is white, full ink is black.
        intent="relative",
        black_point_compensation=True,
        depth=16 if cmyk.format == "ushort" else 8,
    )
    # Alpha goes round the conversion, which would scale it as if it were a colour.
    return colours if cmyk.bands == 4 else colours.bandjoin(cmyk.extract_band(4))


def _decode(stored: Any, view: tuple[bool, bool, bool]) -> tuple[Array, Array | None]:
    """Decode strip by strip, straight to the upright place: one copy, however it is turned."""
    dtype: type[np.uint8 | np.uint16] = np.uint16 if stored.format == "ushort" else np.uint8
    width, height, bands = stored.width, stored.height, stored.bands
    colours = 3 if bands >= 3 else 1
    shape = (width, height) if view[2] else (height, width)
    pixels: Array = np.empty((*shape, colours), dtype)
    alpha: Array | None = np.empty(shape, dtype) if bands > colours else None
    pixels_as_stored = _as_stored(pixels, view)
    alpha_as_stored = None if alpha is None else _as_stored(alpha, view)
    # AVIF's 10 and 12 bits come shifted to the top; only repeating them below makes white white.
    bits = _field(stored, "bits-per-sample", 16)
    repeat = bits if _field(stored, "vips-loader", "").startswith("heif") and bits < 16 else 0

    region = libvips().Region.new(stored)
    for top in range(0, height, _STRIP):
        rows = min(_STRIP, height - top)
        strip: NDArray[Any] = np.frombuffer(region.fetch(0, top, width, rows), dtype)
        if repeat and dtype is np.uint16:
            strip = strip | (strip >> repeat)
        strip = strip.reshape(rows, width, bands)
        pixels_as_stored[top : top + rows] = strip[..., :colours]
        if alpha_as_stored is not None:
            alpha_as_stored[top : top + rows] = strip[..., colours]
    return pixels, alpha


def _as_stored(array: Array, view: tuple[bool, bool, bool]) -> Array:
    rows, columns, transposed = view
    array = array[:: -1 if rows else 1, :: -1 if columns else 1]
    return array.swapaxes(0, 1) if transposed else array


class _Tiff:
    """What libvips does not tell about a TIFF file: EXIF, pages, premultiplied alpha."""

    def __init__(self, file: BinaryIO) -> None:
        self.exif: bytes | None = None
        self.pages: int | None = None
        # The file with its alpha declared straight, if it is premultiplied. libvips would
        # divide in 8 bits and turn gray to RGB; told otherwise it leaves the values alone.
        self.straightened: bytes | None = None
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as block:
                directories = list(exif_blocks.main_directories(block))
                # Reduced copies (bit 0) and masks (bit 2) of the picture are no pages.
                kinds = [_entry_value(block, d, exif_blocks.SUBFILE_TYPE) for d in directories]
                self.pages = sum(not kind & 5 for kind in kinds)
                self.exif = exif_blocks.from_tiff(block)
                if _entry_value(block, directories[0], exif_blocks.EXTRA_SAMPLES) == 1:
                    entries = directories[0].entries
                    (extra,) = (e for e in entries if e.tag == exif_blocks.EXTRA_SAMPLES)
                    straightened = bytearray(block)
                    exif_blocks.set_integer(straightened, extra, 2)
                    self.straightened = bytes(straightened)
        except (ValueError, IndexError):
            # BigTIFF, or damaged: libvips decides whether the pixels can be had.
            pass


def _entry_value(block: mmap.mmap, directory: exif_blocks.Directory, tag: int) -> int:
    for entry in directory.entries:
        if entry.tag == tag:
            return exif_blocks.integer(block, entry)
    return 0


def _unpremultiply(pixels: Array, alpha: Array) -> None:
    """Divide colours by alpha in place, rounded; fully transparent pixels keep their colour."""
    full = np.iinfo(pixels.dtype).max
    for top in range(0, pixels.shape[0], _STRIP):
        rows = slice(top, top + _STRIP)
        a = alpha[rows, :, None].astype(np.uint32)
        straight = (pixels[rows].astype(np.uint32) * full + a // 2) // np.maximum(a, 1)
        pixels[rows] = np.where(a == 0, pixels[rows], np.minimum(straight, full))


def _read_bmp(file: BinaryIO, max_pixels: int) -> Picture:
    """BMP through Pillow, since libvips' wheels have no loader for it."""
    # Not Image.open: its own limit on pixels is a global warning, ours an error.
    from PIL.BmpImagePlugin import BmpImageFile
    from PIL.Image import Image

    try:
        image: Image = BmpImageFile(file)
        _check_size(*image.size, max_pixels)
        image.load()
        if image.mode not in ("L", "RGB", "RGBA"):
            dpi = image.info.get("dpi")
            image = image.convert("L" if image.mode == "1" else "RGB")
            image.info["dpi"] = dpi
    except _Refused:
        raise
    except Exception as error:
        # A damaged header makes Pillow raise almost anything.
        raise _damaged("bmp", error) from None
    stored: NDArray[np.uint8] = np.asarray(image)
    if stored.ndim == 2:
        stored = stored[..., None]
    colours = min(stored.shape[2], 3)
    pixels = np.ascontiguousarray(stored[..., :colours])
    alpha = np.ascontiguousarray(stored[..., 3]) if stored.shape[2] == 4 else None
    x, y = image.info.get("dpi") or (0, 0)
    dpi = (float(x), float(y)) if x > 0 and y > 0 else None
    return Picture(pixels, alpha, dpi=dpi, source_format="bmp")


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise _Refused(f"claims a size of {width} x {height}; save it anew")
    if max(width, height) > _MAX_SIDE:
        raise _Refused(
            f"claims a size of {width} x {height}; sides of up to {_MAX_SIDE:,} pixels are read"
        )
    if width * height > max_pixels:
        raise _Refused(
            f"is {width} x {height}, more than {max_pixels:,} pixels; "
            f"allow it with --max-pixels {width * height}"
        )


def _check_frames(stored: Any, kind: str, tiff: _Tiff | None) -> None:
    pages = _field(stored, "n-pages", 1)
    if kind in ("webp", "gif") and pages > 1:
        raise _animated()
    if tiff is not None:
        pages = pages if tiff.pages is None else tiff.pages
        if pages > 1:
            raise _Refused(f"holds {pages} pages; save the one you want as a file of its own")


def _check_space(stored: Any) -> str:
    """The colour space, if the pixels are of a kind that is read."""
    depth = {"uchar": 8, "ushort": 16}.get(stored.format)
    if depth is None:
        what = "floating-point" if stored.format in ("float", "double") else stored.format
        raise _Refused(f"holds {what} values; accepted are 8 and 16 bits unsigned")
    bands = {"b-w": (1, 2), "grey16": (1, 2), "srgb": (3, 4), "rgb16": (3, 4), "cmyk": (4, 5)}
    if stored.bands not in bands.get(stored.interpretation, ()):
        raise _Refused(
            f"has {stored.bands} channels of kind {stored.interpretation}; "
            "accepted are gray, RGB and CMYK, with or without alpha"
        )
    return str(stored.interpretation)


def _animated() -> _Refused:
    return _Refused("is animated; save the frame you want as a file of its own")


def _damaged(kind: str, error: Exception) -> _Refused:
    why = reason(error) if kind != "bmp" else printable(str(error))[:120]
    detail = f" ({why})" if why else ""
    return _Refused(f"is damaged or cut off{detail}; give a complete {_NAMES[kind]} file")


def _field(image: Any, name: str, default: Any) -> Any:
    return image.get(name) if image.get_typeof(name) else default


def _blob(image: Any, name: str) -> bytes | None:
    value = _field(image, name, None)
    return None if value is None else bytes(value)


def _upright_exif(block: bytes | None, width: int, height: int) -> bytes | None:
    if block is None:
        return None
    try:
        return exif_blocks.upright(block.removeprefix(b"Exif\0\0"), width, height)
    except ValueError:
        # Malformed: it could not be corrected, and a wrong orientation does more harm.
        return None


def _dpi(stored: Any, turned: bool) -> tuple[float, float] | None:
    """Pixels per inch; libvips counts per millimetre and says 1 where the file says nothing."""
    if (stored.xres, stored.yres) == (1.0, 1.0) or min(stored.xres, stored.yres) <= 0:
        return None
    x, y = round(stored.xres * 25.4, 3), round(stored.yres * 25.4, 3)
    return (y, x) if turned else (x, y)
