import numpy as np
import pytest
from pictures import flat, waves

from iln.lab.degradations import halftone


@pytest.mark.parametrize(("period", "angle"), [(4.0, 0.0), (5.0, 0.4), (3.2, 1.1)])
def test_dots_have_their_period_and_their_angle(period: float, angle: float) -> None:
    dots = halftone(flat(128, 256, 256, 1), period, 1.0, angle)[..., 0] - 128.0
    strength = np.abs(np.fft.fft2(dots))
    strength[0, 0] = 0
    y, x = np.unravel_index(np.argmax(strength), strength.shape)
    found = np.fft.fftfreq(256)[[y, x]]
    assert np.hypot(*found) == pytest.approx(1 / period, abs=0.004)
    turned = (np.arctan2(*found) - angle) % (np.pi / 2)
    assert min(turned, np.pi / 2 - turned) < 0.03


def test_tones_keep_their_mean_and_black_and_white_stay() -> None:
    for tone in (0, 40, 128, 200, 255):
        dots = halftone(flat(tone), 4.3, 0.8, 0.5)
        assert dots.mean() == pytest.approx(tone, abs=1)
        assert (dots.std() == 0) == (tone in (0, 255))
    weak, strong = (halftone(flat(128), 4.3, s, 0.5).std() for s in (0.2, 0.9))
    assert strong == pytest.approx(4.5 * weak, rel=0.05)


def test_each_colour_has_its_screen_and_rows_may_come_in_bands(monkeypatch) -> None:
    dots = halftone(flat(128), 4, 1, 0).astype(float)
    assert abs(np.corrcoef(dots[..., 0].ravel(), dots[..., 1].ravel())[0, 1]) < 0.1
    picture = waves(90, 41)
    whole = halftone(picture, 4, 1, 0)
    monkeypatch.setattr("iln.lab.degradations.bands._VALUES", 41 * 3 * 7)
    assert np.array_equal(halftone(picture, 4, 1, 0), whole)
    assert np.array_equal(halftone(picture, 4, 0, 0), picture)
