"""Colours that BMP and TIFF describe beside the pixels: by a profile, or by numbers alone."""

import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image
from samples import SRGB, photo

from iln.images import read

SRGB_POINTS = (0.3127, 0.3290, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060)
WIDE_POINTS = (0.3127, 0.3290, 0.640, 0.330, 0.210, 0.710, 0.150, 0.060)
TAKEN_FOR_SRGB = (
    "its white point, primaries or gamma are left out: its colours are taken for sRGB's",
)


def bmp(size, *fields, behind=b""):
    """With a header of that size.

    Args:
        fields: (where in the header, form, values), as `struct` takes them.
        behind: what follows the pixels.
    """
    plain = io.BytesIO()
    Image.fromarray(photo()).save(plain, "BMP")
    body = plain.getvalue()[54:]
    header = bytearray(size)
    struct.pack_into("<IiiHHII", header, 0, size, 56, 40, 1, 24, 0, len(body))
    for place, form, *values in fields:
        struct.pack_into(form, header, place, *values)
    start = 14 + size
    whole = start + len(body) + len(behind)
    return b"BM" + struct.pack("<IHHI", whole, 0, 0, start) + header + body + behind


def bmp_with_profile(kind, profile):
    pixels = photo().size  # without padding: 56 pixels of 3 bytes a row
    return bmp(124, (56, "4s", kind), (112, "<II", 124 + pixels, len(SRGB)), behind=profile)


def bmp_of_numbers(points, gammas, *, as_xyz=True):
    """With BITMAPV4HEADER and LCS_CALIBRATED_RGB."""
    columns = np.array([(x, y, 1 - x - y) for x, y in zip(points[::2], points[1::2], strict=True)])
    ends = columns[1:]
    if as_xyz:
        ends = ends * np.linalg.solve(ends.T, columns[0] / columns[0, 1])[:, None]
    in_fixed_point = [int(v * 2**30) for v in ends.ravel()], [int(v * 2**16) for v in gammas]
    return bmp(108, (60, "<9i", *in_fixed_point[0]), (96, "<3I", *in_fixed_point[1]))


def test_the_profile_of_a_bmp_is_kept():
    found = read(bmp_with_profile(b"DEBM", SRGB))
    assert (found.pixels == photo()).all()
    assert found.icc == SRGB
    cut = read(bmp_with_profile(b"DEBM", SRGB[:-1]))
    assert cut.icc is None
    assert cut.notes == ("its colour profile is damaged and left out",)
    # sRGB, where numbers of a profile mean nothing
    assert read(bmp_with_profile(b"BGRs", SRGB)).icc is None


@pytest.mark.parametrize(
    ("points", "gammas", "as_xyz", "notes"),
    [
        (SRGB_POINTS, (2.2, 2.2, 2.2), True, ()),
        (SRGB_POINTS, (0.4545, 0.4545, 0.4545), False, ()),
        (SRGB_POINTS, (1.0, 1.0, 1.0), True, TAKEN_FOR_SRGB),
        (WIDE_POINTS, (2.2, 2.2, 2.2), True, TAKEN_FOR_SRGB),
        (WIDE_POINTS, (2.2, 2.2, 2.2), False, TAKEN_FOR_SRGB),
        (WIDE_POINTS, (0, 0, 0), True, ()),
    ],
)
def test_numbers_of_a_bmp_that_viewers_pass_over_are_told(points, gammas, as_xyz, notes):
    picture = read(bmp_of_numbers(points, gammas, as_xyz=as_xyz))
    assert np.array_equal(picture.pixels, photo())
    assert picture.notes == notes


@pytest.mark.parametrize("profile", [None, SRGB])
@pytest.mark.parametrize("points", [SRGB_POINTS, WIDE_POINTS])
def test_numbers_of_a_tiff_that_viewers_pass_over_are_told(points, profile):
    parts = [part for value in points for part in (round(value * 10_000), 10_000)]
    tags = [(318, 5, 2, parts[:4], True), (319, 5, 6, parts[4:], True)]
    data = io.BytesIO()
    tifffile.imwrite(data, photo(), photometric="rgb", extratags=tags, iccprofile=profile)
    picture = read(data.getvalue())
    assert np.array_equal(picture.pixels, photo())
    assert picture.notes == (TAKEN_FOR_SRGB if points == WIDE_POINTS and not profile else ())
