"""Write a picture file: at its full depth where the format can, whole or not at all."""

import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from iln.atomic import atomic_write, printable
from iln.errors import InputError
from iln.images import containers, exif, jpeg, png, xmp
from iln.images.libvips import libvips, reason
from iln.images.picture import NAMES, Array, Picture, icc_fits

_KINDS = {
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".jpe": "jpeg",
    ".jfif": "jpeg",
    ".png": "png",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".webp": "webp",
    ".avif": "avif",
    ".bmp": "bmp",
}
SUFFIXES = tuple(_KINDS)
_NO_ALPHA = {"jpeg", "bmp"}
_EIGHT_BITS = {"jpeg", "webp", "bmp"}
# What the formats' headers or, for JPEG and AVIF, the common encoders allow.
_MAX_SIDE = {"jpeg": 65500, "webp": 16383, "avif": 16384}


def check_suffix(
    path: str | os.PathLike[str], *, alpha: bool = False, size: tuple[int, int] = (1, 1)
) -> None:
    """Raise InputError if `write` has no format for this suffix, with alpha or of this (H, W).

    For callers who want to know before a long restoration, not after it.
    """
    name, suffix = printable(path), Path(path).suffix.lower()
    if suffix not in _KINDS:
        what = f"unknown suffix {printable(suffix)!r}" if suffix else "no suffix"
        raise InputError(f"{name}: {what}; give one of {' '.join(_KINDS)}")
    if alpha and _KINDS[suffix] in _NO_ALPHA:
        keep = " ".join(s for s, kind in _KINDS.items() if kind not in _NO_ALPHA)
        raise InputError(f"{name}: {suffix} cannot hold transparency; give one of {keep}")
    kind = _KINDS[suffix]
    if max(size) > _MAX_SIDE.get(kind, max(size)):
        raise InputError(
            f"{name}: {size[1]} x {size[0]} is too large for {NAMES[kind]} "
            f"(at most {_MAX_SIDE[kind]} a side); give .png or .tif"
        )


def write(
    picture: Picture,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    quality: int = 95,
) -> list[str]:
    """Write the picture in the format of the suffix.

    .png, .tif, .tiff: lossless, 8 or 16 bits (TIFF: deflate).
    .jpg, .jpeg, .jpe, .jfif: 8 bits, full colour resolution (4:4:4). No alpha.
    .webp: 8 bits, lossy (halved colour resolution, as ever in lossy WebP); lossless if
        quality is 100. Gray is stored as RGB.
    .avif: 8 bits, or 12 for 16-bit pictures, 4:4:4; lossless if quality is 100 (but for the
        depth). Gray is stored as RGB.
    .bmp: 8 bits. Of all that goes along, the density alone. No alpha.

    ICC profile, EXIF (pixel dimensions corrected), XMP, IPTC (JPEG and TIFF), texts (PNG; JPEG has
    comments) and density go along. Depth is reduced by rounding. Whatever is raised, no
    half-written file stays behind.

    Args:
        quality: 1..100, for JPEG, WebP and AVIF.

    Returns:
        Notes on what the format lost: one line for each loss, empty if there is none.

    Raises:
        InputError: if the suffix is unknown or cannot hold the alpha channel or the size, if
            quality is out of range, if the file exists and overwrite is False, or if it cannot be
            written.
    """
    _check(picture, path, quality)
    with atomic_write(path, overwrite) as temporary:
        parts, notes = _parts(picture, path, quality)
        with temporary.open("wb") as file:
            file.writelines(parts)
    return notes


def encode(picture: Picture, suffix: str, quality: int = 95) -> tuple[list[bytes], list[str]]:
    """The bytes that `write` would put into a file of this suffix, as parts, and its notes.

    Raises:
        InputError: see `write`.
    """
    _check(picture, f"the result{suffix}", quality)
    return _parts(picture, f"the result{suffix}", quality)


def _check(picture: Picture, path: str | os.PathLike[str], quality: int) -> None:
    check_suffix(path, alpha=picture.alpha is not None, size=picture.pixels.shape[:2])
    if not 1 <= quality <= 100:
        raise InputError(f"quality {quality}: must be from 1 to 100")


def _parts(
    picture: Picture, path: str | os.PathLike[str], quality: int
) -> tuple[list[bytes], list[str]]:
    kind, notes = _KINDS[Path(path).suffix.lower()], list[str]()
    if kind == "bmp":
        return _encode_bmp(picture, notes), notes
    return _encode(picture, kind, quality, printable(path), notes), notes


