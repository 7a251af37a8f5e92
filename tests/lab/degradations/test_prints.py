import numpy as np
import pytest
from pictures import flat, waves

from iln.lab.degradations import fade, monochrome
from iln.lab.degradations.prints import cracks, dust, scratches, stains
from iln.lab.tasks import generator

AGES = [fade, scratches, cracks, dust, stains]


def changed(age, strength: float, value: int = 128, size: int = 200, seeds: int = 30) -> float:
    """Mean share of pixels changed by more than eight levels."""
    picture = flat(value, size, size)
    shares = [
        (np.abs(age(picture, strength, generator(s)).astype(int) - value) > 8).any(-1).mean()
        for s in range(seeds)
    ]
    return float(np.mean(shares))


@pytest.mark.parametrize("age", AGES)
def test_strength_0_changes_nothing(age) -> None:
    picture = waves(60, 80)
    for seed in range(5):
        after = age(picture, 0.0, generator(seed))
        assert np.array_equal(after, picture)
        assert not np.shares_memory(after, picture)


@pytest.mark.parametrize("age", AGES)
def test_more_strength_changes_more(age) -> None:
    assert changed(age, 0.2) < changed(age, 1.0)


def test_marks_are_thin_and_sparse_and_as_many_for_each_area() -> None:
    assert 0.005 < changed(scratches, 1.0) < 0.08
    assert 0.001 < changed(dust, 1.0) < 0.03
    for age in (scratches, dust):
        small, large = changed(age, 1.0, size=120, seeds=120), changed(age, 1.0, size=600, seeds=20)
        assert small == pytest.approx(large, rel=0.35)


def test_cracks_are_wider_than_scratches_and_have_a_shadow() -> None:
    picture = flat(128, 120, 120)
    after = [cracks(picture, 1.0, generator(s)).astype(int) for s in range(30)]
    light, dark = (np.array([(sign * (a - 128) > 8).any(-1) for a in after]) for sign in (1, -1))
    assert 0.005 < light.mean() < 0.1
    assert 0.005 < dark.mean() < 0.3
    inner = light[:, 1:-1, 1:-1]
    for rows, columns in ((slice(2, None), slice(1, -1)), (slice(1, -1), slice(2, None))):
        inner = inner & light[:, rows, columns]
    assert inner.mean() > 0.3 * light.mean()


def test_fading_lowers_contrast_and_warms() -> None:
    ends = np.stack([flat(0, 4, 4), flat(255, 4, 4)])
    faded = [[fade(end, 1.0, generator(s)).mean(axis=(0, 1)) for end in ends] for s in range(50)]
    black, white = np.mean(faded, axis=0)
    assert (black > 5).all()
    assert (white < 252).all()
    assert white[0] > white[1] > white[2]
    assert black[0] > black[2]
    assert np.max(faded) <= 255
    assert np.max(np.array(faded)[:, 0]) <= 70
    assert np.min(np.array(faded)[:, 1]) >= 164


def test_fading_never_takes_all_colour() -> None:
    red = np.broadcast_to(np.array([200, 40, 40], np.uint8), (4, 4, 3)).copy()
    for seed in range(50):
        r, g, b = fade(red, 1.0, generator(seed))[0, 0].astype(int)
        assert r - max(g, b) > 15


def test_stains_only_darken_and_blue_most() -> None:
    picture = flat(200, 150, 150)
    after = [stains(picture, 1.0, generator(s)).astype(int) for s in range(20)]
    assert np.max(after) == 200
    mean = np.mean(after, axis=(0, 1, 2))
    assert mean[0] > mean[1] > mean[2]


def test_monochrome_keeps_brightness_and_loses_hue() -> None:
    picture = waves(50, 60)
    luma = picture @ np.array([0.299, 0.587, 0.114])
    toned = [monochrome(picture, generator(s)).astype(float) for s in range(30)]
    gray = [t for t in toned if (t == t[..., :1]).all()]
    assert 3 < len(gray) < 27
    for t in gray:
        assert np.abs(t[..., 0] - luma).max() <= 0.51
    assert all((t[..., 0] >= t[..., 2]).all() for t in toned)


@pytest.mark.parametrize("age", AGES)
@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 90, 1), (83, 2, 3), (31, 37, 1)])
def test_any_size_and_gray(age, shape) -> None:
    picture = generator(9).integers(0, 256, shape, dtype=np.uint8)
    before = picture.copy()
    for seed in range(8):
        after = age(picture, 1.0, generator(seed))
        assert (after.shape, after.dtype) == (shape, np.uint8)
        assert np.array_equal(after, age(picture, 1.0, generator(seed)))
    assert np.array_equal(picture, before)
