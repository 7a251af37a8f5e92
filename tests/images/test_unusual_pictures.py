"""Pictures of unusual kinds, and damaged ones that decoders take for whole."""

import io
import re
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image
from samples import photo

from iln.errors import InputError
from iln.images import read

HERE = Path(__file__).parent


def encoded(array, form="JPEG", **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, form, **options)
    return buffer.getvalue()


def tiff(array, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def refusal(data, **options):
    with pytest.raises(InputError) as raised:
        read(data, **options)
    return str(raised.value).removeprefix("the picture: ")


def large(channels=3, seed=0):
    noise = np.random.default_rng(seed).integers(0, 64, (96, 128, channels))
    smooth = np.linspace(0, 190, 128)[None, :, None]
    return (smooth + noise).astype(np.uint8)


@pytest.mark.parametrize("predictor", [False, True])
@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_tile_that_cannot_be_decoded_is_no_black_area(predictor, place):
    data = bytearray(
        tiff(large(), photometric="rgb", tile=(32, 32), compression="zlib", predictor=predictor)
    )
    at = int(len(data) * place)
    data[at : at + 40] = bytes(range(100, 140))
    assert "is damaged or cut off (" in refusal(bytes(data))
    picture = read(bytes(data), allow_damaged=True)
    assert picture.pixels.shape == (96, 128, 3)
    assert picture.notes[0].startswith("is damaged, look at the result (")


@pytest.mark.parametrize("compression", ["jpeg", "group4"])
@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_what_a_decoder_inside_of_tiff_warns_of_is_damage(compression, place):
    image = Image.fromarray(large())
    image = image.convert("1") if compression == "group4" else image
    buffer = io.BytesIO()
    image.save(buffer, "TIFF", compression=compression)
    assert read(buffer.getvalue()).notes == ()
    data = bytearray(buffer.getvalue())
    at = int(len(data) * place)
    data[at : at + 40] = bytes(range(100, 140))
    assert "is damaged or cut off (" in refusal(bytes(data))
    assert "is damaged, look" in read(bytes(data), allow_damaged=True).notes[0]


def test_healthy_tiles_are_read_beside_damaged_ones():
    """What libvips says of one file is not taken for another's."""
    from concurrent.futures import ThreadPoolExecutor

    whole = tiff(large(), photometric="rgb", tile=(32, 32), compression="zlib")
    broken = bytearray(whole)
    broken[8000:8400] = b"\xff" * 400

    def outcome(i):
        try:
            return read(whole if i % 2 else bytes(broken)).notes
        except InputError:
            return "refused"

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(outcome, range(640))) == ["refused", ()] * 320


def test_a_jpeg_whose_code_words_lost_step_is_noted():
    """Each of them is valid, so that a decoder has nothing to say."""
    data = bytearray(encoded(large(), quality=80))
    noted = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        damaged = data[:]
        damaged[2000:2030] = rng.integers(0, 255, 30, dtype=np.uint8).tobytes()
        picture = read(bytes(damaged))
        noted += any("is damaged, look at the result" in note for note in picture.notes)
    assert noted >= 4  # the others found back into step at the same number of blocks


@pytest.mark.parametrize("quality", [5, 50, 95])
@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("name", ["white", "black", "gradient", "noise", "gray"])
def test_a_healthy_jpeg_is_not_taken_for_damaged(name, subsampling, quality):
    array = {
        "white": np.full((70, 90, 3), 255, np.uint8),
        "black": np.zeros((16, 16, 3), np.uint8),
        "gradient": np.tile(np.arange(200, dtype=np.uint8)[None, :, None], (100, 1, 3)),
        "noise": large(),
        "gray": large(1)[..., 0],
    }[name]
    for options in ({}, {"progressive": True}, {"restart_marker_blocks": 2}):
        data = encoded(array, quality=quality, subsampling=subsampling, **options)
        assert read(data).notes == ()
        padded = data[:-2] + b"\xff" * 7 + data[-2:]
        assert read(padded).notes == ()


def test_padding_before_the_scan_hides_no_damage():
    """libjpeg warns once, of whatever comes first."""
    data = encoded(large(), quality=85, restart_marker_rows=1)
    padded = data[:20] + b"\0\0\0" + data[20:]
    assert read(padded).notes == () and np.array_equal(read(padded).pixels, read(data).pixels)
    first, second = data.index(b"\xff\xd1"), data.index(b"\xff\xd2")
    hole = data[:first] + data[second:]
    for damaged in (hole, hole[:20] + b"\0\0\0" + hole[20:]):
        assert any("is damaged, look at the result" in note for note in read(damaged).notes)


