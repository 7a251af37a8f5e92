"""Metrics against vectors worked out by hand and against scikit-image."""

import math

import numpy as np
import pytest
from samples import photo
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from iln.errors import InputError
from iln.images import luma, psnr_rgb, psnr_y, psnrb_y, ssim_y


def noisy(picture, amount=12, seed=1):
    noise = np.random.default_rng(seed).normal(0, amount, picture.shape)
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("rgb", "y"),
    [
        ((0, 0, 0), 16),
        ((255, 255, 255), 235),
        ((255, 0, 0), 81.481),
        ((0, 255, 0), 144.553),
        ((0, 0, 255), 40.966),
        ((51, 102, 204), 16 + 0.2 * 65.481 + 0.4 * 128.553 + 0.8 * 24.966),
    ],
)
def test_luma_is_limited_range_and_unrounded(rgb, y):
    got = luma(np.full((2, 3, 3), rgb, np.uint8))
    assert got.shape == (2, 3)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, y, rtol=0, atol=1e-12)


def test_psnr_by_hand():
    """One of four pixels brighter by 10: MSE 25 over gray; 25/3 over RGB if in one channel."""
    a = np.full((2, 2), 100, np.uint8)
    b = a.copy()
    b[0, 1] = 110
    assert psnr_y(a, b) == pytest.approx(10 * math.log10(255**2 / 25), abs=1e-12)
    assert psnr_y(a[..., None], b[..., None]) == psnr_y(a, b)
    colour = np.repeat(a[..., None], 3, 2)
    other = colour.copy()
    other[0, 1, 1] = 110
    assert psnr_rgb(colour, other) == pytest.approx(10 * math.log10(255**2 * 3 / 25), abs=1e-12)
    mse = (10 * 128.553 / 255) ** 2 / 4
    assert psnr_y(colour, other) == pytest.approx(10 * math.log10(255**2 / mse), abs=1e-10)


def test_rounded_luma():
    """Y of grays 126, 127, 128 is 124.21, 125.07, 125.93: rounded 124, 125, 126."""
    a, b, c = (np.full((4, 4, 3), v, np.uint8) for v in (126, 127, 128))
    assert psnr_y(a, b, rounded=True) == pytest.approx(10 * math.log10(255**2), abs=1e-12)
    assert psnr_y(c, a, rounded=True) == pytest.approx(10 * math.log10(255**2 / 4), abs=1e-12)
    assert psnr_y(a, b) == pytest.approx(10 * math.log10(255**2 / (219 / 255) ** 2), abs=1e-9)
    d = b.copy()
    d[..., 2] = 128
    assert psnr_y(b, d, rounded=True) == math.inf
    assert psnr_y(b, d) < 90


def test_rounded_luma_in_ssim():
    """Grays 126 and 128 have the rounded Y 124 and 126; a gray picture has nothing to round."""
    a, b = (np.full((11, 11, 3), v, np.uint8) for v in (126, 128))
    expected = (2 * 124 * 126 + 6.5025) / (124**2 + 126**2 + 6.5025)
    assert ssim_y(a, b, rounded=True) == pytest.approx(expected, abs=1e-12)
    assert ssim_y(a, b, rounded=True) != ssim_y(a, b)
    assert ssim_y(a[..., 0], b[..., 0], rounded=True) == ssim_y(a[..., 0], b[..., 0])


def test_psnrb_by_hand():
    """Of 32 pairs across edges 16 differ by 8: D = 32, D' = 0, and BEF = 3 / 4 * 32; MSE 16."""
    original = np.full((16, 16), 104, np.uint8)
    blocks = np.repeat(np.array([100, 108], np.uint8), 8)[None].repeat(16, 0)
    assert psnrb_y(blocks, original) == pytest.approx(10 * math.log10(255**2 / (16 + 24)))
    assert psnrb_y(blocks.T, original) == psnrb_y(blocks, original)
    # Blocks in the original are not the result's fault.
    assert psnrb_y(original, blocks) == pytest.approx(10 * math.log10(255**2 / 16))
    # A step elsewhere is an edge of the picture: D' is above D = 0.
    elsewhere, flat = blocks[:, 3:], original[:, 3:]
    assert psnrb_y(elsewhere, flat) == psnr_y(elsewhere, flat)