def _encode(picture: Picture, kind: str, quality: int, name: str, notes: list[str]) -> list[bytes]:
    pyvips = libvips()
    image = _vips_image(picture)
    if picture.bit_depth == 16 and kind in _EIGHT_BITS:
        # 65535 / 255 = 257; no value lies half-way, so the rounding has no ties.
        image = (image / 257).rint().cast("uchar")
        image = image.copy(interpretation="b-w" if picture.channels == 1 else "srgb")
        notes.append(f"{NAMES[kind]} holds 8 bits: rounded from 16")
    elif picture.bit_depth == 16 and kind == "avif":
        # libvips drops the lower four bits; rounded first, white stays white.
        image = ((image * (4095 / 65535)).rint() * 16).cast("ushort")
        image = image.copy(interpretation="grey16" if picture.channels == 1 else "rgb16")
        notes.append("AVIF holds 12 bits: rounded from 16")
    else:
        image = image.copy()
    if picture.icc is not None and not icc_fits(picture.icc, picture.channels):
        notes.append(f"ICC profile left out: not made for {picture.channels} channels")
    elif picture.icc is not None and picture.channels == 1 and kind in ("webp", "avif"):
        notes.append(f"ICC profile left out: it is for gray, which {NAMES[kind]} holds as RGB")
    elif picture.icc is not None:
        icc = _padded(picture.icc) if kind == "png" else picture.icc
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    packet = None
    if picture.xmp is not None:
        packet = xmp.upright(picture.xmp, picture.width, picture.height)
        if packet is None:
            notes.append("XMP left out: it is no text")
        else:
            image.set_type(pyvips.GValue.blob_type, "xmp-data", packet)
    block = _exif(picture, kind, notes)
    keep = "icc" if kind in ("png", "jpeg") else "icc:xmp"
    if block is not None and kind == "avif":
        keep = "icc:xmp:exif"
        placeholder = b"Exif\0\0" + containers.avif_placeholder(block)
        image.set_type(pyvips.GValue.blob_type, "exif-data", placeholder)
    _note_losses(picture, kind, notes)
    save, options = _SAVERS[kind](picture, quality)
    try:
        data: bytes = getattr(image, save)(keep=keep, **options)
    except pyvips.Error as error:
        raise InputError(f"{name}: cannot be encoded as {NAMES[kind]}: {reason(error)}") from None
    try:
        return _with_metadata(picture, kind, data, block, packet, notes)
    except ValueError as error:
        notes.append(f"metadata left out: {error}")
        return [data]


def _padded(profile: bytes) -> bytes:
    """An ICC profile whose length is a multiple of 4: libpng takes no other one of version 4."""
    padding = -len(profile) % 4
    size = len(profile) + padding
    return size.to_bytes(4) + profile[4:] + bytes(padding)


def _with_metadata(
    picture: Picture,
    kind: str,
    data: bytes,
    block: bytes | None,
    packet: bytes | None,
    notes: list[str],
) -> list[bytes]:
    """The encoded picture with what libvips does not write as we want it, as parts.

    Raises:
        ValueError: if it is not laid out as expected.
    """
    dpi = picture.dpi
    if kind == "png":
        return png.insert(data, exif=block, dpi=dpi, text=picture.text, xmp=packet)
    if kind == "tiff":
        return exif.into_tiff(data, block, dpi, picture.iptc)
    if kind == "jpeg":
        parts = {"EXIF": block, "XMP": packet, "IPTC": picture.iptc}
        for what, part in parts.items():
            if part is not None and not jpeg.fits(what, part):
                notes.append(f"{what} left out: {len(part)} bytes are too many for JPEG")
                parts[what] = None
        comments = [words.encode() for key, words in picture.text if key == "Comment"]
        if not all(jpeg.fits("comment", comment) for comment in comments):
            notes.append("a text left out: it is too long for a comment of JPEG")
        return jpeg.insert(
            data,
            exif=parts["EXIF"],
            xmp=parts["XMP"],
            iptc=parts["IPTC"],
            dpi=dpi,
            comments=[comment for comment in comments if jpeg.fits("comment", comment)],
        )
    if block is None:
        return [data]
    if kind == "avif":
        return containers.fill_avif(data, block)
    return containers.into_webp(data, block, alpha=picture.alpha is not None)


def _note_losses(picture: Picture, kind: str, notes: list[str]) -> None:
    """What the picture has and the format has no place for."""
    if picture.iptc is not None and kind not in ("jpeg", "tiff"):
        notes.append(f"IPTC left out: {NAMES[kind]} has no place for it")
    held = {"png": picture.text, "jpeg": [t for t in picture.text if t[0] == "Comment"]}
    if lost := len(picture.text) - len(held.get(kind, ())):
        words = "a text" if lost == 1 else f"{lost} texts"
        notes.append(f"{words} left out: {NAMES[kind]} has no place for it")


