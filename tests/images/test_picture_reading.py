"""Reading: every format, depth and colour model, and everything that can be wrong."""

import dataclasses
import io
import os
import stat
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image
from samples import GRAY_PROFILE, SRGB, exif_block, exif_fields, photo

from iln.errors import InputError
from iln.images import Picture, containers, read
from iln.images import exif as exif_blocks


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


@pytest.fixture(autouse=True)
def nothing_on_stderr(capfd):
    """The C libraries keep quiet, whatever they are given."""
    yield
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_lossless_formats_give_the_pixels_as_they_are(tmp_path, suffix, channels, dtype):
    array = photo(channels=channels, dtype=dtype)
    picture = read(save(array, tmp_path / f"a.{suffix}"))
    colours = 1 if channels < 3 else 3
    assert picture.pixels.dtype == dtype
    assert np.array_equal(picture.pixels, array[..., :colours])
    if channels in (2, 4):
        assert np.array_equal(picture.alpha, array[..., -1])
    else:
        assert picture.alpha is None
    assert (picture.height, picture.width, picture.channels) == (40, 56, colours)
    assert picture.bit_depth == np.dtype(dtype).itemsize * 8
    assert picture.pixels.flags.c_contiguous
    assert picture.pixels.flags.writeable


@pytest.mark.parametrize("channels", [3, 4])
def test_lossless_webp(tmp_path, channels):
    array = photo(channels=channels)
    picture = read(save(array, tmp_path / "a.webp", lossless=True, exact=True))
    assert np.array_equal(picture.pixels, array[..., :3])
    assert (picture.alpha is None) == (channels == 3)
    assert picture.alpha is None or np.array_equal(picture.alpha, array[..., 3])


@pytest.mark.parametrize(
    ("options", "kind"),
    [({}, "jpeg"), ({"progressive": True}, "jpeg"), ({"subsampling": 0}, "jpeg")],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg(tmp_path, channels, options, kind):
    array = photo(channels=channels)
    image = Image.fromarray(array if channels == 3 else array[..., 0])
    image.save(tmp_path / "a.jpg", quality=97, **options)
    picture = read(tmp_path / "a.jpg")
    assert picture.source_format == kind
    assert picture.pixels.shape == array.shape
    assert np.abs(picture.pixels.astype(int) - array).mean() < 4


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_avif_fills_its_range(tmp_path, bits):
    dtype = np.uint8 if bits == 8 else np.uint16
    array = photo(channels=4, dtype=dtype)
    array[:8, :8] = np.iinfo(dtype).max
    array[8:16, :8] = 0
    path = save(array, tmp_path / "a.avif", compression="av1", lossless=True, bitdepth=bits)
    picture = read(path)
    assert picture.source_format == "avif"
    assert picture.pixels.dtype == dtype
    step = (np.iinfo(dtype).max + 1) >> bits
    assert np.abs(picture.pixels.astype(int) - array[..., :3]).max() <= 2 * step
    # 10 and 12 bits are stretched to all 16, not shifted: white is white, opaque opaque.
    assert picture.pixels[:8, :8].min() == picture.alpha[:8, :8].min() == np.iinfo(dtype).max
    assert picture.pixels[8:16, :8].max() == picture.alpha[8:16, :8].max() == 0


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_bmp(tmp_path, mode):
    image = Image.fromarray(photo(channels=4)).convert(mode)
    image.save(tmp_path / "a.bmp", dpi=(300, 300))
    if mode == "RGBA":
        # Pillow writes the alpha channel but reads it only where a newer header declares it.
        data = bytearray((tmp_path / "a.bmp").read_bytes())
        data = with_v4_header(data, image.size)
        (tmp_path / "a.bmp").write_bytes(data)
    picture = read(tmp_path / "a.bmp")
    expected = np.asarray(image.convert({"1": "L", "P": "RGB"}.get(mode, mode)))
    if mode == "RGBA":
        assert np.array_equal(picture.alpha, expected[..., 3])
        expected = expected[..., :3]
    assert np.array_equal(picture.pixels.squeeze(), expected)
    assert picture.source_format == "bmp"
    if mode != "RGBA":
        assert picture.dpi == pytest.approx((300, 300), abs=0.1)


def with_v4_header(data, size):
    """The 32-bit BMP with a BITMAPV4HEADER that names the masks of its channels."""
    (pixels_at,) = struct.unpack_from("<I", data, 10)
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 108, *size, 1, 32, 3, 0, 0, 0, 0, 0)
    header += masks + bytes(108 - len(header) - len(masks))
    pixels = bytes(data[pixels_at:])
    return struct.pack("<2sIHHI", b"BM", 14 + 108 + len(pixels), 0, 0, 122) + header + pixels


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_bilevel_becomes_gray(tmp_path, suffix):
    array = photo(channels=1)[..., 0] > 127
    Image.fromarray(array).save(tmp_path / f"a.{suffix}")
    picture = read(tmp_path / f"a.{suffix}")
    assert picture.pixels.dtype == np.uint8
    assert np.array_equal(picture.pixels[..., 0], array * np.uint8(255))


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_palette_with_transparency_becomes_rgb_and_alpha(tmp_path, suffix):
    image = Image.fromarray(photo()).quantize(16)
    image.save(tmp_path / f"a.{suffix}", transparency=3)
    picture = read(tmp_path / f"a.{suffix}")
    indices = np.asarray(image)
    assert np.array_equal(picture.alpha, np.where(indices == 3, 0, 255))
    expected = np.asarray(image.convert("RGB"))
    assert np.array_equal(picture.pixels[indices != 3], expected[indices != 3])


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_palette_becomes_rgb(tmp_path, suffix):
    image = Image.fromarray(photo()).quantize(16)
    image.save(tmp_path / f"a.{suffix}")
    picture = read(tmp_path / f"a.{suffix}")
    assert picture.alpha is None
    assert np.array_equal(picture.pixels, np.asarray(image.convert("RGB")))


