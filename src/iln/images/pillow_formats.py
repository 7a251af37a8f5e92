"""BMP and PPM through Pillow, since libvips' wheels have no loader for them, and GIF's comment."""

import re
import struct
from typing import BinaryIO

import numpy as np

from iln.atomic import printable
from iln.images.metadata import Found
from iln.images.picture import Array
from iln.images.refusals import Refused, check_size, damaged


def read_with_pillow(file: BinaryIO, kind: str, max_pixels: int) -> tuple[Array, Found]:
    """(H, W, 1, 3 or 4), and what stands beside it, of a "bmp" or "pnm". Raises Refused."""
    # Not Image.open: its own limit on pixels is a global warning, ours an error.
    from PIL.BmpImagePlugin import BmpImageFile
    from PIL.Image import Image
    from PIL.PpmImagePlugin import PpmImageFile

    try:
        image: Image = (BmpImageFile if kind == "bmp" else PpmImageFile)(file)
        check_size(*image.size, max_pixels)
        deep = _deep_pnm(file) if kind == "pnm" else None
        if deep is not None:
            return deep, Found()
        image.load()
        if image.mode not in ("L", "RGB", "RGBA"):
            dpi = image.info.get("dpi")
            image = image.convert("L" if image.mode == "1" else "RGB")
            image.info["dpi"] = dpi
    except Refused:
        raise
    except Exception as error:
        # A damaged header makes Pillow raise almost anything.
        raise damaged(kind, printable(str(error))[:120]) from None
    x, y = image.info.get("dpi") or (0, 0)
    found = Found(dpi=(float(x), float(y)) if x > 0 and y > 0 else None)
    if kind == "bmp":
        found.icc = _bmp_profile(file)
    pixels: Array = np.asarray(image)
    return pixels, found


def _bmp_profile(file: BinaryIO) -> bytes | None:
    """The ICC profile that a BMP file holds (BITMAPV5HEADER, colour space "MBED")."""
    file.seek(14)
    header = file.read(124)
    size, space = struct.unpack_from("<I52x4s", header) if len(header) == 124 else (0, b"")
    if size < 124 or space != b"DEBM":
        return None
    at, length = struct.unpack_from("<II", header, 112)
    file.seek(14 + at)
    return file.read(length)


def gif_comment(file: BinaryIO) -> str | None:
    """What a GIF file says of itself before its first picture."""
    from PIL.GifImagePlugin import GifImageFile

    try:
        comment = GifImageFile(file).info.get("comment")
    except Exception:
        return None  # libvips, which decodes it, says what is wrong
    return comment.decode("utf-8", "replace").strip("\0 \n") if comment else None


def _deep_pnm(file: BinaryIO) -> Array | None:
    """A PGM or PPM of more than 8 bits, as 16, which Pillow would round to 8 or cut off at it."""
    file.seek(0)
    data = file.read()
    header = re.match(
        rb"(P[2356])(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)"
        rb"(?:\s|#[^\n]*\n)+(\d+)\s",
        data,
    )
    if header is None or int(header[4]) < 256:
        file.seek(0)
        return None
    width, height, full = int(header[2]), int(header[3]), int(header[4])
    channels = 3 if header[1] in (b"P3", b"P6") else 1
    count = width * height * channels
    if header[1] in (b"P5", b"P6"):
        values = np.frombuffer(data, ">u2", count, header.end())
    else:
        words = re.sub(rb"#[^\n]*", b"", data[header.end() - 1 :]).split(maxsplit=count)[:count]
        values = np.array([int(word) for word in words]).clip(0)
    scaled = (np.minimum(values, full).astype(np.uint32) * 65535 + full // 2) // full
    pixels: Array = scaled.astype(np.uint16).reshape(height, width, channels)
    return pixels
