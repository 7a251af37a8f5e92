"""Thin lines, drawn by their paths: what belongs to a picture and looks like a mark on its print.

Print, handwriting, hair, wires, twigs and fences. Whoever learns to take scratches away has to see
these on both sides, or takes them away too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from iln.lab.degradations.bands import Floats, Kernel, Pixels, blended

Path: TypeAlias = npt.NDArray[np.complexfloating[Any, Any]]
"""(n,) points x + iy of a line, at most a pixel apart."""
Stroke: TypeAlias = tuple[Path, Kernel | float, Kernel | float]
"""Its path, half its width in pixels, and its opacity from 0 to 1; both for each point, or one."""


def draw(cover: Pixels, path: Path, half: Kernel | float, opacity: Kernel | float) -> None:
    """One line onto a plane (H, W), in place; where lines meet, the larger cover counts.

    Args:
        half: half the width, in pixels, of each point or of all; edges are smooth.
        opacity: 0 to 1, of each point or of all.
    """
    height, width = cover.shape
    reach = int(np.ceil(np.max(half, initial=0) + 0.5))
    side = np.arange(-reach, reach + 1)
    columns = np.floor(path.real + 0.5).astype(int)[:, None, None] + side
    rows = np.floor(path.imag + 0.5).astype(int)[:, None, None] + side[:, None]
    squares = (columns - path.real[:, None, None]) ** 2 + (rows - path.imag[:, None, None]) ** 2
    halves, shares = (np.reshape(value, (-1, 1, 1)) for value in (half, opacity))
    values = 255 * shares * np.clip(halves + 0.5 - np.sqrt(squares), 0, 1)
    rows, columns = np.broadcast_arrays(rows, columns)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width) & (values > 0)
    np.maximum.at(cover, (rows[inside], columns[inside]), np.rint(values[inside]).astype(np.uint8))


def lines(picture: Pixels, rng: np.random.Generator) -> Pixels:
    """One kind of thin things all over a picture, dark or light; letters now and then on paper."""
    height, width, channels = picture.shape
    kind = KINDS[int(rng.integers(len(KINDS)))]
    cover = np.zeros((height, width), np.uint8)
    dark = rng.random() < 0.65
    if kind in ON_PAPER and rng.random() < 0.6:
        sheet = np.full((height, width), min(255, int(rng.uniform(150, 355))), np.uint8)
        paper = rng.uniform(150, 300) if dark else rng.uniform(-50, 100)
        picture = blended(picture, sheet, _tone(paper, channels, rng))
    for path, half, opacity in kind(height, width, rng):
        draw(cover, path, half, opacity)
    ink = rng.uniform(-30, 110) if dark else rng.uniform(160, 280)
    return blended(picture, cover, _tone(ink, channels, rng))


def _tone(gray: float, channels: int, rng: np.random.Generator) -> Floats:
    """A gray that is a little coloured, now and then much."""
    spread = 8 if rng.random() < 0.7 else 50
    return np.clip(gray + spread * rng.standard_normal(channels), 0, 255).astype(np.float32)


def _wires(height: int, width: int, rng: np.random.Generator) -> Iterator[Stroke]:
    """A few lines from side to side that hang through, as even as wires, masts and rigging."""
    half, opacity = rng.uniform(0.3, 1.8), rng.uniform(0.5, 1)
    slope, apart = rng.uniform(-0.5, 0.5), rng.uniform(3, 40)
    top, sag = rng.uniform(-0.3, 1) * height, rng.uniform(-0.15, 0.15) * height
    upright = rng.random() < 0.4
    along = np.arange(0, height if upright else width, 0.6)
    share = along / len(along) / 0.6
    for number in range(int(rng.integers(1, 7))):
        across = top + number * apart + slope * along + 4 * sag * share * (1 - share)
        path = across + 1j * along if upright else along + 1j * across
        yield path, half, opacity


def _hair(height: int, width: int, rng: np.random.Generator) -> Iterator[Stroke]:
    """Strands side by side that bend alike, as hair, whiskers, fur and grass do."""
    way, bend = rng.uniform(0, 2 * np.pi), rng.uniform(-0.015, 0.015)
    length, thick = int(rng.uniform(20, 120)), rng.uniform(0.25, 0.7)
    middle = complex(rng.uniform(0, width), rng.uniform(0, height))
    spread = rng.uniform(5, 60)
    for _ in range(int(rng.integers(4, 50))):
        turn = way + 0.15 * rng.standard_normal()
        bent = bend + 0.004 * rng.standard_normal()
        start = middle + spread * complex(*rng.standard_normal(2))
        path = start + np.cumsum(0.7 * np.exp(1j * (turn + bent * np.arange(length))))
        tip = np.linspace(1, 0.3, length)
        yield path, thick * rng.uniform(0.6, 1.4) * tip, rng.uniform(0.3, 1) * tip


def _twigs(height: int, width: int, rng: np.random.Generator) -> Iterator[Stroke]:
    """Branches that fork and thin out."""
    middle = complex(width, height) / 2
    start = middle + 0.6 * max(height, width) * np.exp(1j * rng.uniform(0, 2 * np.pi))
    way = np.angle(middle - start) + 0.5 * rng.standard_normal()
    opacity = rng.uniform(0.7, 1)
    open_ends = [(start, way, rng.uniform(0.8, 2.5), rng.uniform(25, 60))]
    while open_ends:
        start, way, half, length = open_ends.pop()
        steps = max(4, int(length / 0.7))
        turns = way + np.cumsum(0.08 * rng.standard_normal(steps))
        path = start + np.cumsum(0.7 * np.exp(1j * turns))
        yield path, np.linspace(half, 0.7 * half, steps), opacity
        if half > 0.45:
            for _ in range(int(rng.integers(2, 4))):
                at = path[int(rng.integers(steps // 3, steps))]
                side = turns[-1] + rng.uniform(-0.9, 0.9)
                open_ends.append((at, side, half * rng.uniform(0.5, 0.7), 0.75 * length))


def _fence(height: int, width: int, rng: np.random.Generator) -> Iterator[Stroke]:
    """Parallel lines, or two sets of them across, straight or wavy: railings, nets, stripes."""
    half, opacity = 0.3 + 5 * rng.random() ** 2, rng.uniform(0.5, 1)
    period = max(rng.uniform(4, 40), 3 * half)
    way, far = rng.uniform(0, np.pi), np.hypot(height, width)
    middle = complex(width, height) / 2
    forth = np.arange(-far / 2, far / 2, 0.5)
    for turn in (way, way + rng.uniform(0.7, np.pi - 0.7))[: int(rng.integers(1, 3))]:
        along, across = np.exp(1j * turn), np.exp(1j * (turn + np.pi / 2))
        wave = 2 * np.pi * forth / (period * rng.uniform(1, 4)) + rng.uniform(0, 2 * np.pi)
        bend = max(0, rng.uniform(-0.25, 0.25)) * period * np.sin(wave)
        for offset in np.arange(-far / 2, far / 2, period):
            yield middle + forth * along + (offset + bend) * across, half, opacity


def _handwriting(height: int, width: int, rng: np.random.Generator) -> Iterator[Stroke]:
    """Loops along lines, as a pen makes them."""
    size, half = rng.uniform(3, 12), rng.uniform(0.3, 1.2)
    slant, opacity = rng.uniform(-0.2, 0.7), rng.uniform(0.6, 1)
    for line in np.arange(rng.uniform(0, size), height + size, rng.uniform(2.5, 4) * size):
        start = -rng.uniform(0, 4) * size
        while start < width:
            letters = int(rng.integers(2, 9))
            t = np.linspace(0, letters, int(letters * size * 12))
            rise = np.interp(t, np.arange(letters + 1), rng.uniform(0.2, 1.2, letters + 1))
            y = size * rise * np.sin(2 * np.pi * t + rng.uniform(0, 6))
            loops = rng.uniform(0.2, 0.6) * size * np.cos(2 * np.pi * t + rng.uniform(0, 6))
            x = start + size * t + loops - slant * y
            pressure = half * (1 + 0.3 * np.sin(2 * np.pi * t + rng.uniform(0, 6)))
            yield x + 1j * (line + y), pressure, opacity
            start += (letters + rng.uniform(0.8, 2)) * size


def _print(height: int, width: int, rng: np.random.Generator) -> Iterator[Stroke]:
    """Lines of letters of an alphabet of its own: two to four straight or round strokes each."""
    size = 4 * 16 ** rng.random()
    half = max(0.3, size * rng.uniform(0.03, 0.18))
    opacity, slant = rng.uniform(0.7, 1), rng.choice([0, 0, 0.2])
    advance = size * rng.uniform(0.5, 0.85)  # letters that are set tightly leave narrow gaps
    alphabet = [[_letter_stroke(rng) for _ in range(rng.integers(2, 5))] for _ in range(16)]
    for line in np.arange(rng.uniform(-size, size), height, rng.uniform(1.3, 2.2) * size):
        place = -rng.uniform(0, 1) * size
        while place < width:
            if rng.random() < 0.85:
                for unit in alphabet[int(rng.integers(len(alphabet)))]:
                    count = 3 + int(1.5 * size * np.abs(np.diff(unit)).sum())
                    points = np.linspace(0, len(unit) - 1, count)
                    path = size * np.interp(points, np.arange(len(unit)), unit)
                    yield (
                        place + path.real - slant * path.imag + 1j * (line + path.imag),
                        half,
                        opacity,
                    )
            place += advance


def _letter_stroke(rng: np.random.Generator) -> Path:
    """Within a box 0.55 wide and 1 high: between two of its grid's points, or an arc."""
    if rng.random() < 0.7:
        ends = 0.275 * rng.integers(0, 3, 2) + 0.5j * rng.integers(0, 3, 2)
        path: Path = np.asarray(ends, np.complex128)
    else:
        turn = np.linspace(0, rng.uniform(2, 6.3), 12) + rng.uniform(0, 6.3)
        path = 0.275 + 0.25j * rng.choice([1, 2, 3]) + 0.25 * np.exp(1j * turn)
    return path


ON_PAPER = (_print, _handwriting)
KINDS: tuple[Callable[[int, int, np.random.Generator], Iterator[Stroke]], ...] = (
    *ON_PAPER,
    _hair,
    _wires,
    _twigs,
    _fence,
)
