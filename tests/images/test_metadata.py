"""What stands beside the pixels: density, EXIF, XMP, IPTC, texts; and what is lost."""

import io
import struct
import time
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin
from samples import SUFFIXES, chunk, exif_block, exif_fields, photo, png_with

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


def jpeg_with(*segments):
    """A JPEG file with these segments (marker, body) behind the header."""
    buffer = io.BytesIO()
    Image.fromarray(photo()).save(buffer, "JPEG")
    data = buffer.getvalue()
    parts = [struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments]
    return data[:20] + b"".join(parts) + data[20:]


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


def test_many_prefixes_of_a_namespace_cost_little_and_all_count() -> None:
    spaces = ("adobe.com/tiff/1.0/", "adobe.com/xap/1.0/", "adobe.com/hdr-gain-map/1.0/")
    prefixes = [(f"{'abc'[n % 3]}{n}", spaces[n % 3]) for n in range(4500)]
    declared = " ".join(f'xmlns:{prefix}="http://ns.{space}"' for prefix, space in prefixes)
    packet = (
        f'<x {declared} a0:Orientation="6" o:Orientation="6" c4499:Version="1">'
        "<a4497:ImageWidth>9</a4497:ImageWidth><b1:Thumbnails>1</b1:Thumbnails></x>"
    )
    started = time.process_time()
    found = upright(packet.encode(), 4, 4)
    assert time.process_time() - started < 2
    assert found is not None
    assert found.count(b"xmlns:") == 3000
    body = b'a0:Orientation="1" o:Orientation="6"><a4497:ImageWidth>4</a4497:ImageWidth></x>'
    assert found.endswith(body)


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


def test_what_a_gif_holds_besides_is_left_out_with_a_note():
    data = io.BytesIO()
    Image.new("P", (20, 20)).save(data, "GIF")
    whole = data.getvalue()
    at = whole.index(b"\x2c\0\0\0\0")
    packet = b"\x21\xff\x0bXMP DataXMP<x/>" + bytes([1, *range(255, -1, -1), 0])
    profile = b"\x21\xff\x0bICCRGBG1012\x03abc\0"
    found = read(whole[:at] + packet + profile + whole[at:])
    assert found.notes == ("its XMP is left out", "its colour profile is left out")
