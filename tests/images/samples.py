"""Small synthetic pictures and metadata for these tests, all made here."""

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms

from iln.errors import InputError
from iln.images import read

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
# For code that only looks at the header: the colour space stands at byte 16.
GRAY_PROFILE = SRGB[:16] + b"GRAY" + SRGB[20:]
SUFFIXES = (".jpg", ".png", ".tif", ".webp", ".avif")


def photo(height=40, width=56, channels=3, dtype=np.uint8, seed=0):
    """Smooth colours with some texture, no symmetry, the whole range of the dtype in use."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    planes = [np.sin(5 * x + c) + np.cos(7 * y - c) + 2 * x * y * (c + 1) for c in range(channels)]
    values = np.stack(planes, -1) + 0.05 * rng.standard_normal((height, width, channels))
    values = (values - values.min()) / (values.max() - values.min())
    return np.rint(values * np.iinfo(dtype).max).astype(dtype)


def exif_block(order="<", orientation=6, width=56, height=40, thumbnail=True):
    """An EXIF block with what real ones have: maker note, GPS, private tags, a thumbnail."""

    def short(*values):
        return struct.pack(f"{order}{len(values)}H", *values)

    def long(*values):
        return struct.pack(f"{order}{len(values)}I", *values)

    def lay_out(fields, at, following=0):
        data_at = at + 2 + 12 * len(fields) + 4
        data = body = b""
        for tag, kind, count, value in sorted(fields):
            if len(value) > 4:
                pointer = long(data_at + len(data))
                data += value + bytes(len(value) % 2)
                value = pointer
            body += struct.pack(order + "HHI", tag, kind, count) + value.ljust(4, b"\0")
        return struct.pack(order + "H", len(fields)) + body + long(following) + data

    maker = b"Maker\0" + bytes(range(64))
    title = "Hügel".encode("utf-16le")

    def main(exif_at, gps_at, following):
        fields = [
            (0x010F, 2, 6, b"Maker\0"),
            (0x0112, 3, 1, short(orientation)),
            (0x0132, 2, 20, b"2020:01:02 03:04:05\0"),
            (0x9C9B, 1, len(title), title),
            (0xC001, 7, 3, b"abc"),
            (0x8769, 4, 1, long(exif_at)),
            (0x8825, 4, 1, long(gps_at)),
        ]
        return lay_out(fields, 8, following)

    exif_fields = [
        (0x829A, 5, 1, long(1, 125)),
        (0x9000, 7, 4, b"0231"),
        (0x927C, 7, len(maker), maker),
        (0x9286, 7, 13, b"ASCII\0\0\0hallo"),
        (0xA002, 4, 1, long(width)),
        (0xA003, 3, 1, short(height)),
        (0xFE00, 4, 1, long(7)),
    ]
    gps_fields = [
        (0, 1, 4, bytes([2, 3, 0, 0])),
        (1, 2, 2, b"N\0"),
        (2, 5, 3, long(48, 1, 8, 1, 30, 1)),
    ]
    exif_at = 8 + len(main(0, 0, 0))
    gps_at = exif_at + len(lay_out(exif_fields, exif_at))
    end = gps_at + len(lay_out(gps_fields, gps_at))
    head = (b"II*\0" if order == "<" else b"MM\0*") + long(8)
    block = head + main(exif_at, gps_at, end if thumbnail else 0)
    block += lay_out(exif_fields, exif_at) + lay_out(gps_fields, gps_at)
    if thumbnail:
        picture = b"\xff\xd8 thumbnail \xff\xd9"
        at = end + 2 + 12 * 2 + 4
        block += lay_out([(0x0201, 4, 1, long(at)), (0x0202, 4, 1, long(len(picture)))], end)
        block += picture
    return block


def exif_fields(block):
    """All fields as Pillow, an independent reader, sees them: (main, Exif, GPS, thumbnail)."""
    parsed = Image.Exif()
    parsed.load(block)
    nested = [dict(parsed.get_ifd(tag)) for tag in (0x8769, 0x8825)]
    main = {tag: value for tag, value in parsed.items() if tag not in (0x8769, 0x8825)}
    return main, *nested, dict(parsed.get_ifd(1))


def benchmark_pictures(name):
    """The pictures of a benchmark set, or skip: they are not ours to ship."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the benchmark pictures in {SHARED}, which are not distributed")
    if name == "BSD100":
        for path, top, left, height, width in json.loads((SHARED / "crops.json").read_text())[
            name
        ].values():
            with Image.open(SHARED / "train" / path) as image:
                yield np.asarray(image.convert("RGB"))[top : top + height, left : left + width]
        return
    for path in sorted((SHARED / "test" / name).iterdir()):
        with Image.open(path) as image:
            yield np.asarray(image if image.mode == "L" else image.convert("RGB"))


def chunk(kind, body):
    return struct.pack(">I4s", len(body), kind) + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with(array, *chunks):
    """A PNG file of the array with these chunks behind the header."""
    buffer = io.BytesIO()
    Image.fromarray(array if array.shape[2] > 1 else array[..., 0]).save(buffer, "PNG")
    data = buffer.getvalue()
    return data[:33] + b"".join(chunk(*one) for one in chunks) + data[33:]


def vips(array, **fields):
    """The array as a libvips image, gray or RGB, of its depth."""
    array = np.ascontiguousarray(array)
    gray, colour = ("b-w", "srgb") if array.dtype == np.uint8 else ("grey16", "rgb16")
    interpretation = gray if array.shape[2] < 3 else colour
    return pyvips.Image.new_from_array(array, interpretation=interpretation).copy(**fields)


def save(array, path, **options):
    vips(array).write_to_file(str(path), **options)
    return path


def refusal(path, **options):
    """The message of the InputError that reading raises: one line, naming the file."""
    with pytest.raises(InputError) as raised:
        read(path, **options)
    message = str(raised.value)
    assert message.splitlines() == [message]
    assert message.startswith(f"{path}: ")
    return message
