from io import BytesIO

import numpy as np
import pytest
from pictures import flat, waves
from PIL import Image

from iln.errors import InputError
from iln.lab.degradations import jpeg, resized


@pytest.mark.parametrize(("subsampling", "code"), [("4:2:0", 2), ("4:4:4", 0)])
@pytest.mark.parametrize("shape", [(40, 56), (17, 23), (1, 1)])
def test_colour_equals_pillow(subsampling, code, shape) -> None:
    picture = waves(*shape)
    file = BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=30, subsampling=code)
    with Image.open(file) as image:
        assert np.array_equal(jpeg(picture, 30, subsampling), np.asarray(image))


def test_gray_equals_pillow() -> None:
    picture = waves(33, 41, 1)
    file = BytesIO()
    Image.fromarray(picture[..., 0]).save(file, "JPEG", quality=10)
    with Image.open(file) as image:
        assert image.mode == "L"
        assert np.array_equal(jpeg(picture, 10)[..., 0], np.asarray(image))


def test_quality_and_subsampling_matter() -> None:
    picture = waves(64, 64)
    errors = [np.square(jpeg(picture, q) - picture.astype(float)).mean() for q in (10, 50, 95)]
    assert errors[0] > errors[1] > errors[2]
    assert not np.array_equal(jpeg(picture, 50, "4:2:0"), jpeg(picture, 50, "4:4:4"))


@pytest.mark.parametrize("origin", [(0, 0), (3, 0), (11, 5)])
def test_blocks_begin_where_a_crop_left_them(origin: tuple[int, int]) -> None:
    picture = np.rint(np.add.outer(np.linspace(20, 140, 64), np.linspace(0, 90, 64)))
    coded = jpeg(picture.astype(np.uint8)[..., None], 5, origin=origin)[..., 0].astype(float)
    assert coded.shape == picture.shape
    for axis in (0, 1):
        jumps = np.abs(np.diff(coded - picture, axis=axis)).mean(1 - axis)
        seams = np.argsort(jumps)[-5:] + 1
        assert {int(seam + origin[axis]) % 8 for seam in seams} == {0}


def test_too_large_for_the_format() -> None:
    with pytest.raises(InputError, match="65501 x 1 is too large for JPEG"):
        jpeg(flat(0, 1, 65501), 50)


@pytest.mark.parametrize("method", ["area", "bilinear", "bicubic"])
@pytest.mark.parametrize("channels", [1, 3])
def test_resizing_keeps_flat_pictures_and_the_place_of_things(method, channels) -> None:
    assert (resized(flat(77, 20, 30, channels), (13, 41), method) == 77).all()
    ramp = np.broadcast_to(np.arange(0, 240, 2, dtype=np.uint8)[:, None], (120, 120))
    small = resized(ramp[..., None], (60, 60), method)
    assert small.shape == (60, 60, 1)
    # A pixel of the small picture lies in the middle of four: no shift by half a pixel.
    inner = slice(4, -4)
    expected = ramp.reshape(60, 2, 120).mean(axis=1)[inner, :60]
    assert np.abs(small[inner, :, 0] - expected).max() <= 1


def test_area_is_the_mean() -> None:
    picture = waves(30, 40)
    blocks = picture.reshape(15, 2, 20, 2, 3).mean(axis=(1, 3))
    assert np.abs(resized(picture, (15, 20), "area") - blocks).max() <= 1
    assert np.array_equal(resized(picture, (30, 40), "area"), picture)


def test_nothing_aliases() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (90, 45))[..., None]
    for method in ("area", "bilinear", "bicubic"):
        assert resized(stripes, (30, 30), method).std() < 45
