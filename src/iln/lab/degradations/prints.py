"""Scratches, cracks, dust and stains on a print or a negative.

How many there are goes with the picture's size, in pixels: so many for 100 pixels of a side. So
a crop looks like a part of a whole picture. Stains are as large as the picture allows.
"""

import numpy as np

from iln.lab.degradations.bands import Floats, Kernel, Pixels, blended, by_bands
from iln.lab.degradations.lines import Path, draw
from iln.lab.degradations.marks import Stamp, scatter

_REACH = 4
_HAIR = 12


def scratches(picture: Pixels, strength: float, rng: np.random.Generator) -> Pixels:
    """Long thin lines, mostly light and mostly along one side of the picture, and cracks.

    Scratches wander smoothly and skip; cracks, as along folds, are jagged, of uneven width and
    opaque. Lines are 0.7 to 4 pixels wide and cover 0.3 to 1 of what is below them.

    Args:
        strength: 0 (none) to 1 (about ten for 100 pixels of a side).
    """
    height, width = picture.shape[:2]
    cover = np.zeros((height, width), np.uint8)
    upright = rng.random() < 0.8
    for _ in range(int(rng.poisson(strength * np.sqrt(height * width) / 10))):
        along = upright if rng.random() < 0.85 else not upright
        _scratch(cover if along else cover.T, rng)
    light = rng.random() < 0.8
    return blended(picture, cover, _tones(rng, light, picture.shape[2]))