def _vips_image(picture: Picture) -> Any:
    """The picture for libvips, without copying its pixels (alpha is joined while encoding)."""
    image = _one_image(picture.pixels)
    if picture.alpha is not None:
        image = image.bandjoin(_one_image(picture.alpha[..., None]))
    gray, colour = ("b-w", "srgb") if picture.bit_depth == 8 else ("grey16", "rgb16")
    return image.copy(interpretation=gray if picture.channels == 1 else colour)


def _one_image(array: Array) -> Any:
    height, width, bands = array.shape
    band_format = "uchar" if array.dtype == np.uint8 else "ushort"
    contiguous = np.ascontiguousarray(array)
    return libvips().Image.new_from_memory(contiguous.data, width, height, bands, band_format)


def _exif(picture: Picture, kind: str, notes: list[str]) -> bytes | None:
    """The block to write. WebP and AVIF have no other place for a density; elsewhere it should not
    say another one."""
    block = None
    if picture.exif is not None:
        try:
            block = exif.upright(picture.exif, picture.width, picture.height)
        except ValueError as error:
            notes.append(f"EXIF left out: {error}")
    if picture.dpi is not None and (block is not None or kind in ("webp", "avif")):
        return exif.with_resolution(block, picture.dpi)
    return block


def _jpeg(picture: Picture, quality: int) -> tuple[str, dict[str, Any]]:
    return "jpegsave_buffer", {"Q": quality, "subsample_mode": "off", "optimize_coding": True}


def _png(picture: Picture, quality: int) -> tuple[str, dict[str, Any]]:
    # Adaptive filters make photographs a quarter smaller, for twice the time.
    return "pngsave_buffer", {"compression": 6, "filter": "all"}


def _tiff(picture: Picture, quality: int) -> tuple[str, dict[str, Any]]:
    planes = picture.channels + (picture.alpha is not None)
    size = picture.width * picture.height * planes * picture.bit_depth // 8
    # Plain TIFF ends at 4 GB; deflate may fail to shrink noise.
    return "tiffsave_buffer", {
        "compression": "deflate",
        "predictor": "horizontal",
        "bigtiff": size > 3_900_000_000,
    }


def _webp(picture: Picture, quality: int) -> tuple[str, dict[str, Any]]:
    # exact: colours under full transparency stay, for whoever makes them visible again.
    if quality == 100:
        return "webpsave_buffer", {"lossless": True, "exact": True}
    return "webpsave_buffer", {"Q": quality, "smart_subsample": True, "exact": True}


def _avif(picture: Picture, quality: int) -> tuple[str, dict[str, Any]]:
    # More effort saves a few per cent of the size for several times the time.
    bits = 12 if picture.bit_depth == 16 else 8
    options: dict[str, Any] = {"compression": "av1", "effort": 0, "bitdepth": bits}
    if quality == 100:
        return "heifsave_buffer", options | {"lossless": True}
    return "heifsave_buffer", options | {"Q": quality, "subsample_mode": "off"}


_SAVERS: dict[str, Callable[[Picture, int], tuple[str, dict[str, Any]]]] = {
    "jpeg": _jpeg,
    "png": _png,
    "tiff": _tiff,
    "webp": _webp,
    "avif": _avif,
}


def _encode_bmp(picture: Picture, notes: list[str]) -> list[bytes]:
    """BMP through Pillow, since libvips' wheels have no saver for it."""
    from PIL import Image

    pixels = picture.pixels
    if picture.bit_depth == 16:
        pixels = np.rint(pixels / np.float32(257)).astype(np.uint8)
        notes.append("BMP holds 8 bits: rounded from 16")
    names: dict[str, object] = {
        "EXIF": picture.exif,
        "ICC profile": picture.icc,
        "XMP": picture.xmp,
    }
    names |= {"IPTC": picture.iptc, "texts": picture.text}
    if lost := [what for what, part in names.items() if part]:
        notes.append(f"BMP holds no metadata: {' and '.join(lost)} left out")
    image = Image.fromarray(pixels[..., 0] if picture.channels == 1 else pixels)
    buffer = BytesIO()
    image.save(buffer, "BMP", **({} if picture.dpi is None else {"dpi": picture.dpi}))
    data = buffer.getvalue()
    if picture.dpi is None:  # pixels per metre, across and down; Pillow invents 96 an inch
        return [data[:38], bytes(8), data[46:]]
    return [data]
