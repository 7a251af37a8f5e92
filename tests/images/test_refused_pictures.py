"""What is no picture, cut off, too large or of a kind that is not read: one line says so."""

import io
import os
import stat
import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image
from samples import photo, refusal, save, vips

from iln.errors import InputError
from iln.images import read, tiff
from iln.images.exif import directory

pytestmark = pytest.mark.usefixtures("nothing_on_stderr")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("empty.png", b"", "is empty"),
        ("text.jpg", b"Not a picture at all.\n" * 10, "is not a picture"),
        ("BMW.bmp", b"BMW is a car, not a bitmap, and this is a text about it.", "not a picture"),
        ("scan.pdf", b"%PDF-1.7\n", "is a PDF document"),
        ("short.png", b"\x89PNG\r\n\x1a\n", "damaged or cut off"),
        ("short.jpg", b"\xff\xd8\xff\xe0", "damaged or cut off"),
        ("short.tif", b"II*\0\x08\0\0\0", "damaged or cut off"),
        ("short.bmp", b"BM\x00\x00\x00\x00\0\0\0\0\x36\0\0\0\x28\0\0\0", "damaged or cut off"),
        ("short.gif", b"GIF89a", "damaged or cut off"),
        ("short.webp", b"RIFF\x10\0\0\0WEBPVP8 ", "damaged or cut off"),
        ("short.avif", b"\0\0\0\x18ftypavif\0\0\0\0avifmif1", "damaged or cut off"),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path, name, content, expected):
    (tmp_path / name).write_bytes(content)
    message = refusal(tmp_path / name)
    assert expected in message
    assert any(f"; {advice}" in message for advice in ("give a ", "export it", "convert it"))


def test_missing_folder_and_pipe(tmp_path):
    assert "no such file" in refusal(tmp_path / "absent.png")
    assert "is a folder" in refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")
    assert "not a regular file" in refusal(tmp_path / "pipe.png")
    with pytest.raises(InputError) as raised:
        read(tmp_path / "two\nlines.png")
    assert "\n" not in str(raised.value)


def test_no_permission(tmp_path):
    path = save(photo(), tmp_path / "a.png")
    path.chmod(0)
    try:
        if os.access(path, os.R_OK):
            pytest.skip("this user may read everything (root)")
        assert "Permission denied" in refusal(path)
    finally:
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)