def test_interlaced_png_and_tiled_tiff(tmp_path):
    array = photo(150, 170)
    assert np.array_equal(read(save(array, tmp_path / "a.png", interlace=True)).pixels, array)
    tiled = save(array, tmp_path / "a.tif", tile=True, tile_width=64, tile_height=32)
    assert np.array_equal(read(tiled).pixels, array)
    big = save(array, tmp_path / "b.tif", bigtiff=True)
    assert np.array_equal(read(big).pixels, array)


CMYK = pyvips.Image.profile_load("cmyk")


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk_becomes_srgb_through_a_profile(tmp_path, suffix):
    # Two flat halves: no ink at all, then cyan alone.
    array = np.zeros((16, 32, 4), np.uint8)
    array[:, 16:, 0] = 255
    image = Image.frombytes("CMYK", (32, 16), array.tobytes())
    image.save(tmp_path / f"plain.{suffix}")
    image.save(tmp_path / f"profiled.{suffix}", icc_profile=CMYK)
    plain, profiled = (read(tmp_path / f"{n}.{suffix}") for n in ("plain", "profiled"))
    assert plain.channels == profiled.channels == 3
    assert plain.icc is None
    assert profiled.icc is None
    assert np.array_equal(plain.pixels, profiled.pixels)
    assert plain.pixels[:, :8].min() >= 250
    # Printed cyan is not (0, 255, 255), which arithmetic without a profile would give.
    red, green, blue = plain.pixels[8, 28].astype(int)
    assert red < 60
    assert 130 < green < 200
    assert 200 < blue < 250


