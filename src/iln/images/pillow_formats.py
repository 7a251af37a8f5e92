"""BMP and PPM through Pillow, since libvips' wheels have no loader for them, and GIF's header."""

import re
import struct
from typing import Any, BinaryIO

import numpy as np

from iln.atomic import printable
from iln.images import colour
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
        masked = _masked_bmp(file, max_pixels) if kind == "bmp" else None
        if masked is not None:
            return masked, _bmp_colours(file, Found())
        raise damaged(kind, printable(str(error))[:120]) from None
    x, y = image.info.get("dpi") or (0, 0)
    found = Found(dpi=(float(x), float(y)) if x > 0 and y > 0 else None)
    if kind == "bmp":
        found = _bmp_colours(file, found)
    pixels: Array = np.asarray(image)
    return pixels, found


def _masked_bmp(file: BinaryIO, max_pixels: int) -> Array | None:
    """A BMP whose pixels are 16 or 32 bits with any mask for each colour, (H, W, 3 or 4), of which
    Pillow knows some; None for another one, or a damaged one.

    Raises Refused for a JPEG or PNG inside of a BMP.
    """
    file.seek(0)
    data = file.read(14 + 124)
    file.seek(0)
    if len(data) < 66 or int.from_bytes(data[14:18], "little") < 40:
        return None
    width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    if compression in (4, 5):
        raise Refused("holds a JPEG or PNG picture inside of a BMP; save it as PNG")
    if compression not in (3, 6) or bits not in (16, 32) or width < 1 or height == 0:
        return None
    has_alpha = compression == 6 or int.from_bytes(data[14:18], "little") >= 56
    masks = struct.unpack_from("<4I", data, 54) if len(data) >= 70 and has_alpha else ()
    masks = masks if masks and masks[3] else struct.unpack_from("<3I", data, 54)
    runs = [mask >> _zeros(mask) for mask in masks if mask]
    if len(runs) < len(masks) or any(run & (run + 1) for run in runs):
        return None
    check_size(width, abs(height), max_pixels)
    row = (width * bits + 31) // 32 * 4
    file.seek(int.from_bytes(data[10:14], "little"))
    stored = file.read(row * abs(height))
    if len(stored) < row * abs(height):
        return None
    words = np.frombuffer(stored, "<u2" if bits == 16 else "<u4").reshape(abs(height), -1)
    full = 255 if max(runs) <= 255 else 65535
    dtype: type[np.unsignedinteger[Any]] = np.uint8 if full == 255 else np.uint16
    upright = np.empty((abs(height), width, len(masks)), dtype)
    for line, found in zip(upright[:: 1 if height < 0 else -1], words, strict=True):
        pixels = found[:width].astype(np.uint64)
        for channel, (mask, run) in enumerate(zip(masks, runs, strict=True)):
            line[:, channel] = (((pixels & mask) >> _zeros(mask)) * full + run // 2) // run
    return upright


def _zeros(mask: int) -> int:
    """How many bits below the mask's lowest one."""
    return (mask & -mask).bit_length() - 1


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


def _bmp_colours(file: BinaryIO, found: Found) -> Found:
    """With what a BMP file says of its colours."""
    found.icc, found.notes_without_icc = _bmp_profile(file), _bmp_notes(file)
    return found


def _bmp_notes(file: BinaryIO) -> list[str]:
    """Whether a BMP file describes other colours than sRGB's by numbers, which viewers pass over
    (BITMAPV4HEADER, LCS_CALIBRATED_RGB)."""
    file.seek(14)
    header = file.read(108)
    if len(header) < 108 or int.from_bytes(header[:4], "little") < 108 or any(header[56:60]):
        return []
    ends = np.array(struct.unpack_from("<9i", header, 60)).reshape(3, 3) / 2**30  # X, Y, Z
    gammas = np.array(struct.unpack_from("<3I", header, 96)) / 2**16
    sums = ends.sum(axis=1)
    if not all(sums > 0) or not any(gammas):
        return []  # as programs leave them that say nothing
    # Some write chromaticities, whose sums are 1, in place of XYZ: nothing then says what is white.
    white = (0.3127, 0.3290) if np.ptp(sums) < 0.001 else ends.sum(axis=0)[:2] / sums.sum()
    points = np.concatenate([white, *(ends[:, :2] / sums[:, None])])
    # Gammas are the decoder's, or, in some files, the encoder's.
    exponents = np.maximum(gammas, 1 / np.maximum(gammas, 0.01))
    return colour.notes_of_numbers(points.tolist(), exponents.tolist())


def read_gif_header(file: BinaryIO, found: Found) -> None:
    """What a GIF file says of itself before its first picture, and where that lies."""
    from PIL.GifImagePlugin import GifImageFile

    try:
        image = GifImageFile(file)
        comment, box = image.info.get("comment"), image.tile[0].extents
    except Exception:
        return  # libvips, which decodes it, says what is wrong
    if words := comment.decode("utf-8", "replace").strip("\0 \n") if comment else "":
        found.text = [("Comment", words)]
    if box != (0, 0, *image.size):
        found.box = box


def gif_left_out(data: bytes) -> list[str]:
    """What a GIF file holds beside its picture that is not read."""
    marks = {"XMP": b"\x0bXMP DataXMP", "colour profile": b"\x0bICCRGBG1012"}
    return [what for what, mark in marks.items() if mark in data]


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
        text = re.sub(rb"#[^\n]*", b"", data[header.end() - 1 :])
        if re.fullmatch(rb"[\s\d]*\d\s*", text) is None:
            raise ValueError("not only numbers")
        values = np.fromstring(text, np.int64, sep=" ")[:count]  # what is beyond it: its largest
    values = np.minimum(values, full).astype(np.uint32)
    scaled = (values * 65535 + full // 2) // full
    pixels: Array = scaled.astype(np.uint16).reshape(height, width, channels)
    return pixels
