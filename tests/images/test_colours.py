"""Which colours a picture means: profiles, primaries and gamma, and what is done with them."""

import io
import re
import struct
import zlib

import numpy as np
import pytest
import pyvips
from PIL import Image
from samples import GRAY_PROFILE, SRGB, SUFFIXES, chunk, photo, png_with

from iln.errors import InputError
from iln.images import Picture, encode, read, write


def gama(value):
    return b"gAMA", struct.pack(">I", round(value * 100_000))


def chrm(*values):
    return b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in values))


SRGB_PRIMARIES = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
P3_PRIMARIES = (0.3127, 0.3290, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
# CSS Color 4: linear Display P3 to linear sRGB, by way of XYZ.
P3_TO_SRGB = np.array(
    [[1.2249402, -0.2249402, 0], [-0.0420570, 1.0420570, 0], [-0.0196376, -0.0786361, 1.0982735]]
)


def curve(linear):
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def linear(values):
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def p3_as_srgb(array):
    full = np.iinfo(array.dtype).max
    return curve(linear(array / full) @ P3_TO_SRGB.T) * full


def test_linear_png_becomes_srgb():
    array = photo()
    picture = read(png_with(array, gama(1.0)))
    assert np.abs(picture.pixels - curve(array / 255) * 255).max() <= 0.51
    assert picture.notes == ("its colours are turned to sRGB",)
    gray = photo(channels=1)
    assert np.abs(read(png_with(gray, gama(1.0))).pixels - curve(gray / 255) * 255).max() <= 0.51


def test_gamma_is_the_encoders_exponent():
    array = photo()
    picture = read(png_with(array, gama(1 / 1.8)))
    assert np.abs(picture.pixels - curve((array / 255) ** 1.8) * 255).max() <= 0.51


@pytest.mark.parametrize(
    "chunks",
    [
        [(b"cICP", bytes([12, 13, 0, 1]))],
        [chrm(*P3_PRIMARIES), gama(1 / 2.2)],
        [chrm(*P3_PRIMARIES)],
        [(b"cICP", bytes([12, 13, 0, 1])), gama(1.0), (b"sRGB", b"\0")],  # cICP counts most
    ],
)
def test_display_p3_png_becomes_srgb(chunks):
    array = photo()
    assert np.abs(read(png_with(array, *chunks)).pixels - p3_as_srgb(array)).max() <= 0.6


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [gama(0.45455), chrm(*SRGB_PRIMARIES)],
        [(b"sRGB", b"\0"), gama(1.0)],
        [(b"cICP", bytes([1, 13, 0, 1]))],
        [(b"cICP", bytes([1, 1, 0, 1]))],
        [(b"cICP", bytes([2, 2, 0, 1]))],
        [(b"iCCP", b"icc\0\0" + zlib.compress(SRGB)), gama(1.0)],
        [gama(0)],
    ],
)
def test_what_is_srgb_or_has_a_profile_stays_as_it_is(chunks):
    array = photo()
    picture = read(png_with(array, *chunks))
    assert np.array_equal(picture.pixels, array)
    assert picture.notes == ()


def test_16_bits_are_turned_with_all_their_bits():
    array = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64, 1)
    data = pyvips.Image.new_from_array(array, interpretation="grey16").pngsave_buffer()
    picture = read(data[:33] + chunk(*gama(1.0)) + data[33:])
    assert np.abs(picture.pixels - curve(array / 65535) * 65535).max() <= 1
    assert len(np.unique(picture.pixels)) > 4000


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ((9, 16), "holds high dynamic range (PQ)"),
        ((9, 18), "holds high dynamic range (HLG)"),
        ((10, 13), "holds colours of an unusual kind (H.273 primaries 10"),
    ],
)
def test_colours_that_srgb_cannot_hold_are_refused_by_name(points, expected):
    with pytest.raises(InputError, match=re.escape(expected)):
        read(png_with(photo(), (b"cICP", bytes([*points, 0, 1]))))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("profile", [b"no zlib", zlib.compress(b"no profile"), None])