def test_no_permission_is_told_in_one_line(tmp_path, monkeypatch):
    path = save(photo(), tmp_path / "a.png")

    def denied(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", denied)
    assert "cannot be read: Permission denied" in refusal(path)


def encoded(kind):
    array = photo(120, 160)
    if kind in ("bmp", "gif", "progressive"):
        buffer = io.BytesIO()
        options = {"quality": 90, "progressive": True} if kind == "progressive" else {}
        form = "JPEG" if kind == "progressive" else kind
        Image.fromarray(array).save(buffer, form, **options)
        return buffer.getvalue()
    form, options = {
        "jpeg": (".jpg", {}),
        "png": (".png", {}),
        "interlaced": (".png", {"interlace": True}),
        "tiff": (".tif", {"compression": "deflate"}),
        "webp": (".webp", {}),
        "avif": (".avif", {"effort": 0}),
    }[kind]
    return vips(array).write_to_buffer(form, **options)


@pytest.mark.parametrize(
    "kind", ["jpeg", "progressive", "png", "interlaced", "tiff", "webp", "avif", "gif", "bmp"]
)
def test_cut_off_files_are_refused_wherever_they_end(tmp_path, kind):
    data = encoded(kind)
    path = tmp_path / "cut"
    path.write_bytes(data)
    whole = read(path).pixels
    cuts = [1, 2, 3, 7, 11, 12, 13, 20, 50, *(len(data) * k // 12 for k in range(1, 12))]
    detected = 0
    for cut in cuts:
        path.write_bytes(data[:-cut])
        try:
            pixels = read(path).pixels
        except InputError as error:
            assert "\n" not in str(error)
            detected += 1
        else:
            # Only an end mark is missing, no pixel.
            assert cut <= 12
            assert np.array_equal(pixels, whole)
    assert detected >= len(cuts) - 6


def png_header(width, height, body=b""):
    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def test_a_bomb_is_refused_from_its_header(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(30000, 20000, zlib.compress(bytes(1000))))
    message = refusal(path)
    assert "is 30000 x 20000, more than 300,000,000 pixels" in message
    assert "--max-pixels 600000000" in message


def test_headers_that_promise_too_much_are_refused(tmp_path):
    path = tmp_path / "lie.png"
    path.write_bytes(png_header(300, 200, zlib.compress(bytes(1000))))
    assert "damaged or cut off" in refusal(path)
    bmp = bytearray(encoded("bmp"))
    struct.pack_into("<i", bmp, 22, 5000)
    path.write_bytes(bmp)
    assert "damaged or cut off" in refusal(path)
    struct.pack_into("<ii", bmp, 18, 30000, 30000)
    path.write_bytes(bmp)
    assert "more than" in refusal(path)


def test_max_pixels_is_the_exact_limit(tmp_path):
    for suffix in ("png", "bmp"):
        Image.fromarray(photo(10, 10)).save(tmp_path / f"a.{suffix}")
        assert read(tmp_path / f"a.{suffix}", max_pixels=100).width == 10
        assert "--max-pixels 100" in refusal(tmp_path / f"a.{suffix}", max_pixels=99)


@pytest.mark.parametrize("suffix", ["png", "webp", "gif", "avif"])
def test_animations_are_refused_and_said_to_be(tmp_path, suffix):
    frames = [Image.fromarray(photo(seed=seed)) for seed in range(3)]
    path = tmp_path / f"a.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
    assert "is animated" in refusal(path)


def test_pages_are_refused_but_thumbnails_are_no_pages(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        for seed in range(3):
            file.write(photo(seed=seed), photometric="rgb")
    assert "holds 3 pages" in refusal(path)
    with tifffile.TiffWriter(tmp_path / "b.tif") as file:
        file.write(photo(seed=0), photometric="rgb")
        file.write(photo(seed=1)[:8, :8], photometric="rgb", subfiletype=1)
    assert np.array_equal(read(tmp_path / "b.tif").pixels, photo(seed=0))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(np.float32, "floating-point"), (np.int16, "short"), (np.uint32, "uint")],
)
def test_other_depths_are_refused(tmp_path, dtype, expected):
    image = pyvips.Image.new_from_array(photo(channels=1).astype(dtype))
    image.write_to_file(str(tmp_path / "a.tif"))
    message = refusal(tmp_path / "a.tif")
    assert expected in message
    assert "8 and 16 bits" in message


def test_other_channels_are_refused(tmp_path):
    image = pyvips.Image.new_from_array(photo(channels=6), interpretation="multiband")
    image.write_to_file(str(tmp_path / "a.tif"))
    assert "6 channels" in refusal(tmp_path / "a.tif")


def test_directories_of_a_tiff_that_are_named_often_take_no_memory():
    """A few kB would take gigabytes."""
    fields, pages = 600, 20
    at = 8 + 12 * fields + 6
    shared = struct.pack("<H", fields) + bytes(12 * fields + 4)
    named = at + 82 * pages
    main = b"".join(
        struct.pack("<HHHIII16I", 1, 0x014A, 4, 16, end - 64, 0 if end == named else end, *[8] * 16)
        for end in range(at + 82, named + 1, 82)
    )
    data = b"II*\0" + struct.pack("<I", at) + shared + main
    tracemalloc.start()
    try:
        with pytest.raises(InputError):
            read(data)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_a_tiff_of_very_many_fields_is_looked_at_soon():
    fields = [struct.pack("<HHII", 0x010D, 1, 1, 0)] * 20_000
    fields += [struct.pack("<HHII", 0x0112, 3, 1, 1)] * 20_000
    data = struct.pack("<4sIH", b"II*\0", 8, len(fields)) + b"".join(fields) + bytes(4)
    started = time.process_time()
    assert tiff.look(io.BytesIO(data)).pages == [0]
    assert time.process_time() - started < 2


def test_an_avif_file_of_very_many_boxes_is_refused_soon():
    started = time.process_time()
    with pytest.raises(InputError):
        read(b"\0\0\0\x10ftypavif\0\0\0\0" + struct.pack(">I4s", 8, b"uuid") * 150_000)
    assert time.process_time() - started < 2


def test_a_directory_of_too_many_fields_is_not_looked_at():
    block = b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, 1 << 16) + bytes(20 * (1 << 16) + 8)
    with pytest.raises(ValueError, match="beyond the end"):
        directory(block, 16)