def _scratch(cover: Pixels, rng: np.random.Generator) -> None:
    """One line from somewhere above to somewhere below, in place."""
    height, width = cover.shape
    length = int(height * rng.uniform(0.1, 1.2)) + 1
    top = int(rng.integers(-length + 1, height))
    rows = np.arange(max(0, top), min(height, top + length))
    middle = rng.uniform(-0.1, 1.1) * width + rng.uniform(-0.25, 0.25) * (rows - top)
    for wave in (400.0, 90.0, 23.0):
        swing = 0.012 * wave * rng.standard_normal()
        middle += swing * np.sin(rows * (2 * np.pi / wave) + rng.uniform(0, 2 * np.pi))
    ends = np.clip(np.minimum(rows - top, top + length - rows) / 8, 0, 1)
    half: Kernel | float
    if rng.random() < 0.4:
        steps = rng.choice([-1.5, -0.5, 0, 0, 0.5, 1.5], len(rows))
        middle += np.cumsum(steps * (rng.random(len(rows)) < 0.5))
        rough = np.repeat(rng.random(len(rows) // 3 + 1), 3)[: len(rows)]
        half = 0.3 + rng.uniform(0.3, 1.7) * rough * ends
        opacity = rng.uniform(0.7, 1) * ends
    else:
        phase, beat = rng.uniform(0, 2 * np.pi), rng.uniform(15, 80)
        skips = np.clip(0.7 + 0.8 * np.sin(rows / beat + phase), 0, 1)
        half = rng.uniform(0.35, 0.9) if rng.random() < 0.8 else rng.uniform(0.9, 1.75)
        opacity = rng.uniform(0.3, 1) * skips * ends
    columns = np.floor(middle).astype(int)[:, None] + np.arange(-_REACH + 1, _REACH + 1)
    distance = np.abs(columns - middle[:, None])
    inside_line = np.clip(np.reshape(half, (-1, 1)) + 0.5 - distance, 0, 1)
    values = np.rint(255 * opacity[:, None] * inside_line)
    inside = (columns >= 0) & (columns < width)
    place = np.broadcast_to(rows[:, None], columns.shape)[inside], columns[inside]
    cover[place] = np.maximum(cover[place], values[inside].astype(np.uint8))


def cracks(picture: Pixels, strength: float, rng: np.random.Generator) -> Pixels:
    """Folds and tears: rifts up to 9 pixels wide, mostly thin and light, that fork like a root,
    with a shadow beside.

    Args:
        strength: 0 (none) to 1 (up to five of them with their branches, whatever the picture's
            size).
    """
    height, width = picture.shape[:2]
    rifts, shade = np.zeros((height, width), np.uint8), np.zeros((height, width), np.uint8)
    wide, dark = rng.uniform(0.4, 2.7), 0.35 * rng.random()
    for _ in range(round(strength * rng.uniform(0.5, 5))):
        place = complex(rng.uniform(0, width), rng.uniform(0, height))
        length = rng.uniform(0.3, 1.5) * max(height, width)
        ways = rng.uniform(0, 2 * np.pi) + np.array([0, np.pi])  # to both sides of the place
        open_ends = [(place, float(way), length / 2, wide * rng.random() ** 0.7) for way in ways]
        while open_ends:
            start, way, length, half = open_ends.pop()
            path = _rift(start, way, length, rng)
            gaps, widths = _gaps_and_widths(len(path), half, rng)
            reach = rng.uniform(1, 3)
            beside = path + reach * 1j * np.exp(1j * way) * rng.choice([-1, 1])
            draw(shade, beside, reach, dark * rng.random() * gaps)
            draw(rifts, path, widths, rng.uniform(0.7, 1) * gaps)
            for _ in range(int(rng.integers(0, 3)) if length > 12 else 0):
                turn = rng.uniform(0.3, 1.3) * rng.choice([-1, 1])
                at = complex(path[int(rng.integers(len(path)))])
                open_ends.append((at, way + turn, 0.5 * length, 0.7 * half))
    picture = blended(picture, shade, np.zeros(picture.shape[2], np.float32))
    if rng.random() < 0.15:
        return blended(picture, rifts, _tones(rng, False, picture.shape[2]))
    paper = rng.uniform(150, 255) * (1 - np.array([0, 0.08, 0.25]) * rng.random())
    tones = paper if picture.shape[2] == 3 else paper.mean(keepdims=True)
    return blended(picture, rifts, tones.astype(np.float32))


def _rift(start: complex, way: float, length: float, rng: np.random.Generator) -> Path:
    """A path from there, straight or jagged, a point a pixel."""
    number = int(length) + 2
    jags = 0.7 * rng.random() * np.repeat(rng.standard_normal(number // 4 + 1), 4)[:number]
    drift = np.cumsum(0.03 * rng.standard_normal(number))
    return start + np.cumsum(np.exp(1j * (way + jags + drift)))


def _gaps_and_widths(number: int, half: float, rng: np.random.Generator) -> tuple[Kernel, Kernel]:
    """Of the points of a rift: how much of it is there, and half its width."""
    rough, slow = _uneven(number, 2, rng), _uneven(number, 40, rng)
    gaps = np.clip(4 * (slow - rng.uniform(-0.5, 0.3)), 0, 1)
    return gaps, 0.3 + half * (0.2 + rough) * (0.3 + slow)


def _uneven(length: int, step: int, rng: np.random.Generator) -> Kernel:
    """Numbers from 0 to 1, new ones every `step` and straight in between."""
    knots = rng.random(length // step + 2)
    return np.interp(np.arange(length) / step, np.arange(len(knots)), knots)


def dust(picture: Pixels, strength: float, rng: np.random.Generator) -> Pixels:
    """Specks up to 3 pixels in radius and now and then a hair, light and dark ones.

    Args:
        strength: 0 (none) to 1 (about five for 100 x 100 pixels).
    """
    height, width = picture.shape[:2]
    amount = 5 * strength * height * width / 100**2
    for light, share in ((True, 0.6), (False, 0.4)):
        number = int(rng.poisson(share * amount))
        tones = _tones(rng, light, picture.shape[2])
        if number == 0:
            continue
        cover = np.zeros((height, width), np.uint8)
        kinds = min(16, number)
        shapes = [_hair(rng) if rng.random() < 0.12 else _speck(rng) for _ in range(kinds)]
        scatter(cover, shapes, number, rng, np.maximum)
        picture = blended(picture, cover, tones)
    return picture if amount else picture.copy()


def _speck(rng: np.random.Generator) -> Stamp:
    """An ellipse with a dent."""
    y, x = np.mgrid[-4:5, -4:5].astype(np.float64)
    radius = 0.5 + 2.5 * rng.random() ** 3
    stretch, tilt = rng.uniform(0.6, 1), rng.uniform(-0.5, 0.5)
    dent = rng.uniform(-0.25, 0.25)
    u, v = x + tilt * y, (y - tilt * x) / stretch
    distance = np.sqrt(u * u + v * v)
    rim = radius * (1 + dent * u * v / np.maximum(1, distance * distance))
    cover = np.clip(rim + 0.5 - distance, 0, 1) * rng.uniform(0.5, 1)
    speck: Stamp = np.rint(255 * cover).astype(np.uint8)
    return speck


def _hair(rng: np.random.Generator) -> Stamp:
    """A thin arc that turns up to a third of a circle."""
    side = 2 * _HAIR + 1
    bend = rng.uniform(-2, 2)
    t = np.linspace(0, 1, 40)
    path = np.cumsum(np.exp(1j * (rng.uniform(0, 2 * np.pi) + bend * t)))
    path *= rng.uniform(0.8, 1.9) * _HAIR / 40
    path -= path.mean()
    y, x = np.mgrid[:side, :side] - _HAIR
    squares = (x[..., None] - path.real) ** 2 + (y[..., None] - path.imag) ** 2
    cover = np.clip(rng.uniform(0.35, 0.8) + 0.5 - np.sqrt(squares.min(axis=-1)), 0, 1)
    hair: Stamp = np.rint(255 * rng.uniform(0.4, 0.9) * cover).astype(np.uint8)
    return hair


def stains(picture: Pixels, strength: float, rng: np.random.Generator) -> Pixels:
    """Up to three dried drops: a tint that is darker along its uneven rim.

    A stain multiplies each channel, blue most.

    Args:
        strength: 0 (none) to 1.
    """
    height, width = picture.shape[:2]
    for _ in range(int(rng.integers(0, 4)) if strength else 0):
        radius = rng.uniform(0.08, 0.4) * max(height, width)
        place = rng.uniform(-0.1, 1.1, 2) * (height, width)
        wobble = 0.25 * rng.standard_normal((3, 2)) / np.arange(1, 4)[:, None]
        body, rim = strength * rng.uniform(0.05, 0.35), strength * rng.uniform(0, 0.4)
        tint = np.array([0.35, 0.6, 1.0]) * rng.uniform(0.7, 1, 3)
        if picture.shape[2] == 1:
            tint = tint.mean(keepdims=True)
        picture = _stained(picture, place, radius, wobble, (body, rim), tint)
    return picture.copy() if strength == 0 else picture


def _stained(
    picture: Pixels,
    place: Kernel,
    radius: float,
    wobble: Kernel,
    amounts: tuple[float, float],
    tint: Kernel,
) -> Pixels:
    height, width = picture.shape[:2]
    soft = 1.5 + 0.04 * radius
    weight = tint.astype(np.float32)
    x = (np.arange(width) - place[1]) / radius

    def stained(values: Floats, rows: slice) -> Floats:
        y = ((np.arange(height)[rows] - place[0]) / radius)[:, None]
        distance = np.sqrt(x * x + y * y) + 1e-6
        # cos and sin of one, two and three times the angle, without trigonometry.
        c1, s1 = x / distance, y / distance
        c2, s2 = c1 * c1 - s1 * s1, 2 * c1 * s1
        c3, s3 = c2 * c1 - s2 * s1, s2 * c1 + c2 * s1
        edge = 1.0 + sum(
            a * c + b * s for (a, b), c, s in zip(wobble, (c1, c2, c3), (s1, s2, s3), strict=True)
        )
        inward = (edge - distance) * (radius / soft)
        body = np.clip(inward, 0, 1) * amounts[0]
        rim = np.clip(1 - np.abs(inward - 1), 0, 1) * amounts[1]
        cover = np.rint(255 * (body + rim)).astype(np.float32) / 255
        values *= 1 - cover[..., None] * weight
        return values

    return by_bands(picture, stained)


def _tones(rng: np.random.Generator, light: bool, channels: int) -> Floats:
    """The colour of the bare base, or of dirt: near white or near black, slightly warm."""
    tone = rng.uniform(205, 255) if light else rng.uniform(10, 70)
    warm = tone * (1 - np.array([0, 0.03, 0.1]) * rng.random())
    return (warm if channels == 3 else warm.mean(keepdims=True)).astype(np.float32)
