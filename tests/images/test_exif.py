"""Orientation and EXIF: turned upright, corrected in three places, and else as they were."""

import io
import struct
import time

import numpy as np
import pytest
import pyvips
from PIL import Image
from samples import exif_block, exif_fields, photo, vips

from iln.images import containers, read
from iln.images import exif as exif_blocks

pytestmark = pytest.mark.usefixtures("nothing_on_stderr")


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


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", [1, 3, 4, 6, 8, 9])
@pytest.mark.parametrize("end", [b"", bytes(4)])
def test_orientation_of_any_integer_type_counts_and_needs_no_end(order, kind, end):
    """What is written over as 1 has been applied."""
    value = struct.pack(order + {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}[kind], 6)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, 1)
    block = head + struct.pack(order + "HHI4s", 0x0112, kind, 1, value) + end
    buffer = io.BytesIO()
    Image.fromarray(photo()).save(buffer, "PNG", exif=block)
    picture = read(buffer.getvalue())
    assert np.array_equal(picture.pixels, TURNS[6](photo()))
    assert exif_fields(picture.exif)[0][0x0112] in (1, b"\1")
    assert not picture.notes


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


def test_only_one_directory_is_a_thumbnail():
    """A block of very many would be made to be slow."""
    kept, more = 4000, 4000
    at = 8 + 12 * kept + 6
    first = struct.pack("<H", kept) + struct.pack("<HHII", 0x010D, 1, 1, 0) * kept
    first += struct.pack("<I", at)
    places = [*range(at + 6, at + 6 * more, 6), 0]
    others = b"".join(struct.pack("<HI", 0, place) for place in places)
    block = b"II*\0" + struct.pack("<I", 8) + first + others
    started = time.process_time()
    edited = exif_blocks.upright(block, 4, 4)
    assert time.process_time() - started < 1
    assert len(edited) == at


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
