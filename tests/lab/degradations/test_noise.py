import numpy as np
import pytest
from pictures import flat, waves

from iln.images import LUMA
from iln.lab.degradations import coarse_noise, gaussian_noise, poisson_noise, unrounded_noise
from iln.lab.tasks import generator

N = 400 * 400 * 3
# Five standard errors of a standard deviation estimated from N samples, relative.
TIGHT = 5 / np.sqrt(2 * N)


def test_unrounded_noise_has_the_sigma_and_no_mean() -> None:
    picture = waves(400, 400)
    noise = 255 * unrounded_noise(picture, 25, generator(1)) - picture
    assert noise.std() == pytest.approx(25, rel=TIGHT)
    assert abs(noise.mean()) < 5 * 25 / np.sqrt(N)
    within = [(np.abs(noise) < k * 25).mean() for k in (1, 2, 3)]
    assert within == pytest.approx([0.6827, 0.9545, 0.9973], abs=0.004)
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.015


def test_unrounded_noise_leaves_the_range() -> None:
    noisy = unrounded_noise(flat(0), 50, generator(2))
    assert noisy.dtype == np.float32
    assert noisy.min() < -0.5
    assert (noisy < 0).mean() == pytest.approx(0.5, abs=0.01)


def test_rounding_adds_a_twelfth_to_the_variance() -> None:
    noise = gaussian_noise(flat(128, 400, 400), 5, generator(3)).astype(float) - 128
    assert noise.var() == pytest.approx(25 + 1 / 12, rel=3 * TIGHT)


def test_rounded_noise_is_clipped_not_wrapped() -> None:
    noisy = gaussian_noise(flat(250), 50, generator(4))
    assert (noisy == 255).mean() == pytest.approx(0.46, abs=0.02)
    assert (noisy < 20).mean() < 1e-4


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_shot_noise_has_a_variance_that_grows_with_the_signal(scale: float) -> None:
    for value in (40, 80, 160):
        noise = poisson_noise(flat(value, 400, 400), scale, generator(5, value)) - float(value)
        expected = scale**2 * value + 1 / 12
        assert noise.var() == pytest.approx(expected, rel=4 * TIGHT + 0.002)
        assert abs(noise.mean()) < 0.05


def test_black_has_no_shot_noise() -> None:
    assert not poisson_noise(flat(0), 3, generator(6)).any()


@pytest.mark.parametrize("noise", [gaussian_noise, poisson_noise])
def test_gray_noise_is_the_same_in_all_channels(noise) -> None:
    gray = noise(flat(128), 2, generator(7), gray=True)
    assert (gray == gray[..., :1]).all()
    colour = noise(flat(128), 2, generator(7))
    assert not (colour == colour[..., :1]).all()


def test_bands_do_not_show() -> None:
    """Noise of a picture of many bands equals the generator's plain sequence."""
    picture = flat(0, 1000, 500)
    plain = generator(8).standard_normal(picture.shape, dtype=np.float32)
    assert np.allclose(255 * unrounded_noise(picture, 10, generator(8)), 10 * plain, atol=1e-4)


@pytest.mark.parametrize("speck", [1, 3, 5])
def test_coarse_noise_has_its_sigma_and_its_specks(speck: int) -> None:
    noise = coarse_noise(flat(128, 405, 405), 12, speck, generator(7), gray=True) - 128.0
    assert (noise == noise[..., :1]).all()
    middles = noise[speck // 2 :: speck, speck // 2 :: speck, 0]  # which interpolation keeps
    assert middles.std() == pytest.approx(12, rel=0.03)
    assert abs(noise.mean()) < 5 * 12 * speck / 405
    beside = np.corrcoef(noise[:, :-1, 0].ravel(), noise[:, 1:, 0].ravel())[0, 1]
    assert {1: -0.02, 3: 0.7, 5: 0.9}[speck] < beside < {1: 0.02, 3: 0.9, 5: 0.98}[speck]


def test_blotches_of_colour_have_no_luma() -> None:
    blotched = coarse_noise(flat(128), 20, 3, generator(8), gray=False)
    colours = blotched.astype(float) - 128
    assert min(colours[..., c].std() for c in range(3)) > 4
    assert np.abs(colours @ np.array(LUMA)).max() < 1  # (what rounding leaves)
    gray = coarse_noise(flat(128, channels=1), 20, 3, generator(8), gray=False)
    assert gray.shape == (200, 200, 1) and gray.std() > 5


def test_coarse_noise_of_any_shape_and_of_no_strength() -> None:
    for shape in ((1, 1, 3), (2, 300, 1), (33, 7, 3)):
        picture = generator(9).integers(0, 256, shape, dtype=np.uint8)
        for gray in (False, True):
            assert np.array_equal(coarse_noise(picture, 0, 5.5, generator(1), gray=gray), picture)
            noisy = coarse_noise(picture, 30, 5.5, generator(1), gray=gray)
            assert noisy.shape == shape and not np.array_equal(noisy, picture)
