from math import erf, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import flat, waves

from iln.lab.degradations import convolve
from iln.lab.degradations.kernels import disc, gaussian, sinc, trajectory, unsharp
from iln.lab.tasks import generator

KERNELS = {
    "gaussian": gaussian(21, (3, 0.6), 0.7),
    "small": gaussian(7, (0.8, 0.8)),
    "peaked": gaussian(15, (2, 1), 2.0, power=0.5),
    "plateau": gaussian(13, (2, 2), power=1.7, plateau=True),
    "sinc": sinc(21, 1.2),
    "unsharp": unsharp(1.5, 1.2),
    "disc": disc(4.3),
    "motion": trajectory(20, generator(0)),
}


def by_hand(picture: np.ndarray, weights: np.ndarray, unit: int) -> np.ndarray:
    """The definition in whole numbers, tap by tap."""
    r = len(weights) // 2
    height, width = picture.shape[:2]
    padded = np.pad(picture.astype(np.int64), ((r, r), (r, r), (0, 0)), mode="reflect")
    sums = np.zeros(picture.shape, np.int64)
    for a in range(-r, r + 1):
        for b in range(-r, r + 1):
            shifted = padded[r - a : r - a + height, r - b : r - b + width]
            sums += int(weights[r + a, r + b]) * shifted
    return np.clip((sums + unit // 2) // unit, 0, 255)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (29, 1), (5, 3), (53, 31), (47, 200)])
def test_exact_in_whole_numbers(name: str, shape: tuple[int, int]) -> None:
    kernel = KERNELS[name]
    unit = 1 << 15
    while 255 * unit * np.abs(kernel).sum() > 2**24 + 1:
        unit //= 2
    weights = np.rint(kernel * unit)
    weights.flat[np.argmax(weights)] += unit - weights.sum()
    picture = generator(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert np.array_equal(convolve(picture, kernel), by_hand(picture, weights, unit))


def test_bands_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = generator(2).integers(0, 256, (150, 40, 3), dtype=np.uint8)
    whole = convolve(picture, KERNELS["gaussian"])
    monkeypatch.setattr("iln.lab.degradations.blur._VALUES", 40 * 3 * 7)
    assert np.array_equal(convolve(picture, KERNELS["gaussian"]), whole)


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_sum_to_one_and_keep_flat_pictures(name: str) -> None:
    kernel = KERNELS[name]
    assert kernel.shape[0] == kernel.shape[1]
    assert kernel.shape[0] % 2 == 1
    assert kernel.sum() == pytest.approx(1, abs=1e-12)
    for value in (0, 1, 128, 254, 255):
        assert (convolve(flat(value, 40, 33), kernel) == value).all()


def test_a_kernel_of_one_weight_changes_nothing_and_another_shifts() -> None:
    picture = waves(30, 20)
    one = np.zeros((5, 5))
    one[2, 2] = 1
    copy = convolve(picture, one)
    assert np.array_equal(copy, picture)
    assert not np.shares_memory(copy, picture)
    shift = np.zeros((5, 5))
    shift[2, 4] = 1
    assert np.array_equal(convolve(picture, shift)[:, 2:], picture[:, :-2])


def test_gaussian_has_its_sigmas_along_its_axes() -> None:
    kernel = gaussian(41, (4, 2), np.pi / 6)
    y, x = np.mgrid[-20:21, -20:21]
    covariance = [[(kernel * p * q).sum() for q in (x, y)] for p in (x, y)]
    values, vectors = np.linalg.eigh(covariance)
    assert np.sqrt(values) == pytest.approx([2, 4], rel=1e-3)
    assert abs(vectors[:, 1] @ [np.cos(np.pi / 6), np.sin(np.pi / 6)]) == pytest.approx(1)


def test_power_peaks_and_flattens() -> None:
    near = [gaussian(21, (2, 2), power=p)[10, 11:16] for p in (0.5, 1, 3)]
    middle = [gaussian(21, (2, 2), power=p)[10, 10] for p in (0.5, 1, 3)]
    falls = [n[0] / m for n, m in zip(near, middle, strict=True)]
    assert falls == pytest.approx(np.exp(-(0.25 ** np.array([0.5, 1, 3])) / 2))
    plateau = gaussian(21, (2, 2), power=2, plateau=True)
    assert plateau[10, 13] / plateau[10, 10] == pytest.approx(1 / (1 + 2.25**2))


def test_an_unsharp_mask_lifts_one_side_of_an_edge_and_lowers_the_other() -> None:
    edge = np.repeat(np.array([80, 160], np.uint8), 20)[None, :, None].repeat(30, 0)
    for amount in (0.5, 1.5):
        row = convolve(edge, unsharp(2, amount))[15, :, 0].astype(float)
        # Next to the edge a blur of half a pixel's distance lacks most of half the step.
        overshoot = amount * 80 * 0.5 * (1 - erf(0.5 / (2 * sqrt(2))))
        assert row[20] - 160 == pytest.approx(overshoot, abs=2)
        assert 80 - row[19] == pytest.approx(overshoot, abs=2)
        assert (row[:10] == 80).all() and (row[30:] == 160).all()
    assert np.array_equal(convolve(edge, unsharp(2, 0)), edge)


def test_sinc_passes_low_frequencies_and_stops_high_ones() -> None:
    response = np.abs(np.fft.fft2(sinc(101, 1.0), (256, 256)))
    frequency = 2 * np.pi * np.fft.fftfreq(256)
    radius = np.hypot(frequency[:, None], frequency)
    assert response[radius < 0.85] == pytest.approx(1, abs=0.08)
    assert response[radius > 1.15].max() < 0.08


def test_disc_has_its_area_and_a_soft_rim() -> None:
    kernel = disc(6.3)
    assert 1 / kernel.max() == pytest.approx(np.pi * 6.3**2, rel=0.01)
    assert len(np.unique(kernel[kernel > 0].round(12))) > 5
    assert disc(0.3).max() > 0.99


@settings(max_examples=60, deadline=None)
@given(length=st.floats(0, 36), seed=st.integers(0, 10**6))
def test_trajectories(length: float, seed: int) -> None:
    kernel = trajectory(length, generator(seed))
    assert kernel.min() >= 0
    assert kernel.sum() == pytest.approx(1, abs=1e-12)
    assert len(kernel) <= 2 * np.ceil(length / 2) + 3
    rows, columns = np.nonzero(kernel > 1e-9)
    # The path lies in the middle, and one of no length stays a point.
    assert abs(rows.min() + rows.max() - 2 * (len(kernel) // 2)) <= 1
    assert abs(columns.min() + columns.max() - 2 * (len(kernel) // 2)) <= 1
    if length == 0:
        assert kernel.max() == pytest.approx(1)


def test_longer_trajectories_blur_more() -> None:
    def spread(length: float) -> float:
        return float(
            np.mean([1 / (trajectory(length, generator(s)) ** 2).sum() for s in range(20)])
        )

    assert spread(3) < spread(10) < spread(30)
