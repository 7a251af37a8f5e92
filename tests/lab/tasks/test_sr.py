import numpy as np
import pytest

from iln.errors import InputError
from iln.images import psnr_y, ssim_y
from iln.lab.tasks import SuperResolution, generator, mean_scores, task


def picture(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    wave = 127 + 120 * np.sin(x / 4) * np.cos(y / 5)
    return np.stack([wave, 255 - wave, wave[::-1]], -1).astype(np.uint8)


def enlarged(damaged: np.ndarray) -> np.ndarray:
    """Twice as large by nearest neighbour."""
    return damaged.repeat(2, 0).repeat(2, 1)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_pairs_are_cut_to_the_scale(scale: int) -> None:
    whole = picture(41, 50)
    lr, hr = SuperResolution(scale=scale).pair(whole, generator(0))
    assert lr.dtype == hr.dtype == np.uint8
    assert hr.shape == (41 // scale * scale, 50 // scale * scale, 3)
    assert lr.shape == (41 // scale, 50 // scale, 3)
    assert np.array_equal(hr, whole[: hr.shape[0], : hr.shape[1]])


def test_scores_leave_the_border_out() -> None:
    sr = SuperResolution(scale=4)
    _, hr = sr.pair(picture(40, 48), generator(0))
    damaged = hr.copy()
    damaged[:4] = 0
    damaged[:, -4:] = 0
    inner = hr.copy()
    inner[20, 20] ^= 128
    assert sr.score(damaged, hr)["psnr_y"] > 100
    assert sr.score(inner, hr)["psnr_y"] < 60


def test_scores_are_means_over_pictures() -> None:
    sr = SuperResolution(scale=2)
    pairs = [sr.pair(p, generator(0)) for p in (picture(40, 48), picture(64, 36))]
    got = mean_scores(sr, enlarged, pairs)
    both = [(enlarged(lr), hr) for lr, hr in pairs]
    assert got == {
        "psnr_y": pytest.approx(np.mean([psnr_y(a, b, border=2) for a, b in both])),
        "ssim_y": pytest.approx(np.mean([ssim_y(a, b, border=2) for a, b in both])),
    }


def test_bicubic_beats_nearest_neighbour() -> None:
    sr = SuperResolution(scale=2)
    pairs = [sr.pair(picture(64, 64), generator(0))]
    bicubic = mean_scores(sr, sr.baseline, pairs)
    nearest = mean_scores(sr, enlarged, pairs)
    assert bicubic["psnr_y"] > nearest["psnr_y"]
    assert bicubic["ssim_y"] > nearest["ssim_y"]


def test_definitions_name_the_border() -> None:
    definitions = [m.definition for m in SuperResolution(scale=3).metrics().values()]
    assert all("limited-range Y, unrounded, without the outermost 3" in d for d in definitions)


@pytest.mark.parametrize("scale", [1, 9, 2.5, "x"])
def test_a_scale_that_is_none_is_refused(scale: object) -> None:
    with pytest.raises(InputError, match="task sr: scale="):
        task("sr", {"scale": scale})
