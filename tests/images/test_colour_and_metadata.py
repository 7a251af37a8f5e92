"""What stands beside the pixels: colours, density, EXIF, XMP, IPTC, texts; and what is lost."""

import io
import re
import struct
import time
import zlib

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image, PngImagePlugin
from samples import GRAY_PROFILE, SRGB, exif_block, exif_fields, photo

from iln.errors import InputError
from iln.images import Picture, encode, read, write
from iln.images.exif import upright as exif_upright
from iln.images.exif import with_resolution
from iln.images.xmp import upright

XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
    'syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
    'xmlns:xap="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'tiff:Orientation="6" tiff:ImageWidth="1"><tiff:ImageLength>1</tiff:ImageLength>'
    "<xap:Thumbnails><rdf:Alt>old picture</rdf:Alt></xap:Thumbnails><dc:title>Großmutter"
    "</dc:title></rdf:Description></rdf:RDF></x:xmpmeta>"
).encode()
XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"
IPTC = b"\x1c\x02\x05\x00\x09Our house"
SUFFIXES = (".jpg", ".png", ".tif", ".webp", ".avif")


def chunk(kind, body):
    return struct.pack(">I4s", len(body), kind) + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with(array, *chunks):
    """A PNG file of the array with these chunks behind the header."""
    buffer = io.BytesIO()
    Image.fromarray(array if array.shape[2] > 1 else array[..., 0]).save(buffer, "PNG")
    data = buffer.getvalue()
    return data[:33] + b"".join(chunk(*one) for one in chunks) + data[33:]


def jpeg_with(*segments):
    """A JPEG file with these segments (marker, body) behind the header."""
    buffer = io.BytesIO()
    Image.fromarray(photo()).save(buffer, "JPEG")
    data = buffer.getvalue()
    parts = [struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments]
    return data[:20] + b"".join(parts) + data[20:]


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


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp", ".webp", ".avif"])
@pytest.mark.parametrize("dpi", [(300.0, 300.0), (300.0, 150.0), (72.0, 72.0)])
def test_density_is_kept_by_every_format(tmp_path, suffix, dpi):
    write(Picture(photo(), dpi=dpi), tmp_path / f"a{suffix}")
    again = read(tmp_path / f"a{suffix}")
    assert again.dpi == pytest.approx(dpi, rel=1e-3)
    with Image.open(tmp_path / f"a{suffix}") as image:
        if suffix not in (".webp", ".avif"):  # Pillow does not look into EXIF there
            assert image.info["dpi"] == pytest.approx(dpi, rel=1e-3)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp", ".webp", ".avif"])
def test_density_is_invented_by_none(tmp_path, suffix):
    write(Picture(photo()), tmp_path / f"a{suffix}")
    assert read(tmp_path / f"a{suffix}").dpi is None
    with Image.open(tmp_path / f"a{suffix}") as image:
        assert image.info.get("dpi", (0, 0)) == (0, 0)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("order", "<>")
def test_density_goes_along_beside_exif_that_says_none_or_another(tmp_path, suffix, order):
    block = exif_block(order)  # without a density
    other = with_resolution(exif_block(order), (72, 72))
    for given in (block, other):
        write(Picture(photo(), exif=given, dpi=(300, 150)), tmp_path / f"a{suffix}", overwrite=True)
        again = read(tmp_path / f"a{suffix}")
        assert again.dpi == pytest.approx((300, 150), rel=1e-4)
        main, exif, gps, thumbnail = exif_fields(again.exif)
        if suffix != ".tif":  # which has its own
            assert (main[0x011A], main[0x011B], main[0x0128]) == (300, 150, 2)
        before = exif_fields(exif_block(order, thumbnail=False))
        assert main[0x0132] == before[0][0x0132]
        assert exif[0x927C] == before[1][0x927C]
        assert (gps, thumbnail) == (before[2], {})


@pytest.mark.parametrize("pixels_per_metre", [1, 0xFFFFFFFF])
def test_a_density_that_cannot_be_meant_is_none(pixels_per_metre):
    chunk = b"pHYs", struct.pack(">IIB", pixels_per_metre, pixels_per_metre, 1)
    assert read(png_with(photo(), chunk)).dpi is None


