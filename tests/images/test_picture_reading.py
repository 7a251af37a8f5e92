"""Reading: every format, depth and colour model."""

import dataclasses
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image
from samples import GRAY_PROFILE, SRGB, exif_block, photo, save, vips

from iln.images import Picture, read
from iln.images import exif as exif_blocks

pytestmark = pytest.mark.usefixtures("nothing_on_stderr")


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