def test_a_profile_that_is_none_or_for_other_channels_hides_nothing(channels, profile):
    other = GRAY_PROFILE if channels == 3 else SRGB
    content = b"icc\0\0" + (zlib.compress(other) if profile is None else profile)
    array = photo(channels=channels)
    picture = read(png_with(array, (b"iCCP", content), gama(1.0)))
    assert np.abs(picture.pixels - curve(array / 255) * 255).max() <= 0.51


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_profile_for_gray_is_kept_or_missed(tmp_path, suffix):
    notes = write(Picture(photo(channels=1), icc=GRAY_PROFILE), tmp_path / f"a{suffix}")
    kept = read(tmp_path / f"a{suffix}").icc is not None
    assert kept == (suffix in (".jpg", ".png", ".tif"))
    assert kept == (notes == [])


def test_narrow_range_is_refused_by_name():
    with pytest.raises(InputError, match="holds values in video's narrow range"):
        read(png_with(photo(), (b"cICP", bytes([1, 1, 0, 0]))))


@pytest.mark.parametrize("values", [(0.3, 0) * 4, (0.3, 0.3) * 4])
def test_primaries_that_are_no_colours_are_refused(values):
    with pytest.raises(InputError, match="primaries that are no colours"):
        read(png_with(photo(), chrm(*values)))


def avif(array, **options):
    return pyvips.Image.new_from_array(array, interpretation="srgb").heifsave_buffer(
        compression="av1", **options
    )


def nclx(data, primaries, transfer):
    """The AVIF file with other code points in its nclx box."""
    at = data.index(b"colrnclx") + 8
    return data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :]


def test_avif_of_display_p3_becomes_srgb():
    data = avif(photo(), lossless=True)
    plain, wide = read(data), read(nclx(data, 12, 13))
    assert np.abs(wide.pixels - p3_as_srgb(plain.pixels)).max() <= 0.6
    with pytest.raises(InputError, match="high dynamic range"):
        read(nclx(data, 9, 16))


def late(data, pad):
    """The AVIF file with free space before the box that describes it."""
    first, moved, at = int.from_bytes(data[:4]), bytearray(data), data.index(b"iloc")
    version, sizes, base = moved[at + 4], moved[at + 8], moved[at + 9] >> 4
    offset, length = sizes >> 4, sizes & 15
    place = at + 10
    for _ in range(int.from_bytes(moved[place : place + 2])):
        place += (6 if version else 4) + base
        for _ in range(int.from_bytes(moved[place + 2 : place + 4])):
            field = slice(place + 4, place + 4 + offset)
            moved[field] = (int.from_bytes(moved[field]) + pad + 8).to_bytes(offset)
            place += offset + length
        place += 2
    return bytes(moved[:first]) + struct.pack(">I4s", pad + 8, b"free") + bytes(pad) + moved[first:]


@pytest.mark.parametrize("pad", [100, 1 << 20])
def test_what_an_avif_says_may_come_late(pad):
    data = avif(photo(), lossless=True)
    assert np.array_equal(read(late(data, pad)).pixels, read(data).pixels)
    wide = read(late(nclx(data, 12, 13), pad))
    assert wide.notes == ("its colours are turned to sRGB",)
    with pytest.raises(InputError, match="high dynamic range"):
        read(late(nclx(data, 9, 16), pad))