def test_very_many_fillers_before_a_marker_cost_little():
    data = encoded(photo())
    started = time.process_time()
    picture = read(data[:2] + b"\xff" * 10_000_000 + data[2:])
    assert time.process_time() - started < 3
    assert np.array_equal(picture.pixels, read(data).pixels)


def test_a_lost_marker_to_start_again_is_damage_and_padding_after_scans_is_none():
    data = encoded(large(), quality=85, restart_marker_rows=1)
    first = data.index(b"\xff\xd1")
    (note,) = read(data[:first] + data[first + 2 :]).notes
    assert "extraneous bytes before marker 0xd2" in note
    progressive = encoded(large(), progressive=True)
    second = progressive.index(b"\xff\xda", progressive.index(b"\xff\xda") + 1)
    table = progressive.rindex(b"\xff\xc4", 0, second)
    for pad in (b"\0" * 9, b"\xff" * 9):
        assert read(progressive[:table] + pad + progressive[table:]).notes == ()
    odd = progressive[:table] + b"\x12\x34\x56\x78" + progressive[table:]
    assert any("is damaged" in note for note in read(odd).notes)


def test_a_progressive_jpeg_may_be_cut_off_anywhere():
    data = encoded(large(), progressive=True, quality=95)
    whole, worst = read(data).pixels.astype(int), 0.0
    for end in range(data.index(b"\xff\xda") + 400, len(data) - 1, 61):
        picture = read(data[:end], allow_damaged=True)
        assert "is damaged, look at the result" in picture.notes[0]
        worst = max(worst, np.abs(picture.pixels - whole).mean())
    assert worst < 30
    tables = [m.start() for m in re.finditer(b"\xff\xc4", data)][-3:]
    for start in tables:
        for end in range(start, start + 6):
            assert "is damaged" in read(data[:end], allow_damaged=True).notes[0]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF"])
def test_what_a_viewer_would_show_is_taken_where_asked(form):
    data = encoded(large(), form)
    cut = data[: len(data) * 2 // 3]
    assert "--allow-damaged" in refusal(cut)
    picture = read(cut, allow_damaged=True)
    assert np.array_equal(picture.pixels[:20], read(data).pixels[:20])
    assert "is damaged" in picture.notes[0]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "interlaced", "WEBP", "BMP", "PPM"])
def test_allow_damaged_is_named_only_where_it_helps(form):
    if form == "interlaced":
        data = pyvips.Image.new_from_array(large()).write_to_buffer(".png", interlace=True)
    else:
        data = encoded(large(), form)
    cut = data[: len(data) * 2 // 3]
    helps = form in ("JPEG", "PNG", "TIFF")
    assert ("--allow-damaged" in refusal(cut)) == helps
    for nothing in (data[:25], data[:9]):
        assert "--allow-damaged" not in refusal(nothing)
    if helps:
        assert "is damaged" in read(cut, allow_damaged=True).notes[0]
    else:
        assert "--allow-damaged" not in refusal(cut, allow_damaged=True)


def test_the_last_bytes_of_a_progressive_jpeg_may_be_missing():
    data = encoded(large(), progressive=True)
    assert "premature end" in refusal(data[:-2])
    assert np.array_equal(read(data[:-2], allow_damaged=True).pixels, read(data).pixels)


@pytest.mark.parametrize("extra", ["UNSPECIFIED", None])
def test_a_fourth_channel_is_no_transparency_unless_it_says_so(extra):
    samples = {} if extra is None else {"extrasamples": [extra]}
    data = tiff(large(4), photometric="rgb", **samples)
    if extra is None:  # tifffile declares it; taken out, nothing says what the channel is
        data = data.replace(struct.pack("<HH", 0x152, 3), struct.pack("<HH", 0xFDE8, 3))
    assert "one channel more than colours" in refusal(data)
    picture = read(data, allow_damaged=True)
    assert picture.alpha is None
    assert np.array_equal(picture.pixels, large(4)[..., :3])
    assert "fourth channel is left out" in picture.notes[0]


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 3])
def test_tiff_of_12_bits_is_read_with_all_of_them(bits, order, channels):
    width, height = 51, 40
    values = np.random.default_rng(bits).integers(0, 1 << bits, (height, width * channels))
    values[0, :2] = 0, (1 << bits) - 1
    shifts = np.arange(bits)[::-1]
    rows = np.packbits((values[..., None] >> shifts & 1).reshape(height, -1).astype(np.uint8), 1)
    strips = zlib.compress(rows.tobytes())
    data = plain_tiff(width, height, [bits] * channels, strips, order, {259: 8})
    picture = read(data)
    expected = np.rint(values * (65535 / ((1 << bits) - 1))).reshape(height, width, channels)
    assert picture.pixels.dtype == np.uint16
    assert np.array_equal(picture.pixels, expected)
    inverted = read(plain_tiff(width, height, [bits] * channels, strips, order, {259: 8, 262: 0}))
    if channels == 1:
        assert np.array_equal(inverted.pixels, 65535 - expected)
    # Differences of values (predictor 2) would be added up byte by byte.
    refused = plain_tiff(width, height, [bits] * channels, strips, order, {259: 8, 317: 2})
    assert f"values of {bits} bits" in refusal(refused)
    big = plain_tiff(width, height, [bits] * channels, strips, order, {259: 8}, big=True)
    assert np.array_equal(read(big).pixels, expected)


