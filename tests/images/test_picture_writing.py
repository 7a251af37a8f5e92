"""Writing: what goes in comes out, or a note says what the format lost."""

import dataclasses
import re

import numpy as np
import pytest
from PIL import Image
from samples import GRAY_PROFILE, SRGB, exif_block, exif_fields, photo

from iln.errors import InputError
from iln.images import SUFFIXES, Picture, check_suffix, psnr_rgb, read, write
from iln.images import exif as exif_blocks

BLOCK = exif_block(orientation=1, thumbnail=False)
WITH_EXIF = [".png", ".jpg", ".webp", ".avif", ".tif"]


def picture(channels=3, dtype=np.uint8, alpha=False, **fields):
    array = photo(channels=4, dtype=dtype)
    return Picture(array[..., :channels], array[..., 3] if alpha else None, **fields)


@pytest.fixture(autouse=True)
def nothing_on_stderr(capfd):
    yield
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff"])
def test_lossless_round_trip(tmp_path, suffix, channels, dtype, alpha):
    icc = SRGB if channels == 3 else GRAY_PROFILE
    original = picture(channels, dtype, alpha, icc=icc, exif=BLOCK, dpi=(300.0, 150.0))
    assert write(original, tmp_path / f"a{suffix}") == []
    again = read(tmp_path / f"a{suffix}")
    assert again.pixels.dtype == dtype
    assert np.array_equal(again.pixels, original.pixels)
    assert (again.alpha is None) == (not alpha)
    assert again.alpha is None or np.array_equal(again.alpha, original.alpha)
    assert again.icc == icc
    assert again.dpi == pytest.approx((300, 150), abs=0.02)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("suffix", "alpha"),
    [(".jpg", False), *((s, a) for s in (".png", ".webp", ".avif") for a in (False, True))],
)
@pytest.mark.parametrize("icc", [None, SRGB])
def test_exif_goes_along_byte_for_byte(tmp_path, suffix, order, alpha, icc):
    block = exif_block(order, orientation=1, thumbnail=False)
    assert write(picture(alpha=alpha, exif=block, icc=icc), tmp_path / f"a{suffix}") == []
    again = read(tmp_path / f"a{suffix}")
    assert again.exif.rstrip(b"\0") == block.rstrip(b"\0")
    assert again.icc == icc
    assert again.pixels.shape == (40, 56, 3)
    assert (again.alpha is not None) == alpha
    with Image.open(tmp_path / f"a{suffix}") as independent:
        independent.load()
        assert independent.size == (56, 40)
        assert independent.info.get("icc_profile") == icc
        assert exif_fields(independent.info["exif"]) == exif_fields(block)


@pytest.mark.parametrize("length", [len(BLOCK), len(BLOCK) + 1])
@pytest.mark.parametrize("quality", [95, 100])
@pytest.mark.parametrize("alpha", [False, True])
def test_webp_is_laid_out_as_specified(tmp_path, alpha, quality, length):
    """Chunks start at even offsets and fill the file; the header's flags tell what is inside."""
    block = BLOCK.ljust(length, b"\0")
    write(picture(alpha=alpha, exif=block), tmp_path / "a.webp", quality=quality)
    data = (tmp_path / "a.webp").read_bytes()
    assert int.from_bytes(data[4:8], "little") == len(data) - 8
    chunks, at = {}, 12
    while at < len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        chunks[data[at : at + 4]] = data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
    assert at == len(data)
    assert next(iter(chunks)) == b"VP8X"
    assert chunks[b"VP8X"][0] == (0x18 if alpha else 0x08)
    assert chunks[b"EXIF"] == block


@pytest.mark.parametrize("order", "<>")
def test_exif_in_tiff(tmp_path, order):
    """TIFF has no block: the fields join the file's own, whatever their byte order was."""
    block = exif_block(order, orientation=1, thumbnail=False)
    write(picture(exif=block, icc=SRGB), tmp_path / "a.tif")
    main, exif, gps, _ = exif_fields(block)
    with Image.open(tmp_path / "a.tif") as independent:
        independent.load()
        found = independent.getexif()
        assert {tag: found[tag] for tag in (0x010F, 0x0132, 0x9C9B)} == {
            tag: main[tag] for tag in (0x010F, 0x0132, 0x9C9B)
        }
        assert found.get_ifd(0x8769) == exif
        assert found.get_ifd(0x8825) == gps
        assert np.array_equal(np.asarray(independent), picture().pixels)
    again = exif_fields(read(tmp_path / "a.tif").exif)
    assert again[1:3] == (exif, gps)


