"""Pixels as libvips decodes them, to arrays that stand upright."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from iln.images import tiff
from iln.images.libvips import libvips
from iln.images.picture import Array
from iln.images.refusals import Refused

View = tuple[bool, bool, bool]
"""Rows backward, columns backward, then transposed: from the upright picture to the stored one."""
# Rows decoded at a time: enough to be fast, few enough to be small beside the picture.
_STRIP = 64
# EXIF orientation: (rows backward, columns backward, then transposed) takes the upright
# picture to the stored one; only numpy views, so nothing is moved in memory.
STORED = {
    1: (False, False, False),
    2: (False, True, False),
    3: (True, True, False),
    4: (True, False, False),
    5: (False, False, True),
    6: (False, True, True),
    7: (True, True, True),
    8: (True, False, True),
}


def field_of(image: Any, name: str, default: Any) -> Any:
    """A field of a libvips image."""
    return image.get(name) if image.get_typeof(name) else default


def cmyk_to_srgb(cmyk: Any) -> Any:
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


def decode(stored: Any, view: View) -> tuple[Array, Array | None]:
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
    bits = field_of(stored, "bits-per-sample", 16)
    repeat = bits if field_of(stored, "vips-loader", "").startswith("heif") and bits < 16 else 0

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


def _as_stored(array: Array, view: View) -> Array:
    rows, columns, transposed = view
    array = array[:: -1 if rows else 1, :: -1 if columns else 1]
    return array.swapaxes(0, 1) if transposed else array


def unpack(stored: Any, packed: tiff.PackedPage, view: View) -> Array:
    """A page of 10, 12 or 14 bits, as 16 bits."""
    height, width, channels = packed.size
    shape = (width, height) if view[2] else (height, width)
    pixels: Array = np.empty((*shape, channels), np.uint16)
    target = _as_stored(pixels, view)
    region = libvips().Region.new(stored)
    for top in range(0, height, _STRIP):
        rows = min(_STRIP, height - top)
        strip = np.frombuffer(region.fetch(0, top, stored.width, rows), np.uint8)
        target[top : top + rows] = packed.unpack(strip.reshape(rows, stored.width))
    return pixels


def floats_as_integers(stored: Any, *, inverted: bool) -> Any:
    """Floats in [0, 1] as 16 bits; anything else stays as it is.

    Args:
        inverted: gray, whose 0 is white.
    """
    if stored.format not in ("float", "double"):
        return stored
    if stored.interpretation not in ("b-w", "grey16", "srgb", "scrgb", "rgb16", "rgb", "multiband"):
        raise Refused(
            f"holds floating-point values of kind {stored.interpretation}; accepted are gray and "
            "RGB: convert it to one of them"
        )
    # Seen twice, once for its range: so the whole of it is held.
    stored = stored.copy_memory()
    if (stored != stored).max():
        values = "that are not numbers"
    else:
        least, most = stored.min(), stored.max()
        values = "" if least >= 0 and most <= 1 else f"from {least:g} to {most:g}"
    if values:
        raise Refused(
            f"holds floating-point values {values}; accepted are 8 and 16 bits unsigned, and "
            "floats from 0 to 1: scale it and save it so"
        )
    gray = stored.bands < 3
    if inverted:  # but not its alpha
        stored = (1 - stored[0]).bandjoin(list(stored)[1:])
    scaled = (stored * 65535).rint().cast("ushort")
    return scaled.copy(interpretation="grey16" if gray else "rgb16")


def unpremultiply(pixels: Array, alpha: Array) -> None:
    """Divide colours by alpha in place, rounded; fully transparent pixels keep their colour."""
    full = np.iinfo(pixels.dtype).max
    for top in range(0, pixels.shape[0], _STRIP):
        rows = slice(top, top + _STRIP)
        a = alpha[rows, :, None].astype(np.uint32)
        straight = (pixels[rows].astype(np.uint32) * full + a // 2) // np.maximum(a, 1)
        pixels[rows] = np.where(a == 0, pixels[rows], np.minimum(straight, full))
