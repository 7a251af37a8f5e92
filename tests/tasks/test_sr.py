import numpy as np
import pytest
import torch
from torch import nn

from iln.errors import InputError
from iln.images import psnr_y, ssim_y
from iln.tasks import TASKS, SuperResolution


def picture(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    wave = 127 + 120 * np.sin(x / 4) * np.cos(y / 5)
    return np.stack([wave, 255 - wave, wave[::-1]], -1).astype(np.uint8)


class Enlarger(nn.Module):
    """Nearest neighbour times a gain, so that values leave [0, 1]."""

    def __init__(self, scale: int, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))
        self.scale = scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert not self.training
        return self.gain * x.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_pairs_are_cut_to_the_scale(scale: int) -> None:
    whole = picture(41, 50)
    lr, hr = TASKS["sr"](scale).pair(whole)
    assert lr.dtype == hr.dtype == np.uint8
    assert hr.shape == (41 // scale * scale, 50 // scale * scale, 3)
    assert lr.shape == (41 // scale, 50 // scale, 3)
    assert np.array_equal(hr, whole[: hr.shape[0], : hr.shape[1]])


def test_scores_leave_the_border_out() -> None:
    task = SuperResolution(4)
    _, hr = task.pair(picture(40, 48))
    damaged = hr.copy()
    damaged[:4] = 0
    damaged[:, -4:] = 0
    inner = hr.copy()
    inner[20, 20] ^= 128
    assert task.score(damaged, hr)["psnr_y"] > 100
    assert task.score(inner, hr)["psnr_y"] < 60


def test_validation_clamps_rounds_and_keeps_the_mode() -> None:
    task = SuperResolution(2)
    pairs = [task.pair(picture(40, 48)), task.pair(picture(64, 36))]
    model = Enlarger(2, gain=1.3).train()
    got = task.validate(model, pairs)
    assert model.training
    outputs = [
        np.rint(np.clip(1.3 * lr.repeat(2, 0).repeat(2, 1).astype(float), 0, 255))
        for lr, _ in pairs
    ]
    outputs = [output.astype(np.uint8) for output in outputs]
    hrs = [hr for _, hr in pairs]
    psnr = np.mean([psnr_y(a, b, border=2) for a, b in zip(outputs, hrs, strict=True)])
    ssim = np.mean([ssim_y(a, b, border=2) for a, b in zip(outputs, hrs, strict=True)])
    assert got["psnr_y"] == pytest.approx(psnr, abs=0.01)
    assert got["ssim_y"] == pytest.approx(ssim, abs=1e-4)


def test_bicubic_beats_nearest_neighbour() -> None:
    task = SuperResolution(2)
    pairs = [task.pair(picture(64, 64))]
    bicubic = task.validate_baseline(pairs)
    nearest = task.validate(Enlarger(2), pairs)
    assert bicubic["psnr_y"] > nearest["psnr_y"]
    assert bicubic["ssim_y"] > nearest["ssim_y"]


def test_a_scale_of_one_is_refused() -> None:
    with pytest.raises(InputError, match="2 or more, not 1"):
        SuperResolution(1)
