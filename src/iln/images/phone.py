"""HEIC and JPEG XL, as phones save them, by the packages of the extra `phone`.

pi-heif (libheif and libde265, LGPL) and pylibjxl (libjxl, BSD) decode alone: their wheels hold no
encoder under the GPL.
"""

from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from iln.errors import InputError
from iln.extras import need
from iln.images import jxl
from iln.images.metadata import Found
from iln.images.picture import Array

PACKAGES = {"heic": "pi_heif", "jxl": "pylibjxl"}


def decoder(kind: str) -> Any:
    """The package that decodes "heic" or "jxl". Raises InputError if it is not installed."""
    return need(PACKAGES[kind], "phone")


def can_read(kind: str) -> bool:
    """Whether the package for "heic" or "jxl" is installed."""
    try:
        decoder(kind)
    except InputError:
        return False
    return True


def heic_size(file: BinaryIO) -> tuple[int, int]:
    """Width and height of a HEIC picture, without decoding it."""
    width, height = _heif(file).size
    return int(width), int(height)


def _heif(file: BinaryIO) -> Any:
    file.seek(0)
    return decoder("heic").open_heif(BytesIO(file.read()), convert_hdr_to_8bit=False)


def read_heic(file: BinaryIO) -> tuple[NDArray[Any], Found]:
    """(H, W, C) uint8 or uint16, upright, and what stands beside it.

    Raises:
        Exception: what the package raises for a damaged file.
    """
    image = _heif(file)
    array: NDArray[Any] = np.array(image)  # a copy: the picture's own memory goes with it
    info = image.info
    bits = info.get("bit_depth", 8)
    if array.dtype == np.uint16 and bits < 16:
        # They come shifted to the top; only repeating them below makes white white.
        array = array | (array >> bits)
    found = Found(
        exif=info.get("exif") or None,
        xmp=info.get("xmp") or None,
        icc=info.get("icc_profile") or None,
    )
    return array if array.ndim == 3 else array[..., None], found


def jxl_facts(file: BinaryIO) -> dict[str, Any]:
    """Width, height, bits_per_sample and have_animation of a JPEG XL picture."""
    file.seek(0)
    facts: dict[str, Any] = decoder("jxl").probe(file.read())
    return facts


def read_jxl(file: BinaryIO) -> tuple[Array, Found]:
    """(H, W, C) uint8, upright, and what stands beside it. Raises UnknownColours besides."""
    file.seek(0)
    data = file.read()
    header = jxl.look(data)
    array, metadata = decoder("jxl").decode(data, metadata=True)
    found = Found(
        exif=metadata.get("exif"),
        xmp=metadata.get("xmp"),
        icc=metadata.get("icc"),
        encoding=header.encoding,
        premultiplied=header.premultiplied,
    )
    return array if array.ndim == 3 else array[..., None], found
