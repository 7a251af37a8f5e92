import numpy as np
import pytest

from iln.errors import InputError
from iln.images import psnr_rgb, unfade
from iln.lab.degradations import fade
from iln.lab.tasks import generator


def full_range(dtype=np.uint8) -> np.ndarray:
    """Every level of each channel, in any order: nothing is faded."""
    full = np.iinfo(dtype).max
    levels = np.linspace(0, full, 120 * 160).astype(dtype)
    return np.stack([generator(c).permutation(levels) for c in range(3)], 1).reshape(120, 160, 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_has_black_and_white_stays(dtype) -> None:
    picture = full_range(dtype)
    before = picture.copy()
    after = unfade(picture)
    assert after.dtype == dtype
    assert np.abs(after.astype(int) - picture).max() <= 0.005 * np.iinfo(dtype).max
    assert np.array_equal(picture, before)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_transparency_is_no_colour(dtype) -> None:
    picture = fade(full_range(), 1.0, generator(0))
    alpha = np.full((120, 160, 1), 100, np.uint8)
    alpha[:, 80:] = 180
    picture, alpha = (a if dtype == np.uint8 else (a / 255).astype(dtype) for a in (picture, alpha))
    result = unfade(np.concatenate([picture, alpha], 2))
    assert np.array_equal(result[..., 3:], alpha)
    assert np.array_equal(result[..., :3], unfade(picture))
    gray = picture[..., :1]
    both = unfade(np.concatenate([gray, alpha], 2))
    assert np.array_equal(both[..., 1:], alpha)
    assert np.array_equal(both[..., 0], unfade(picture[..., 0]))


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros(9, np.uint8),
        np.zeros((4, 4, 5), np.uint8),
        np.zeros((4, 4), int),
        np.full((4, 4), 9.0),
        np.full((4, 4), np.nan),
        np.zeros((4, 4, 3), np.uint32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_no_picture_is_not_stretched(picture) -> None:
    with pytest.raises(InputError, match="image "):
        unfade(picture)


def test_fading_is_undone() -> None:
    picture, gains = full_range(), []
    for seed in range(20):
        faded = fade(picture, 1.0, generator(seed))
        stretched = unfade(faded)
        black, white = np.quantile(stretched.reshape(-1, 3), (0.001, 0.999), axis=0)
        assert black.min() <= 6  # two levels of the faded picture, each up to 2.7 of these
        assert white.max() >= 249
        gains.append(psnr_rgb(stretched, picture) - psnr_rgb(faded, picture))
    assert min(gains) > 0
    assert np.mean(gains) > 1.5  # colours that fading took away stay lost


def test_half_of_a_cast_is_the_scenes_own() -> None:
    meadow = full_range()
    meadow[..., 2] = meadow[..., 2] // 2 + 20  # blue from 20 to 147, taken for 20 to 165
    after = unfade(meadow)
    assert np.abs(after[..., :2].astype(int) - meadow[..., :2]).max() <= 1
    assert after[..., 2].max() == pytest.approx(255 * (147 - 10) / (210 - 10), abs=2)


def test_a_night_stays_a_night_and_a_white_wall_white() -> None:
    assert unfade(np.full((9, 9, 3), 20, np.uint8)).max() == 0
    night = (full_range() // 8).astype(np.uint8)
    assert unfade(night).max() <= np.ceil(255 * int(night.max()) / 165)
    wall = np.full((9, 9, 1), 230, np.uint8)
    assert unfade(wall).min() >= 220


def test_a_few_specks_do_not_count() -> None:
    faded = (full_range() // 2 + 60).astype(np.uint8)
    specks = faded.copy()
    specks[0, :3] = 255
    specks[1, :3] = 0
    assert np.array_equal(unfade(specks)[2:], unfade(faded)[2:])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_white_stays_white_in_floats(dtype) -> None:
    ramp = np.linspace(0, 1, 300 * 3).reshape(20, 15, 3)
    after = unfade(ramp.astype(dtype))
    assert after.dtype == dtype
    np.testing.assert_allclose(after.astype(float), unfade(ramp), rtol=0, atol=2e-3)
    assert after.max() > 0.99