@pytest.mark.parametrize("unit", [(2, 2, b"2\0\0\0"), (3, 0, b"\2\0\0\0")])
def test_a_unit_that_is_no_number_gives_no_density(unit):
    fields = [(0x011A, 5, 1, struct.pack("<I", 50)), (0x011B, 5, 1, struct.pack("<I", 50))]
    records = [struct.pack("<HHI4s", *field) for field in [*fields, (0x0128, *unit)]]
    block = b"II*\0\x08\0\0\0\3\0" + b"".join(records) + bytes(4) + struct.pack("<II", 300, 1)
    assert read(jpeg_with((0xE1, b"Exif\0\0" + block))).dpi is None


def test_density_turns_with_the_picture(tmp_path):
    block = exif_block(orientation=6)
    Image.fromarray(photo()).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + block, dpi=(300, 150))
    assert read(tmp_path / "a.jpg").dpi == (150, 300)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_xmp_is_kept_and_corrected(tmp_path, suffix):
    write(Picture(photo(), xmp=XMP), tmp_path / f"a{suffix}")
    picture = read(tmp_path / f"a{suffix}")
    text = picture.xmp.decode()
    assert "<dc:title>Großmutter</dc:title>" in text
    assert 'tiff:Orientation="1"' in text
    assert f'tiff:ImageWidth="{picture.width}"' in text
    assert f"<tiff:ImageLength>{picture.height}</tiff:ImageLength>" in text
    assert "old picture" not in text
    with Image.open(tmp_path / f"a{suffix}") as image:
        image.load()
        xmp = image.info["XML:com.adobe.xmp"].encode() if suffix == ".png" else image.info["xmp"]
        assert xmp == picture.xmp


def test_what_a_segment_of_jpeg_cannot_hold_is_left_out_with_a_note(tmp_path):
    large = XMP.replace(b"old picture", b"") + b" " * 65400
    notes = write(Picture(photo(), xmp=large, iptc=IPTC * 8000), tmp_path / "a.jpg")
    assert [note.split(":")[0] for note in notes] == ["XMP left out", "IPTC left out"]
    for suffix in (".png", ".tif", ".webp", ".avif"):
        write(Picture(photo(), xmp=large), tmp_path / f"a{suffix}")
        assert len(read(tmp_path / f"a{suffix}").xmp) > 65000


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-16-le", "utf-32"])
def test_xmp_of_any_encoding_becomes_utf_8(encoding):
    text = '<?xml version="1.0" encoding="UTF-16"?>' + XMP.decode()
    picture = read(jpeg_with((0xE1, XMP_HEAD + text.encode(encoding))))
    assert picture.xmp.startswith(b'<?xml version="1.0"?><x:xmpmeta')
    assert "<dc:title>Großmutter</dc:title>" in picture.xmp.decode()
    assert b'tiff:Orientation="1"' in picture.xmp


def test_xmp_that_is_no_text_is_left_out_with_a_note():
    picture = read(jpeg_with((0xE1, XMP_HEAD + XMP.decode().encode("latin-1"))))
    assert (picture.xmp, picture.notes) == (None, ("its XMP is damaged and left out",))


def resource(number, body, name=b"", sign=b"8BIM"):
    name = bytes([len(name)]) + name
    name += bytes(len(name) % 2)
    head = sign + struct.pack(">H", number) + name + struct.pack(">I", len(body))
    return head + body + bytes(len(body) % 2)


def test_iptc_is_found_among_other_resources_and_over_several_segments():
    before = resource(0x03ED, bytes(15), b"ab") + resource(0x03E8, b"x", sign=b"PHUT")
    long = IPTC * 6000
    for records in (IPTC, long):
        whole = before + resource(0x0404, records) + resource(0x040C, bytes(31))
        parts = [whole[at : at + 60000] for at in range(0, len(whole), 60000)]
        segments = [(0xED, b"Photoshop 3.0\0" + part) for part in parts]
        assert read(jpeg_with((0xED, b"Adobe_CM\0"), *segments)).iptc == records
    tag = (34377, "B", len(before + resource(0x0404, IPTC)), before + resource(0x0404, IPTC), True)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, photo(), photometric="rgb", extratags=[tag])
    assert read(buffer.getvalue()).iptc == IPTC


