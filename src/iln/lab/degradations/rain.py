"""Falling rain: streaks of light that drops draw while the shutter is open."""

import math
from collections.abc import Iterator

import numpy as np

from iln.lab.degradations.bands import Floats, Pixels, by_bands
from iln.lab.degradations.marks import Stamp, scatter

Ends = tuple[float, float]


def rain(
    picture: Pixels,
    rng: np.random.Generator,
    *,
    angle: float,
    length: Ends,
    width: Ends,
    density: float,
    brightness: float,
) -> Pixels:
    """x + the light of streaks in one direction, equal in all channels, clipped at white.

    The additive model of Garg and Nayar, Vision and rain, 2007: a fast drop brightens what is
    behind it. The streaks of a picture are parallel; each has a length, a width, a brightness and
    ends between soft and blunt of its own. Short ones are more frequent and brighter than long
    ones, as the faster drops near the camera spread their light over more pixels.

    Args:
        angle: degrees from straight down, positive towards the right at the bottom.
        length: the least and the greatest in pixels.
        width: the least and the greatest in pixels, at half of the brightness.
        density: share of the pixels that get light, 0 to below 1.
        brightness: of the brightest streaks, 1 is white.
    """
    height, breadth = picture.shape[:2]
    if density == 0 or brightness == 0:
        return picture.copy()
    # Each shape serves several streaks.
    kinds = int(np.clip(height * breadth * density // 400, 16, 256))
    stamps = list(_streaks(kinds, rng, angle, length, width, brightness))
    area = sum(np.count_nonzero(stamp > 1) for stamp in stamps) / kinds
    # Streaks that fall independently leave the share exp(-number * area / pixels) dry.
    number = round(-math.log1p(-density) * height * breadth / max(1.0, area))
    light = np.zeros((height, breadth), np.uint16)
    scatter(light, stamps, number, rng, np.add)

    def lit(x: Floats, rows: slice) -> Floats:
        x += light[rows, :, None]
        return x

    return by_bands(picture, lit)


def _streaks(
    kinds: int, rng: np.random.Generator, angle: float, length: Ends, width: Ends, brightness: float
) -> Iterator[Stamp]:
    sine, cosine = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    for _ in range(kinds):
        near, far, blunt = rng.random(3)
        long = length[0] + (length[1] - length[0]) * near**2
        wide = min(width[0] + (width[1] - width[0]) * far**3, max(width[0], long / 6))
        peak = 255 * brightness * (0.08 + 0.92 * rng.random() ** 3) * (1 - 0.5 * near)
        shift_y, shift_x = rng.random(2) - 0.5
        half_y = math.ceil(long / 2 * abs(cosine) + wide) + 1
        half_x = math.ceil(long / 2 * abs(sine) + wide) + 1
        y = np.arange(-half_y, half_y + 1)[:, None] - shift_y
        x = np.arange(-half_x, half_x + 1) - shift_x
        along = np.abs(cosine * y + sine * x) / (long / 2)
        across = (cosine * x - sine * y) / wide
        ends = np.clip((1 - along * along) * (1 + 3 * blunt), 0, 1)
        # 2^(-4 t^2) is half at t = 1/2, a width of 1; towards its ends a streak narrows.
        slender = np.exp2(-4 * across * across / np.maximum(ends, 0.1))
        yield np.rint(peak * ends * slender).astype(np.uint8)