@pytest.mark.parametrize("suffix", WITH_EXIF)
def test_pixel_dimensions_in_exif_follow_the_picture(tmp_path, suffix):
    large = Picture(photo(80, 112), exif=BLOCK)
    write(large, tmp_path / f"a{suffix}")
    _, exif, _, _ = exif_fields(read(tmp_path / f"a{suffix}").exif)
    assert (exif[0xA002], exif[0xA003]) == (112, 80)
    assert exif_fields(BLOCK)[1][0xA002] == 56


@pytest.mark.parametrize("suffix", WITH_EXIF)
def test_no_exif_is_invented(tmp_path, suffix):
    write(picture(icc=SRGB), tmp_path / f"a{suffix}")
    assert read(tmp_path / f"a{suffix}").exif is None


def test_exif_too_large_for_jpeg_is_left_out_with_a_note(tmp_path):
    block = bytearray(BLOCK)
    for directory in exif_blocks.main_directories(BLOCK):
        for entry in directory.entries:
            if entry.tag == 0x9C9B:
                # Let a field reach over a lot of padding.
                at = len(block)
                block += bytes(70_000)
                block[entry.record_at + 4 : entry.record_at + 8] = (70_000).to_bytes(4, "little")
                block[entry.record_at + 8 : entry.record_at + 12] = at.to_bytes(4, "little")
    (note,) = write(picture(exif=bytes(block)), tmp_path / "a.jpg")
    assert note.startswith("EXIF left out")
    assert read(tmp_path / "a.jpg").exif is None
    assert write(picture(exif=bytes(block)), tmp_path / "a.png") == []
    assert len(read(tmp_path / "a.png").exif) > 70_000


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif"])
def test_lossy_formats_stay_close(tmp_path, suffix):
    original = picture()
    assert write(original, tmp_path / f"fine{suffix}") == []
    write(original, tmp_path / f"coarse{suffix}", quality=20)
    fine, coarse = (
        psnr_rgb(read(tmp_path / f"{name}{suffix}").pixels, original.pixels)
        for name in ("fine", "coarse")
    )
    assert fine > 33
    assert coarse < fine - 3


def test_jpeg_keeps_full_colour_resolution(tmp_path):
    write(picture(), tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        assert {layer[1:3] for layer in image.layer} == {(1, 1)}
    # Columns of red and blue in turn: halved colour resolution would make them purple.
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2, 0] = stripes[:, 1::2, 2] = 200
    write(Picture(stripes), tmp_path / "b.jpg")
    assert np.abs(read(tmp_path / "b.jpg").pixels.astype(int) - stripes).max() < 40


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("suffix", [".webp", ".avif"])
def test_quality_100_is_lossless_where_documented(tmp_path, suffix, alpha):
    original = picture(alpha=alpha)
    write(original, tmp_path / f"a{suffix}", quality=100)
    again = read(tmp_path / f"a{suffix}")
    assert np.array_equal(again.pixels, original.pixels)
    assert not alpha or np.array_equal(again.alpha, original.alpha)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".avif"])
def test_colours_under_full_transparency_survive(tmp_path, suffix):
    original = dataclasses.replace(picture(), alpha=np.zeros((40, 56), np.uint8))
    write(original, tmp_path / f"a{suffix}", quality=100)
    again = read(tmp_path / f"a{suffix}")
    assert np.array_equal(again.pixels, original.pixels)
    assert again.alpha.max() == 0


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".bmp"])
def test_gray_stays_gray(tmp_path, suffix):
    write(picture(channels=1), tmp_path / f"a{suffix}")
    assert read(tmp_path / f"a{suffix}").channels == 1


@pytest.mark.parametrize("suffix", [".webp", ".avif"])
def test_gray_becomes_equal_channels_where_a_format_has_no_gray(tmp_path, suffix):
    original = picture(channels=1)
    write(original, tmp_path / f"a{suffix}", quality=100)
    again = read(tmp_path / f"a{suffix}")
    assert np.array_equal(again.pixels, np.repeat(original.pixels, 3, axis=2))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", [".webp", ".bmp"])
def test_16_bits_are_rounded_to_8_with_a_note(tmp_path, suffix, channels):
    """Every 16-bit value, against exact integer arithmetic: (2 v + 257) // 514 rounds v / 257."""
    values = np.arange(1 << 16).reshape(256, 256).astype(np.uint16)
    original = Picture(np.repeat(values[..., None], channels, axis=2))
    (note,) = write(original, tmp_path / f"a{suffix}", quality=100)
    assert note.endswith("holds 8 bits: rounded from 16")
    exact = (2 * values.astype(int) + 257) // 514
    found = read(tmp_path / f"a{suffix}").pixels
    assert found.dtype == np.uint8
    assert all(np.array_equal(found[..., c], exact) for c in range(found.shape[2]))