def raw_profile(name, data):
    words = f"\n{name}\n{len(data):8}\n{data.hex()}\n"
    return b"zTXt", f"Raw profile type {name}".encode() + b"\0\0" + zlib.compress(words.encode())


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("raw", [False, True])
def test_png_holds_exif_in_a_chunk_anywhere_or_in_a_text(raw, late):
    block = exif_block(orientation=6)
    one = raw_profile("exif", b"Exif\0\0" + block) if raw else (b"eXIf", block)
    data = png_with(photo()) if late else png_with(photo(), one)
    picture = read(data[:-12] + chunk(*one) + data[-12:] if late else data)
    assert np.array_equal(np.rot90(picture.pixels), photo())
    assert exif_fields(picture.exif)[0][0x0132] == "2020:01:02 03:04:05"
    assert picture.text == ()


def test_png_holds_iptc_and_xmp_in_texts_of_other_programs():
    iptc = raw_profile("iptc", resource(0x0404, IPTC))
    picture = read(png_with(photo(), iptc, raw_profile("xmp", XMP), raw_profile("icc", b"abc")))
    assert (picture.iptc, picture.text) == (IPTC, ())
    assert "Großmutter" in picture.xmp.decode()


def test_comments_of_jpeg_are_utf_8_or_latin_1(tmp_path):
    comments = ["Grüße".encode(), "Grüße".encode("latin-1"), b"", b"one\0two\0"]
    picture = read(jpeg_with(*((0xFE, comment) for comment in comments)))
    assert [words for _, words in picture.text] == ["Grüße", "Grüße", "one two"]
    long = Picture(photo(), text=(("Comment", "x" * 65534),))
    assert write(long, tmp_path / "a.jpg") == [
        "a text left out: it is too long for a comment of JPEG"
    ]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_iptc_is_kept_where_there_is_a_place(tmp_path, suffix):
    notes = write(Picture(photo(), iptc=IPTC), tmp_path / f"a{suffix}")
    again = read(tmp_path / f"a{suffix}")
    if suffix in (".jpg", ".tif"):
        assert notes == []
        assert again.iptc.rstrip(b"\0") == IPTC
    else:
        assert "IPTC left out" in notes[0]
    if suffix == ".jpg":
        from PIL import IptcImagePlugin

        with Image.open(tmp_path / "a.jpg") as image:
            assert IptcImagePlugin.getiptcinfo(image) == {(2, 5): b"Our house"}


def test_texts_of_png_are_kept(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a prompt, steps: 20")
    info.add_text("Comment", "compressed " * 100, zip=True)
    info.add_itxt("Title", "Großmutter 祖母", zip=True)
    info.add_itxt("Raw profile type exif", "00ff")
    Image.fromarray(photo()).save(tmp_path / "a.png", pnginfo=info)
    picture = read(tmp_path / "a.png")
    assert write(picture, tmp_path / "b.png") == []
    with Image.open(tmp_path / "b.png") as image:
        assert image.text == {
            "parameters": "a prompt, steps: 20",
            "Comment": "compressed " * 100,
            "Title": "Großmutter 祖母",
        }
    assert write(picture, tmp_path / "b.jpg") == ["2 texts left out: JPEG has no place for it"]
    assert read(tmp_path / "b.jpg").text == (("Comment", "compressed " * 100),)


def test_a_text_that_unpacks_to_gigabytes_is_left_out():
    bomb = b"bomb\0\0" + zlib.compress(bytes(64 << 20))
    picture = read(png_with(photo(), (b"zTXt", bomb), (b"tEXt", b"a\0small")))
    assert picture.text == (("a", "small"),)


def test_one_bad_field_costs_only_itself(tmp_path):
    """Fields whose values reach beyond the end, a pointer to nowhere, a size that is a text."""
    block = bytearray(exif_block(orientation=6))
    main = struct.unpack_from("<H", block, 8)[0]
    for at in range(10, 10 + 12 * main, 12):
        tag = struct.unpack_from("<H", block, at)[0]
        if tag == 0x010F:
            struct.pack_into("<I", block, at + 8, 1 << 30)  # the maker's name
        if tag == 0x8825:
            struct.pack_into("<I", block, at + 8, 1 << 20)  # where GPS lies
    Image.fromarray(photo()).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + bytes(block))
    picture = read(tmp_path / "a.jpg")
    assert picture.notes == ()
    before = exif_fields(exif_block(orientation=1, width=56, height=40, thumbnail=False))
    main_fields, exif, _, thumbnail = exif_fields(picture.exif)
    assert main_fields == {tag: value for tag, value in before[0].items() if tag != 0x010F}
    assert exif[0x9286] == before[1][0x9286]
    assert thumbnail == {}
    for suffix in SUFFIXES:
        write(picture, tmp_path / f"b{suffix}")
        again = read(tmp_path / f"b{suffix}").exif
        assert exif_fields(again)[0][0x0132] == before[0][0x0132]