def plain_tiff(width, height, bits, strips, order, tags, big=False):
    """A TIFF file of one strip, with these short tags on top of the usual ones."""
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    head += struct.pack(order + ("HHQ" if big else "I"), *((8, 0, 16) if big else (8,)))
    whole, counted = ("Q", "Q") if big else ("I", "H")
    room = struct.calcsize(order + whole)
    fields = {256: width, 257: height, 259: 1, 262: 1 if len(bits) == 1 else 2}
    fields |= {273: None, 277: len(bits), 278: height, 279: len(strips)} | tags
    at = len(head) + struct.calcsize(order + counted) + (4 + 2 * room) * (len(fields) + 1) + room
    body = struct.pack(order + counted, len(fields) + 1)
    shorts = struct.pack(f"{order}{len(bits)}H", *bits)
    for tag in sorted([*fields, 258]):
        if tag == 258:
            place = shorts if len(shorts) <= room else struct.pack(order + whole, at)
            body += struct.pack(order + "HH" + whole, tag, 3, len(bits)) + place.ljust(room, b"\0")
        else:
            value = at + len(shorts) if fields[tag] is None else fields[tag]
            body += struct.pack(order + "HH" + whole + "I", tag, 4, 1, value) + bytes(room - 4)
    return head + body + bytes(room) + shorts + strips


@pytest.mark.parametrize("channels", [1, 3])
def test_float_tiff_from_0_to_1_is_read(channels):
    array = np.random.default_rng(0).random((30, 40, channels), dtype=np.float32)
    squeezed = array[..., 0] if channels == 1 else array
    kind = "minisblack" if channels == 1 else "rgb"
    picture = read(tiff(squeezed, photometric=kind))
    assert np.array_equal(picture.pixels, np.rint(array * np.float32(65535)))
    for scale, expected in ((255, "values from "), (np.nan, "not numbers")):
        message = refusal(tiff(squeezed * np.float32(scale) + np.float32(0.01), photometric=kind))
        assert "holds floating-point values" in message
        assert expected in message


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({259: 50000}, "is compressed by Zstandard, which is not read here; save it as a TIFF"),
        ({259: 34887}, "is compressed by LERC"),
        ({259: 34712}, "is compressed by JPEG 2000"),
        ({259: 50002}, "is compressed by JPEG XL"),
        ({262: 8}, "holds its colours as CIELAB"),
        ({259: 34933}, "is compressed in an unusual way (34933)"),
        ({262: 4}, "holds a mask alone"),
        ({262: 32803}, "is a raw file of a camera; develop it"),
        ({0xC612: 1}, "is a raw file of a camera"),
        ({259: 34713}, "is a raw file of a camera"),
        ({259: 65535}, "is a raw file of a camera"),
    ],
)
def test_an_unusual_tiff_is_named_and_not_blamed(tags, expected):
    array = photo()
    data = plain_tiff(array.shape[1], array.shape[0], [8] * 3, array.tobytes(), "<", tags)
    for allow in (False, True):
        message = refusal(data, allow_damaged=allow)
        assert expected in message
        assert "damaged" not in message