def test_16_bit_jpeg_is_the_rounded_8_bit_one(tmp_path):
    deep = picture(dtype=np.uint16)
    assert write(deep, tmp_path / "deep.jpg") == ["JPEG holds 8 bits: rounded from 16"]
    exact = ((2 * deep.pixels.astype(int) + 257) // 514).astype(np.uint8)
    assert write(Picture(exact), tmp_path / "flat.jpg") == []
    assert (tmp_path / "deep.jpg").read_bytes() == (tmp_path / "flat.jpg").read_bytes()


def test_avif_keeps_12_of_16_bits(tmp_path):
    deep = picture(dtype=np.uint16, alpha=True)
    deep.pixels[:4], deep.pixels[4:8] = 65535, 0
    notes = write(deep, tmp_path / "a.avif", quality=100)
    assert notes == ["AVIF holds 12 bits: rounded from 16"]
    again = read(tmp_path / "a.avif")
    assert np.abs(again.pixels.astype(int) - deep.pixels).max() <= 3 * 16
    assert np.abs(again.alpha.astype(int) - deep.alpha).max() <= 9
    assert again.pixels[:4].min() == 65535
    assert again.pixels[4:8].max() == 0


def test_a_profile_of_other_channels_is_left_out_with_a_note(tmp_path):
    for channels, icc in ((1, SRGB), (3, GRAY_PROFILE)):
        path = tmp_path / f"{channels}.png"
        (note,) = write(picture(channels=channels, icc=icc), path)
        assert note == f"ICC profile left out: not made for {channels} channels"
        assert read(path).icc is None


def test_bmp_says_what_it_loses(tmp_path):
    (note,) = write(picture(icc=SRGB, exif=BLOCK), tmp_path / "a.bmp")
    assert note == "BMP holds no metadata: EXIF and ICC profile left out"
    assert np.array_equal(read(tmp_path / "a.bmp").pixels, picture().pixels)


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".bmp"])
def test_alpha_is_refused_where_it_would_be_lost(tmp_path, suffix):
    with pytest.raises(InputError, match=re.escape("give one of .png .tif .tiff .webp .avif")):
        write(picture(alpha=True), tmp_path / f"a{suffix}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.gif", "a", "a.png.bak", ".png", "a.p\nng"])
def test_unknown_suffixes_are_refused(tmp_path, name):
    with pytest.raises(InputError) as raised:
        write(picture(), tmp_path / name)
    message = str(raised.value)
    assert message.splitlines() == [message]
    assert all(suffix in message for suffix in SUFFIXES)
    with pytest.raises(InputError):
        check_suffix(tmp_path / name)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_suffix_is_written_in_its_format(tmp_path, suffix):
    path = tmp_path / f"a{suffix.upper()}"
    write(picture(), path)
    kinds = {".tif": "tiff", **dict.fromkeys((".jpg", ".jpe", ".jfif"), "jpeg")}
    assert read(path).source_format == kinds.get(suffix, suffix[1:])


@pytest.mark.parametrize(("suffix", "side"), [(".jpg", 65500), (".webp", 16383), (".avif", 16384)])
def test_sizes_beyond_the_format_are_refused(tmp_path, suffix, side):
    wide = Picture(np.zeros((1, side + 1, 1), np.uint8))
    with pytest.raises(InputError, match=f"at most {side} a side"):
        write(wide, tmp_path / f"a{suffix}")
    write(Picture(np.zeros((1, side, 1), np.uint8)), tmp_path / f"b{suffix}")
    assert read(tmp_path / f"b{suffix}").width == side


@pytest.mark.parametrize("quality", [0, 101])
def test_quality_out_of_range(tmp_path, quality):
    with pytest.raises(InputError, match="from 1 to 100"):
        write(picture(), tmp_path / "a.jpg", quality=quality)


def test_existing_files_are_kept_unless_asked(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"precious")
    with pytest.raises(InputError, match="exists already"):
        write(picture(), path)
    assert path.read_bytes() == b"precious"
    write(picture(), path, overwrite=True)
    assert read(path).width == 56
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_a_failing_encoder_leaves_nothing(tmp_path, monkeypatch):
    from iln.images import png

    def broken(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(png, "insert", broken)
    with pytest.raises(MemoryError):
        write(picture(exif=BLOCK), tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_arrays_that_are_views_are_written_right(tmp_path):
    """Crops, turned pictures and channels taken from a larger array are not contiguous."""
    array = photo(60, 80, 4)
    turned = Picture(array[5:45, ::-2, :3].swapaxes(0, 1), array[5:45, ::-2, 3].T)
    for suffix in (".png", ".bmp"):
        opaque = turned if suffix == ".png" else dataclasses.replace(turned, alpha=None)
        write(opaque, tmp_path / f"a{suffix}")
        assert np.array_equal(read(tmp_path / f"a{suffix}").pixels, turned.pixels)