@pytest.mark.parametrize("big", [False, True])
def test_tiff_fields_survive_duplicates_and_odd_order(tmp_path, big):
    tags = [
        (0x8298, "s", 0, "The rights", True),
        (0x010E, "s", 0, "another description", True),
        (0x013B, "s", 0, "An artist", True),
    ]
    tifffile.imwrite(
        tmp_path / "a.tif",
        photo(),
        photometric="rgb",
        description="The first",
        extratags=tags,
        bigtiff=big,
        resolution=(300, 300),
        resolutionunit="INCH",
    )
    picture = read(tmp_path / "a.tif")
    assert picture.dpi == (300, 300)
    for suffix in SUFFIXES:
        write(picture, tmp_path / f"b{suffix}")
        again = read(tmp_path / f"b{suffix}")
        fields = exif_fields(again.exif)[0]
        assert (fields[0x010E], fields[0x013B], fields[0x8298]) == (
            "The first",
            "An artist",
            "The rights",
        )


def test_gain_maps_are_left_out_with_a_note():
    buffer = io.BytesIO()
    Image.fromarray(photo()).save(buffer, "JPEG")
    data = buffer.getvalue()
    mark = b"urn:iso:std:iso:ts:21496:-1\0" + bytes(4)
    segment = struct.pack(">HH", 0xFFE2, len(mark) + 2) + mark
    picture = read(data[:2] + segment + data[2:] + data)
    assert picture.notes == ("its gain map for HDR screens is left out",)
    mpf = struct.pack(">HH", 0xFFE2, 10) + b"MPF\0MM\0*"
    assert read(data[:2] + mpf + data[2:] + data).notes == (
        "further pictures in the file are left out",
    )


def test_a_result_announces_no_gain_map(tmp_path):
    packet = b'<rdf:Description xmlns:h="http://ns.adobe.com/hdr-gain-map/1.0/" h:Version="1.0"/>'
    picture = read(jpeg_with((0xE1, XMP_HEAD + packet)))
    assert picture.notes == ("its gain map for HDR screens is left out",)
    for suffix in SUFFIXES:
        write(picture, tmp_path / f"a{suffix}")
        assert read(tmp_path / f"a{suffix}").notes == ()


def test_what_stands_behind_a_jpeg_or_beside_its_xmp_is_left_out_with_a_note():
    packet = (
        b'<rdf:Description xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" '
        b'xmlns:n="http://ns.adobe.com/xmp/note/" GCamera:MotionPhoto="1" n:HasExtendedXMP="00"/>'
    )
    more = b"http://ns.adobe.com/xmp/extension/\0" + bytes(40)
    picture = read(jpeg_with((0xE1, XMP_HEAD + packet), (0xE1, more)) + b"\0\0\0\x18ftypmp42")
    assert picture.notes == (
        "a part of its XMP, too long for one segment, is left out",
        "the video behind it is left out",
    )
    assert b"Motion" not in picture.xmp
    assert b"Extended" not in picture.xmp


