import numpy as np
import pytest
from pictures import flat, waves

from iln.lab.degradations import convolve, rain
from iln.lab.degradations.kernels import gaussian
from iln.lab.tasks import generator

LIGHT = {"angle": 10.0, "length": (10, 40), "width": (1.2, 3), "density": 0.25, "brightness": 0.6}


def streaks(value: int = 0, size: int = 300, seed: int = 1, **changes) -> np.ndarray:
    picture = flat(value, size, size)
    return rain(picture, generator(seed), **(LIGHT | changes)).astype(int) - picture


def direction(light: np.ndarray) -> float:
    """Degrees from straight down, positive to the right, by the structure tensor."""
    smooth = convolve(np.minimum(light, 255).astype(np.uint8), gaussian(13, (2, 2)))[..., 0]
    gy, gx = np.gradient(smooth.astype(float))
    values, vectors = np.linalg.eigh(
        [[(gx * gx).sum(), (gx * gy).sum()], [(gx * gy).sum(), (gy * gy).sum()]]
    )
    assert values[0] < 0.3 * values[1]
    x, y = vectors[:, 0] * np.sign(vectors[1, 0])
    return float(np.degrees(np.arctan2(x, y)))


def test_rain_adds_the_same_light_to_all_channels() -> None:
    light = streaks(40)
    assert light.min() == 0
    assert (light == light[..., :1]).all()
    assert light.max() > 60


def test_light_is_clipped_at_white() -> None:
    assert (waves(90, 90) + streaks(0, 90) > 255).any()
    picture = waves(90, 90)
    wet = rain(picture, generator(1), **LIGHT)
    assert np.array_equal(wet, np.minimum(255, picture.astype(int) + streaks(0, 90)))


@pytest.mark.parametrize("angle", [-30, 0, 25, 60])
def test_streaks_have_the_direction(angle: float) -> None:
    assert direction(streaks(angle=angle, length=(30, 40))) == pytest.approx(angle, abs=3)


@pytest.mark.parametrize("density", [0.05, 0.2, 0.4])
@pytest.mark.parametrize("size", [150, 500])
def test_density_is_the_share_of_pixels(density: float, size: int) -> None:
    shares = [(streaks(0, size, s, density=density) > 1).mean() for s in range(6)]
    assert np.mean(shares) == pytest.approx(density, rel=0.12)


def test_edges_get_their_share() -> None:
    light = np.mean([streaks(0, 100, s)[..., 0] > 1 for s in range(60)], axis=0)
    border = np.concatenate([light[:6].ravel(), light[-6:].ravel(), light[:, :6].ravel()])
    assert border.mean() == pytest.approx(light[20:80, 20:80].mean(), rel=0.12)


def test_brightness_and_length_are_obeyed() -> None:
    assert streaks(brightness=0.3, density=0.02).max() <= 0.3 * 255 * 2
    assert streaks(brightness=0.9).mean() > 2 * streaks(brightness=0.3).mean()

    def reach(length: float) -> float:
        light = streaks(angle=0, length=(length, length), density=0.1)[..., 0].astype(float)
        rows = [(light[:-k] * light[k:]).mean() for k in range(1, 60)]
        return sum(rows) / (light * light).mean()

    assert reach(50) > 2 * reach(12)


def test_no_rain() -> None:
    assert not streaks(density=0.0).any()
    assert not streaks(brightness=0.0).any()