def test_cmyk_uses_the_embedded_profile(tmp_path):
    """With part of its table from ink to colour blanked, a profile gives other colours."""
    image = Image.frombytes("CMYK", (56, 40), photo(channels=4).tobytes())
    image.save(tmp_path / "a.tif", icc_profile=CMYK)
    changed = bytearray(CMYK)
    for k in range(int.from_bytes(CMYK[128:132])):
        tag, at, size = struct.unpack_from(">4sII", CMYK, 132 + 12 * k)
        if tag.startswith(b"A2B"):
            changed[at + size // 4 : at + size // 2] = bytes(size // 2 - size // 4)
    image.save(tmp_path / "b.tif", icc_profile=bytes(changed))
    assert not np.array_equal(read(tmp_path / "a.tif").pixels, read(tmp_path / "b.tif").pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_cmyk_with_alpha_and_in_16_bits(tmp_path, dtype):
    array = photo(channels=5, dtype=dtype)
    image = pyvips.Image.new_from_array(array, interpretation="cmyk")
    image.write_to_file(str(tmp_path / "a.tif"))
    picture = read(tmp_path / "a.tif")
    assert picture.pixels.dtype == dtype
    assert picture.pixels.shape == (40, 56, 3)
    assert np.array_equal(picture.alpha, array[..., 4])


TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: np.rot90(a, 2),
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_orientation_is_applied_and_reset(tmp_path, suffix, orientation):
    array = photo(150, 90, channels=4)
    path = tmp_path / f"a.{suffix}"
    order = "<>"[orientation % 2]
    block = exif_block(order, orientation, width=90, height=150)
    if suffix == "tif":
        exif = Image.Exif()
        exif.load(block)
        Image.fromarray(array).save(path, exif=exif, dpi=(100, 200))
    else:
        Image.fromarray(array).save(path, exif=block, lossless=True, exact=True)
    picture = read(path)
    upright = TURNS[orientation](array)
    assert np.array_equal(picture.pixels, upright[..., :3])
    assert np.array_equal(picture.alpha, upright[..., 3])
    main, exif, gps, thumbnail = exif_fields(picture.exif)
    expected = exif_fields(block)
    assert main.get(0x0112, 1) == 1
    assert (exif[0xA002], exif[0xA003]) == (picture.width, picture.height)
    assert not thumbnail
    if suffix == "tif":
        assert picture.dpi == ((100, 200) if orientation < 5 else (200, 100))
        assert main[0x0132] == expected[0][0x0132]
    else:
        assert main == expected[0] | {0x0112: 1}
    assert exif == expected[1] | {0xA002: picture.width, 0xA003: picture.height}
    assert gps == expected[2]


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_orientation_of_jpeg(tmp_path, orientation):
    array = photo(96, 64)
    block = exif_block(orientation=orientation)
    Image.fromarray(array).save(tmp_path / "a.jpg", quality=97, exif=b"Exif\0\0" + block)
    picture = read(tmp_path / "a.jpg")
    error = picture.pixels.astype(int) - TURNS[orientation](array)
    assert np.abs(error).mean() < 4
    assert exif_fields(picture.exif)[0][0x0112] == 1


@pytest.mark.parametrize("orientation", [1, 2, 6, 8])
def test_avif_is_turned_once_only(tmp_path, orientation):
    array = photo(96, 64)
    block = exif_block(orientation=orientation)
    Image.fromarray(array).save(tmp_path / "a.avif", quality=98, exif=block)
    picture = read(tmp_path / "a.avif")
    error = picture.pixels.astype(int) - TURNS[orientation](array)
    assert np.abs(error).mean() < 6
    # Pillow moves the orientation from the EXIF to the file's own transforms.
    main, exif, gps, _ = exif_fields(picture.exif)
    assert main.get(0x0112, 1) == 1
    assert exif[0xA002] == picture.width
    assert gps == exif_fields(block)[2]


def test_exif_orientation_in_avif_is_only_a_remark(tmp_path):
    """Without a transform in the file itself nothing is turned, whatever the EXIF says."""
    array, block = photo(), exif_block(orientation=6)
    image = vips(array)
    blob = b"Exif\0\0" + containers.avif_placeholder(block)
    image.set_type(pyvips.GValue.blob_type, "exif-data", blob)
    data = image.heifsave_buffer(compression="av1", lossless=True, keep="exif")
    (tmp_path / "a.avif").write_bytes(b"".join(containers.fill_avif(data, block)))
    picture = read(tmp_path / "a.avif")
    assert np.array_equal(picture.pixels, array)
    assert exif_fields(picture.exif)[0][0x0112] == 1


def test_exif_stays_as_it_is_but_for_the_three_corrections():
    block = exif_block(orientation=6)
    edited = exif_blocks.upright(block, 560, 400)
    bare = exif_block(orientation=1, width=560, height=400, thumbnail=False)
    assert edited == bare
    assert b"thumbnail" in block
    assert b"thumbnail" not in edited


@pytest.mark.parametrize("cut", [0, 3, 7, 9, 30])
def test_malformed_exif_is_refused_by_the_editor(cut):
    with pytest.raises(ValueError, match=r"TIFF block|beyond the end|no directory"):
        exif_blocks.upright(exif_block(thumbnail=False)[:cut], 56, 40)


@pytest.mark.parametrize("cut", range(104, 300, 7))
def test_fields_beyond_the_end_cost_only_themselves(cut):
    whole = exif_fields(exif_block(orientation=1, width=56, height=40, thumbnail=False))
    left = exif_fields(
        exif_blocks.upright(exif_block(orientation=6, thumbnail=False)[:cut], 56, 40)
    )
    for found, expected in zip(left, whole, strict=False):
        assert found.items() <= expected.items()
    assert left[0][0x0112] == 1


@pytest.mark.parametrize("order", "<>")
def test_the_end_of_a_directory_may_be_missing(order):
    """It is the offset of the next one, which some programs do not write."""
    block = exif_block(order, orientation=1, thumbnail=False)
    whole = exif_fields(block)
    (at,) = (e.value_at for e in exif_blocks.directory(block, 8).entries if e.tag == 0x8825)
    (gps,) = struct.unpack_from(order + "I", block, at)
    inner = exif_blocks.directory(block, gps)
    alone = struct.pack(order + "H", 1) + block[gps + 2 : gps + 14]  # its value is inside
    moved = bytearray(block + bytes(len(block) % 2) + alone)
    struct.pack_into(order + "I", moved, at, len(moved) - len(alone))
    assert inner.entries[0].tag == 0
    edited = exif_fields(exif_blocks.upright(bytes(moved), 56, 40))
    assert edited[:2] == whole[:2]
    assert edited[2] == {0: whole[2][0]}


def test_a_thumbnail_before_the_picture_is_taken_out():
    thumbnail = b"\xff\xd8 thumbnail \xff\xd9"
    records = [(0x0201, 4, 1, 38), (0x0202, 4, 1, len(thumbnail))]
    second = b"\2\0" + b"".join(struct.pack("<HHII", *one) for one in records) + bytes(4)
    first = b"\1\0" + struct.pack("<HHI4sI", 0x010F, 2, 4, b"abc", 8)
    at = 38 + len(thumbnail)
    edited = exif_blocks.upright(
        b"II*\0" + struct.pack("<I", at) + second + thumbnail + first, 4, 4
    )
    assert b"thumbnail" not in edited
    main, _, _, second_fields = exif_fields(edited)
    assert (main, second_fields) == ({0x010F: "abc"}, {})


def test_exif_whose_directories_overlap_is_left_out_or_read(tmp_path):
    """A correction of one field may then hit another directory."""
    rng = np.random.default_rng(0)
    for i in range(300):
        block = bytearray(exif_block("<>"[i % 2]))
        for _ in range(rng.integers(1, 6)):
            block[rng.integers(4, len(block))] = rng.choice([0, 1, 2, 3, 4, 8, 255])
        Image.fromarray(photo(4, 4)).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + bytes(block))
        read(tmp_path / "a.jpg")


def test_circular_exif_ends():
    block = bytearray(exif_block(thumbnail=False))
    directory = exif_blocks.directory(bytes(block), 8)
    struct.pack_into("<I", block, directory.next_at, 8)
    for entry in directory.entries:
        if entry.tag == 0x8769:
            exif_blocks.set_integer(block, entry, 8)
    exif_blocks.upright(bytes(block), 56, 40)


def test_malformed_exif_is_dropped_and_the_picture_read(tmp_path):
    array = photo()
    Image.fromarray(array).save(tmp_path / "a.png", exif=exif_block(orientation=1)[:60])
    picture = read(tmp_path / "a.png")
    assert picture.exif is None
    assert np.array_equal(picture.pixels, array)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "avif"])