def test_xmp_that_announces_a_gain_map_no_longer_does():
    from iln.images import xmp

    packet = (
        b'<rdf:Description xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" '
        b'xmlns:C="http://ns.google.com/photos/1.0/container/" hdrgm:Version="1.0">'
        b"<C:Directory><rdf:Seq/></C:Directory><a/></rdf:Description>"
    )
    left = xmp.upright(packet, 10, 10)
    assert b"Version" not in left
    assert left.endswith(b"><a/></rdf:Description>")


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
    body = b"cICP" + bytes([12, 13, 0, 1])  # Display P3
    chunk = struct.pack(">I", 4) + body + struct.pack(">I", zlib.crc32(body))
    found = read(data[:33] + chunk + data[33:])
    assert found.icc is None and "its colours are turned to sRGB" in found.notes
    assert found.pixels[0, 0, 0] > 200 > found.pixels[0, 0, 1]


def test_names_of_document_page_and_computer_are_kept_in_tiff() -> None:
    said = {0x010D: "an album", 0x011D: "page 3", 0x013C: "a phone"}
    exif = Image.Exif()
    for tag, words in said.items():
        exif[tag] = words
    for kind in ("TIFF", "JPEG"):
        file = io.BytesIO()
        Image.new("RGB", (8, 8)).save(file, kind, exif=exif)
        parts, notes = encode(read(file.getvalue()), ".tif")
        assert not notes
        kept = Image.open(io.BytesIO(b"".join(parts))).getexif()
        assert {tag: kept.get(tag) for tag in said} == said