def test_psnrb_of_colour_and_of_sizes_without_blocks():
    a = photo(40, 52)
    b = noisy(a)
    x, y = luma(b), luma(a)
    edges = np.concatenate([np.diff(x, axis=0)[7::8].ravel(), np.diff(x, axis=1)[:, 7::8].ravel()])
    others = np.concatenate(
        [
            np.delete(np.diff(x, axis=0), np.s_[7::8], 0).ravel(),
            np.delete(np.diff(x, axis=1), np.s_[7::8], 1).ravel(),
        ]
    )
    bef = 3 / math.log2(40) * max(0, (edges**2).mean() - (others**2).mean())
    mse = ((x - y) ** 2).mean()
    assert psnrb_y(b, a) == pytest.approx(10 * math.log10(255**2 / (mse + bef)), abs=1e-10)
    assert psnrb_y(a[:8, :8], b[:8, :8]) == psnr_y(a[:8, :8], b[:8, :8])
    assert psnrb_y(a[:1, :1], a[:1, :1]) == math.inf


def test_full_range_would_be_other_by_the_known_amount():
    """The trap: on gray pictures stored as RGB, limited range gives 20 log10(255/219) more."""
    a = photo(channels=1)
    b = noisy(a)
    as_rgb = psnr_y(np.repeat(a, 3, 2), np.repeat(b, 3, 2))
    assert as_rgb - psnr_y(a, b) == pytest.approx(20 * math.log10(255 / 219), abs=1e-9)


@pytest.mark.parametrize("border", [0, 2, 4])
def test_against_scikit_image(border):
    a = photo(64, 80)
    b = noisy(a)
    inner = slice(border, 64 - border), slice(border, 80 - border)
    x, y = luma(a)[inner], luma(b)[inner]
    expected = peak_signal_noise_ratio(x, y, data_range=255)
    assert psnr_y(a, b, border) == pytest.approx(expected, abs=1e-10)
    expected = peak_signal_noise_ratio(a[inner], b[inner], data_range=255)
    assert psnr_rgb(a, b, border) == pytest.approx(expected, abs=1e-10)
    _, local = structural_similarity(
        x,
        y,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    # Where the window lies wholly inside.
    assert ssim_y(a, b, border) == pytest.approx(local[5:-5, 5:-5].mean(), abs=1e-9)
    assert 0.3 < ssim_y(a, b, border) < 0.99


def test_ssim_by_hand():
    """Flat pictures have no variance: only the term of the means is left."""
    a, b = np.full((11, 11), 100, np.uint8), np.full((11, 11), 150, np.uint8)
    c1 = 6.5025
    expected = (2 * 100 * 150 + c1) / (100**2 + 150**2 + c1)
    assert ssim_y(a, b) == pytest.approx(expected, abs=1e-9)


def test_gray_as_a_plane_or_with_one_channel():
    a = photo(40, 50, 1)
    b = noisy(a)
    assert ssim_y(a, b) == ssim_y(a[..., 0], b[..., 0])
    assert psnr_rgb(a, b) == psnr_y(a, b)


def test_equal_pictures():
    a = photo()
    assert psnr_y(a, a) == psnr_rgb(a, a.copy()) == math.inf
    assert ssim_y(a, a) == pytest.approx(1, abs=1e-12)


def test_border_leaves_out_exactly_that():
    a = photo(30, 30)
    b = a.copy()
    b[:3], b[-3:], b[:, :3], b[:, -3:] = 0, 0, 0, 0
    assert psnr_y(a, b, 3) == math.inf
    assert psnr_y(a, b, 2) < 40


@pytest.mark.parametrize("metric", [psnr_y, psnr_rgb, ssim_y])
def test_wrong_pairs_are_refused(metric):
    a = photo()
    for other, border in [
        (a[:-1], 0),
        (a[..., 0], 0),
        (a.astype(np.float64), 0),
        (a, 20),
        (a, -1),
    ]:
        with pytest.raises(InputError) as raised:
            metric(a, other, border)
        assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match="gray or RGB"):
        metric(photo(channels=4), photo(channels=4))
    with pytest.raises(InputError, match="uint8"):
        luma(a.astype(np.float32))


def test_ssim_of_pictures_smaller_than_its_window():
    with pytest.raises(InputError, match="at least 11 x 11"):
        ssim_y(photo(30, 14), photo(30, 14), border=2)