def test_profile_is_kept(tmp_path, suffix):
    Image.fromarray(photo()).save(tmp_path / f"a.{suffix}", icc_profile=SRGB)
    assert read(tmp_path / f"a.{suffix}").icc == SRGB


def test_gray_profile_is_kept_and_a_misfit_dropped(tmp_path):
    gray = Image.fromarray(photo(channels=1)[..., 0])
    gray.save(tmp_path / "a.jpg", icc_profile=GRAY_PROFILE)
    gray.save(tmp_path / "b.jpg", icc_profile=SRGB)
    assert read(tmp_path / "a.jpg").icc == GRAY_PROFILE
    assert read(tmp_path / "b.jpg").icc is None


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [2, 4])
def test_premultiplied_tiff_gives_its_colours_back(tmp_path, channels, dtype):
    full = int(np.iinfo(dtype).max)
    straight = photo(channels=channels, dtype=dtype)
    alpha = straight[..., -1:].astype(np.int64)
    colours = straight[..., :-1].astype(np.int64)
    stored = np.concatenate([(colours * alpha + full // 2) // full, alpha], -1).astype(dtype)
    file = bytearray(save(stored, tmp_path / "a.tif").read_bytes())
    for entry in next(exif_blocks.main_directories(bytes(file))).entries:
        if entry.tag == exif_blocks.EXTRA_SAMPLES:
            assert exif_blocks.integer(bytes(file), entry) == 2
            exif_blocks.set_integer(file, entry, 1)
    (tmp_path / "a.tif").write_bytes(file)
    picture = read(tmp_path / "a.tif")
    assert picture.pixels.shape[2] == channels - 1
    assert np.array_equal(picture.alpha, straight[..., -1])
    clear = alpha[..., 0] > full // 4
    error = np.abs(picture.pixels.astype(int) - colours)
    assert error[clear].max() <= 2
    # Kept small where alpha is small: half a step of the stored colour, scaled back.
    assert (error <= full / 2 / np.maximum(alpha, 1) + 1)[alpha[..., 0] > 0].all()


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


def test_the_content_decides_not_the_suffix(tmp_path):
    array = photo()
    path = tmp_path / "really-a.jpg"
    path.write_bytes(vips(array).write_to_buffer(".png"))
    picture = read(path)
    assert picture.source_format == "png"
    assert np.array_equal(picture.pixels, array)


def test_odd_names(tmp_path):
    array = photo()
    data = vips(array).write_to_buffer(".png")
    for name in ["a[page=2].png", "%d.png", "-", "naïve ß.png", os.fsdecode(b"\xff\xfe.png")]:
        (tmp_path / name).write_bytes(data)
        assert np.array_equal(read(tmp_path / name).pixels, array)


def test_picture_checks_its_arrays():
    good = Picture(photo(), photo(channels=1)[..., 0])
    assert dataclasses.replace(good, alpha=None).alpha is None
    for pixels, alpha in [
        (photo(channels=4), None),
        (photo()[..., 0], None),
        (photo().astype(np.float32), None),
        (photo(), photo(channels=1)),
        (photo(), photo(channels=1, dtype=np.uint16)[..., 0]),
        (photo()[:0], None),
    ]:
        with pytest.raises(ValueError, match="must be"):
            Picture(pixels, alpha)


def test_import_is_light():
    code = "import sys, iln.images; print({'torch', 'pyvips', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_memory_is_about_one_copy(tmp_path):
    """A photo of 12 megapixels that lies on its side, in a process of its own."""
    image = vips(photo(300, 400)).resize(10)
    image = image.cast("uchar").copy()
    image.write_to_file(str(tmp_path / "a.jpg"))
    assert (image.width, image.height) == (4000, 3000)
    data = (tmp_path / "a.jpg").read_bytes()
    block = b"Exif\0\0" + exif_block(orientation=6)
    segment = b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block
    (tmp_path / "b.jpg").write_bytes(data[:2] + segment + data[2:])
    code = """
import sys
from pathlib import Path
from iln.images import read
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024
read(sys.argv[1])
before = peak()
picture = read(sys.argv[2])
print(picture.pixels.shape, peak() - before)
"""
    if not Path("/proc/self/status").exists():
        pytest.skip("needs Linux's /proc to measure memory")
    save(photo(), tmp_path / "small.jpg")
    command = [sys.executable, "-c", code, str(tmp_path / "small.jpg"), str(tmp_path / "b.jpg")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    shape, peak = done.stdout.rsplit(" ", 1)
    assert shape == "(4000, 3000, 3)"
    # The pixels take 34 MiB and libvips' rows about as much again; a second copy would
    # bring it over 100.
    assert 30 < int(peak) < 95, f"{peak} MiB"