@pytest.mark.parametrize(
    "unit",
    [b"<?xml ", b"<xmp:Thumbnails>", b"<tiff:Orientation ", b' tiff:Orientation="', b"<?xml a "],
)
def test_a_packet_that_is_made_to_be_slow_is_not(unit: bytes) -> None:
    spaces = b'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
    started = time.process_time()
    assert upright(b"<x " + spaces + b">" + unit * (2_000_000 // len(unit)), 4, 4) is not None
    assert upright(unit * (2_000_000 // len(unit)), 4, 4) is not None
    assert time.process_time() - started < 5  # of quadratic time it would be hours


def test_thumbnails_are_taken_out_however_many() -> None:
    text = (
        '<x xmlns:xmp="http://ns.adobe.com/xap/1.0/"><xmp:Thumbnails>1</xmp:Thumbnails>'
        "<b/><xmp:Thumbnails a='1'>\n<c>2</c></xmp:Thumbnails ><xmp:Thumbnails/>"
        "<xmp:Thumbnails>3</x>"
    )
    expected = '<x xmlns:xmp="http://ns.adobe.com/xap/1.0/"><b/><xmp:Thumbnails>3</x>'
    assert upright(text.encode(), 4, 4) == expected.encode()


@pytest.mark.parametrize("size", [65_505, 65_506, 65_507, 65_508])
def test_iptc_at_the_limit_of_a_segment(size: int) -> None:
    picture = Picture(np.zeros((4, 4, 3), np.uint8), iptc=b"\x1c" * size)
    parts, notes = encode(picture, ".jpg")
    assert read(b"".join(parts)).pixels.shape == (4, 4, 3)
    assert bool(notes) == (size > 65_506)


def test_xmp_of_a_program_that_is_no_text_is_left_out_with_a_note() -> None:
    picture = Picture(np.zeros((4, 4, 3), np.uint8), xmp=b"\xff\xfe\xfd")
    for suffix in (".png", ".jpg", ".tif", ".webp"):
        assert "XMP left out: it is no text" in encode(picture, suffix)[1]


def test_the_comment_of_a_gif_goes_along(tmp_path):
    data = io.BytesIO()
    Image.new("P", (20, 20)).save(data, "GIF", comment="Großmutter, 1931".encode())
    found = read(data.getvalue())
    assert found.text == (("Comment", "Großmutter, 1931"),)
    write(found, tmp_path / "a.jpg")
    assert read(tmp_path / "a.jpg").text == found.text


@pytest.mark.parametrize("transparent", [False, True])
def test_around_a_gif_that_is_smaller_than_its_screen_there_is_nothing(transparent):
    image = Image.new("P", (20, 12), 1)
    image.putpalette([0, 255, 0, 255, 0, 0])
    image.paste(0, (0, 0, 5, 5))
    data = io.BytesIO()
    image.save(data, "GIF", **({"transparency": 0} if transparent else {}))
    file = bytearray(data.getvalue())
    struct.pack_into("<HH", file, 6, 40, 30)  # the screen
    at = file.rindex(b"\x2c\0\0\0\0\x14\0\x0c\0")
    struct.pack_into("<HH", file, at + 1, 3, 4)
    expected = np.zeros((30, 40), np.uint8)
    expected[4:16, 3:23] = 255
    if transparent:
        expected[4:9, 3:8] = 0
    picture = read(bytes(file))
    assert np.array_equal(picture.alpha, expected)
    assert tuple(picture.pixels[15, 22]) == (255, 0, 0)


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


def test_files_that_are_made_to_be_slow_are_not() -> None:
    """Each would take minutes or gigabytes."""
    started = time.process_time()
    with pytest.raises(InputError):
        read(b"<!---->" * 5000 + b" hello")
    record = struct.pack("<HHQQ", 0x010F, 2, 1000, 10**6)
    block = b"II+\0" + struct.pack("<HHQ", 8, 0, 16) + struct.pack("<Q", 1) + record + bytes(8)
    with pytest.raises(ValueError, match="BigTIFF"):
        exif_upright(block, 4, 4)
    count = 5000
    pointer = struct.pack("<HHII", 0x8769, 4, 1, 8)
    block = b"II*\0" + struct.pack("<IH", 8, count) + pointer * count + bytes(4)
    assert exif_upright(block, 4, 4)
    text = '<x xmlns:h="http://ns.adobe.com/hdr-gain-map/1.0/">' + "".join(
        f"<h:a{n}>" for n in range(100_000)
    )
    assert upright(text.encode(), 4, 4) is not None
    segment = b"Photoshop 3.0\0" + bytes(200)
    piece = b"\xff\xed" + struct.pack(">H", len(segment) + 2) + segment
    plain = io.BytesIO()
    Image.new("RGB", (8, 8)).save(plain, "JPEG")
    data = plain.getvalue()
    assert read(data[:2] + piece * 40_000 + data[2:]).pixels.shape == (8, 8, 3)
    records = 60_000
    overlapping = b"".join(struct.pack("<HI", records, 8 + 4 * (n + 1)) for n in range(40))
    with pytest.raises(InputError):
        read(b"II*\0" + struct.pack("<I", 8) + overlapping + bytes(12 * records + 400))
    assert time.process_time() - started < 10


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
    chunk = b"iCCPa\0\0" + zlib.compress(profile)
    plain = io.BytesIO()
    Image.fromarray(photo()).save(plain, "PNG")
    raw = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    found = read(plain.getvalue()[:33] + raw + plain.getvalue()[33:])
    assert (found.icc, found.notes) == (profile, ())
    short = chunk[:200]
    cut = struct.pack(">I", len(short) - 4) + short + struct.pack(">I", zlib.crc32(short))
    found = read(plain.getvalue()[:33] + cut + plain.getvalue()[33:])
    assert found.icc is None
    assert found.notes == ("its colour profile does not fit its pixels and is left out",)


def test_what_png_says_of_colours_counts_once_and_before_the_pixels():
    plain = io.BytesIO()
    Image.fromarray(photo()).save(plain, "PNG")
    data = plain.getvalue()

    def gamma(value):
        chunk = b"gAMA" + struct.pack(">I", value)
        return struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk))

    end = data.index(b"IEND") - 4
    assert read(data[:end] + gamma(100_000) + data[end:]).notes == ()
    assert read(data[:33] + gamma(45_455) + gamma(100_000) + data[33:]).notes == ()
    turned = read(data[:33] + gamma(100_000) + gamma(45_455) + data[33:])
    assert turned.notes == ("its colours are turned to sRGB",)


def test_what_a_gif_holds_besides_is_left_out_with_a_note():
    data = io.BytesIO()
    Image.new("P", (20, 20)).save(data, "GIF")
    whole = data.getvalue()
    at = whole.index(b"\x2c\0\0\0\0")
    packet = b"\x21\xff\x0bXMP DataXMP<x/>" + bytes([1, *range(255, -1, -1), 0])
    profile = b"\x21\xff\x0bICCRGBG1012\x03abc\0"
    found = read(whole[:at] + packet + profile + whole[at:])
    assert found.notes == ("its XMP is left out", "its colour profile is left out")