@pytest.mark.parametrize("premultiplied", [False, True])
def test_avif_whose_colours_are_multiplied_with_alpha(premultiplied):
    alpha = np.linspace(100, 255, 56).astype(np.uint8)[None].repeat(40, 0)
    data = io.BytesIO()
    Image.fromarray(np.dstack([photo(), alpha])).save(
        data, "AVIF", quality=100, subsampling="4:4:4", alpha_premultiplied=premultiplied
    )
    found = read(data.getvalue())
    assert np.abs(found.pixels.astype(int) - photo()).mean() < 2
    assert np.abs(found.alpha.astype(int) - alpha).max() <= 2


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_a_padded_profile_is_kept_and_one_that_is_cut_off_is_told(kind: str) -> None:
    def stored(profile: bytes) -> Picture:
        file = io.BytesIO()
        Image.new("RGB", (8, 8), (9, 9, 9)).save(file, kind, icc_profile=profile)
        return read(file.getvalue())

    padded = stored(SRGB + b"\0\0")
    assert (padded.icc, padded.notes) == (SRGB, ())
    _, notes = encode(padded, ".png")
    assert not notes
    cut = stored(SRGB[:-40])
    assert (cut.icc, cut.notes) == (None, ("its colour profile is damaged and left out",))


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_a_profile_of_other_colours_does_not_outlive_cmyk(kind: str) -> None:
    file = io.BytesIO()
    Image.new("CMYK", (8, 8), (255, 0, 255, 0)).save(file, kind, icc_profile=SRGB)
    found = read(file.getvalue())
    assert found.icc is None and found.channels == 3


def test_cicp_counts_more_than_a_profile() -> None:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (200, 40, 40)).save(file, "PNG", icc_profile=SRGB)
    data = file.getvalue()
    found = read(data[:33] + chunk(b"cICP", bytes([12, 13, 0, 1])) + data[33:])  # Display P3
    assert found.icc is None and "its colours are turned to sRGB" in found.notes
    assert found.pixels[0, 0, 0] > 200 > found.pixels[0, 0, 1]


@pytest.mark.parametrize(
    "profile",
    [GRAY_PROFILE, SRGB[:12] + b"abst" + SRGB[16:], SRGB[:20] + b"Luv " + SRGB[24:]],
    ids=["for gray", "for effects", "to Luv"],
)
def test_a_profile_that_does_not_fit_is_left_out_and_said_so(profile):
    data = io.BytesIO()
    Image.fromarray(photo()).save(data, "JPEG", icc_profile=profile)
    found = read(data.getvalue())
    assert found.icc is None
    assert found.notes == ("its colour profile does not fit its pixels and is left out",)


@pytest.mark.parametrize(
    ("mode", "profile"),
    [("L", SRGB), ("RGB", GRAY_PROFILE), ("RGB", SRGB[:100])],
    ids=["for colour", "for gray", "cut off"],
)
def test_a_profile_that_png_readers_pass_over_is_told(mode, profile):
    data = io.BytesIO()
    Image.new(mode, (20, 20)).save(data, "PNG", icc_profile=profile)
    found = read(data.getvalue())
    assert found.icc is None
    assert found.notes == ("its colour profile does not fit its pixels and is left out",)


@pytest.mark.parametrize("extra", [0, 1, 2, 3])
def test_a_profile_of_any_length_goes_to_png_and_comes_from_it(extra, tmp_path):
    """libpng takes those of version 4 whose length is a multiple of 4 alone."""
    size = len(SRGB) + extra
    profile = size.to_bytes(4) + SRGB[4:8] + b"\4" + SRGB[9:] + b"x" * extra
    picture = Picture(photo(), icc=profile)
    assert write(picture, tmp_path / "a.png") == []
    found = read(tmp_path / "a.png")
    assert found.notes == () and found.icc is not None
    assert found.icc[4 : len(profile)] == profile[4:] and len(found.icc) < len(profile) + 4
    body = b"a\0\0" + zlib.compress(profile)
    found = read(png_with(photo(), (b"iCCP", body)))
    assert (found.icc, found.notes) == (profile, ())
    found = read(png_with(photo(), (b"iCCP", body[:196])))
    assert found.icc is None
    assert found.notes == ("its colour profile does not fit its pixels and is left out",)


def test_what_png_says_of_colours_counts_once_and_before_the_pixels():
    data = png_with(photo())
    end = data.index(b"IEND") - 4
    assert read(data[:end] + chunk(*gama(1.0)) + data[end:]).notes == ()
    assert read(png_with(photo(), gama(1 / 2.2), gama(1.0))).notes == ()
    turned = read(png_with(photo(), gama(1.0), gama(1 / 2.2)))
    assert turned.notes == ("its colours are turned to sRGB",)