@pytest.mark.parametrize(
    ("array", "options", "expected"),
    [
        (np.zeros((9, 10, 3)), {}, "holds values of 64 bits"),
        (np.zeros((9, 10, 3), np.complex64), {}, "holds values of 64 bits"),
        (
            np.zeros((3, 32, 32), np.uint8),
            {"planarconfig": "separate", "tile": (16, 16)},
            "holds its colours apart, in tiles",
        ),
    ],
)
def test_layouts_of_tiff_that_are_not_read_are_named(array, options, expected):
    message = refusal(tiff(array, photometric="rgb", **options))
    assert message.startswith(f"{expected}, which is not read here; save it as a TIFF of 8 or 16")


@pytest.mark.parametrize("tile", [None, (16, 16)])
@pytest.mark.parametrize("field", [(274, 0), (274, 9), (274, 255), (296, 9)])
def test_fields_that_say_nothing_of_the_pixels_cost_none(field, tile):
    array = photo()
    tag, value = field
    data = tiff(array, photometric="rgb", tile=tile, extratags=[(tag, 3, 1, value, True)])
    if tag == 296:  # tifffile writes its own unit
        data = plain_tiff(array.shape[1], array.shape[0], [8] * 3, array.tobytes(), "<", {296: 9})
    found = read(data)
    assert np.array_equal(found.pixels, array) and found.notes == ()


def test_a_field_of_an_unknown_type_is_passed_over():
    array = photo()
    data = plain_tiff(array.shape[1], array.shape[0], [8] * 3, array.tobytes(), "<", {65001: 5})
    record = struct.pack("<HH", 65001, 4)
    assert data.count(record) == 1
    found = read(data.replace(record, struct.pack("<HH", 65001, 99)))
    assert np.array_equal(found.pixels, array) and found.notes == ()


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_colours_that_would_be_taken_for_rgb_are_refused(compression):
    luma = {"photometric": "ycbcr", "subsampling": (1, 1), "compression": compression}
    message = refusal(tiff(np.full((16, 16, 3), 99, np.uint8), **luma))
    assert message.startswith("holds its colours as YCbCr, not in JPEG, which is not read here")


def test_floats_that_count_from_white():
    array = np.random.default_rng(0).random((30, 40), dtype=np.float32)
    expected = np.rint((1 - array) * np.float32(65535))
    assert np.array_equal(read(tiff(array, photometric="miniswhite")).pixels[..., 0], expected)
    both = np.dstack((array, array))
    picture = read(tiff(both, photometric="miniswhite", extrasamples=["unassalpha"]))
    assert np.array_equal(picture.pixels[..., 0], expected)
    assert np.array_equal(picture.alpha, np.rint(array * np.float32(65535)))


@pytest.mark.parametrize(
    ("kind", "channels", "expected"),
    [
        ("separated", 4, "holds floating-point values of photometric interpretation 5"),
        ("icclab", 3, "holds its colours as ICC Lab"),
    ],
)
def test_floats_of_other_colours_are_refused(kind, channels, expected):
    message = refusal(tiff(np.zeros((16, 16, channels), np.float32), photometric=kind))
    assert message.startswith(f"{expected}, which is not read here")


def test_a_reduced_first_page_is_not_taken_for_the_picture():
    array = large()
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(array[::4, ::4], photometric="rgb", subfiletype=1)
        writer.write(array, photometric="rgb", description="the picture")
    assert np.array_equal(read(buffer.getvalue()).pixels, array)
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(array[::4, ::4], photometric="rgb", subfiletype=1, subifds=1)
        writer.write(array, photometric="rgb")
    assert "holds only a reduced copy" in refusal(buffer.getvalue())


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_ppm_and_pgm_are_read(bits, channels):
    array = photo(channels=channels, dtype=np.uint8 if bits == 8 else np.uint16)
    full = (1 << bits) - 1
    head = b"P%d\n# a comment\n%d %d\n%d\n" % (
        5 if channels == 1 else 6,
        array.shape[1],
        array.shape[0],
        full,
    )
    picture = read(head + array.astype(">u2" if bits == 16 else np.uint8).tobytes())
    assert np.array_equal(picture.pixels, array)
    assert picture.pixels.dtype == array.dtype
    assert "damaged or cut off" in refusal(head + bytes(10))


def test_ascii_and_bitmap_pnm_are_read():
    assert read(b"P2\n2 1\n255\n0 200\n").pixels.tolist() == [[[0], [200]]]
    assert read(b"P1\n2 1\n1 0\n").pixels.tolist() == [[[0], [255]]]
    deep = read(b"P2\n3 1 # a comment\n65535\n0 300\n# another\n65535\n").pixels
    assert (deep.dtype, deep.tolist()) == (np.uint16, [[[0], [300], [65535]]])
    colours = read(b"P3 1 1 1000 0 500 2000").pixels
    assert (colours.dtype, colours.tolist()) == (np.uint16, [[[0, 32768, 65535]]])
    large = read(b"P2 1 1 300\v99999999999999999999999999 7").pixels
    assert large.tolist() == [[[65535]]]


@pytest.mark.parametrize("rest", [b"", b" \n", b"0 300\n", b"0 300 x\n", b"0 300 -7", b"0 300 7x"])
def test_plain_pnm_without_all_its_numbers(rest):
    assert "damaged or cut off" in refusal(b"P2\n3 1\n65535\n" + rest)
    assert "damaged or cut off" in refusal(b"P2\n1 1\n65535\n" + rest.replace(b"0 300", b""))


def segment_changed(data, marker, offset, value):
    at = data.index(bytes([0xFF, marker]))
    return data[: at + offset] + bytes([value]) + data[at + offset + 1 :]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (segment_changed(encoded(photo()), 0xC0, 4, 12), "is a JPEG of 12 bits"),
        (segment_changed(encoded(photo()), 0xC0, 1, 0xC3), "is a lossless JPEG"),
        (segment_changed(encoded(photo()), 0xC0, 1, 0xC9), "is a JPEG with arithmetic coding"),
        (b'<?xml version="1.0"?>\n<!-- x -->\n<svg xmlns="x"/>', "is an SVG drawing; export it"),
        (b"qoif" + bytes(20), "is a QOI picture; convert it"),
        (b"DDS |" + bytes(200), "is a DDS texture"),
        (b"\0\0\1\0\1\0" + bytes(200), "is an icon"),
        (b"\0\0\2\0" + bytes(8) + struct.pack("<HHBB", 64, 48, 24, 32), "is a TGA picture"),
        (b"\0\1\3\0" * 30 + b"TRUEVISION-XFILE.\0", "is a TGA picture"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(20), "is a JPEG 2000 picture"),
        (b"FUJIFILMCCD-RAW 0201", "is a raw file of a camera (RAF); develop it"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "is a raw file of a camera (CR3)"),
        (b"II\x1a\0\0\0HEAPCCDR", "is a raw file of a camera (CRW); develop it"),
        (b"#?RGBE\n", "is a Radiance HDR picture"),
        (b"RIFF\0\0\0\0AVI LIST", "is a video"),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "is a video"),
        (b"\n\5\1\x08" + bytes(124), "is a PCX picture"),
        (bytes(128) + b"DICM", "is a DICOM picture"),
        (b"<?xml?><n:svg xmlns:n='x'>", "is an SVG drawing"),
        (b"<?xml?><!-- " + b"x" * 900 + b" --><svg>", "is an SVG drawing"),
        (b"\n<!DOCTYPE html><html>", "is a web page; save the picture that it shows"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS"),
        (b"hello", "is not a picture; give a JPEG"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(60), "is a raw file of a camera"),
        (b"\0\0\0\x18ftypisom\0\0\0\1isommp42", "is a video; save the frame"),
    ],
)
def test_known_kinds_are_named(content, expected):
    assert refusal(content).startswith(expected)


def test_apples_variant_of_png_is_named():
    data = encoded(photo(), "PNG")
    cgbi = struct.pack(">I", 4) + b"CgBI" + bytes(4)
    data = data[:8] + cgbi + struct.pack(">I", zlib.crc32(cgbi[4:])) + data[8:]
    assert "Apple's own variant (CgBI)" in refusal(data)


def test_bytes_and_open_files_are_read(tmp_path):
    data = encoded(photo(), "PNG")
    (tmp_path / "a.png").write_bytes(data)
    for source in (data, io.BytesIO(data)):
        assert np.array_equal(read(source).pixels, photo())
    with (tmp_path / "a.png").open("rb") as file:
        assert np.array_equal(read(file).pixels, photo())
    with (
        (tmp_path / "a.png").open(encoding="latin-1") as file,
        pytest.raises(InputError, match=re.escape(f"{tmp_path}/a.png: is open for text")),
    ):
        read(file)


def test_heic_is_read_upright_at_its_depth():
    pytest.importorskip("pi_heif", reason="pi-heif is not installed")
    from samples import exif_fields

    picture = read(HERE / "phone.heic")  # of photo(48, 64), declared to be turned
    assert np.abs(np.rot90(photo(48, 64), -1).astype(int) - picture.pixels).mean() < 1
    main = exif_fields(picture.exif)[0]
    assert (main[0x0112], main[0x0132]) == (1, "2020:01:02 03:04:05")
    deep = read(HERE / "phone-10-bit.heic").pixels
    expected = photo(48, 64, dtype=np.uint16)
    assert deep.dtype == np.uint16
    assert np.abs(deep.astype(int) - expected).mean() < 257
    assert np.array_equal(deep & 63, deep >> 10)  # so that white is white


def test_heic_and_jpeg_xl_are_read_with_the_extra(monkeypatch):
    pylibjxl = pytest.importorskip("pylibjxl", reason="pylibjxl is not installed")
    from samples import SRGB, exif_block, exif_fields

    data = pylibjxl.encode(photo(), lossless=True, exif=exif_block(orientation=1), icc=SRGB)
    picture = read(data)
    assert np.array_equal(picture.pixels, photo())
    assert exif_fields(picture.exif)[0][0x0132] == "2020:01:02 03:04:05"
    for name in ("pylibjxl", "pi_heif"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    assert re.match(r"is a JPEG XL picture: .* pip install 'iln\[phone\]'", refusal(data))
    heic = b"\0\0\0\x18ftypheic\0\0\0\0heicmif1"
    assert re.match(r"is a HEIC picture: .* pip install 'iln\[phone\]'", refusal(heic))


def bmp(array, bits, masks, down=False):
    """Of 16 or 32 bits, with a mask for each of three or four channels."""
    height, width, channels = array.shape
    words = np.zeros((height, width), np.uint64)
    for channel, mask in enumerate(masks):
        shift = (mask & -mask).bit_length() - 1
        words |= array[..., channel].astype(np.uint64) << shift
    rows = words.astype("<u2" if bits == 16 else "<u4")
    rows = np.pad(rows, ((0, 0), (0, -width * bits // 8 % 4 * 8 // bits)))
    body = (rows if down else rows[::-1]).tobytes()
    high = -height if down else height
    size = 40 if channels == 3 else 56
    header = struct.pack("<IiiHHIIiiII", size, width, high, 1, bits, 3, len(body), 0, 0, 0, 0)
    header += struct.pack(f"<{channels}I", *masks)
    return (
        b"BM"
        + struct.pack("<IHHI", 14 + len(header) + len(body), 0, 0, 14 + len(header))
        + (header + body)
    )


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize(
    ("bits", "masks"),
    [
        (32, (0xFF, 0xFF00, 0xFF0000)),
        (16, (0xF00, 0xF0, 0xF)),
        (16, (0xF000, 0xF00, 0xF0, 0xF)),
        (32, (0x3FF, 0xFFC00, 0x3FF00000)),
    ],
)
def test_bmp_with_any_masks(bits, masks, down):
    full = masks[0] >> ((masks[0] & -masks[0]).bit_length() - 1)
    array = np.random.default_rng(0).integers(0, full + 1, (9, 13, len(masks)))
    found = read(bmp(array, bits, masks, down))
    most = 65535 if full > 255 else 255
    wanted = (array * most + full // 2) // full
    assert np.array_equal(found.pixels, wanted[..., :3])
    if len(masks) == 4:
        assert np.array_equal(found.alpha, wanted[..., 3])
    assert "is damaged or cut off" in refusal(bmp(array, bits, masks, down)[:-1])


def test_a_picture_inside_of_a_bmp_is_named():
    data = bytearray(bmp(np.zeros((9, 13, 3), int), 32, (0xFF, 0xFF00, 0xFF0000)))
    data[30:34] = struct.pack("<I", 5)
    assert refusal(bytes(data)) == "holds a JPEG or PNG picture inside of a BMP; save it as PNG"
