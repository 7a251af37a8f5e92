"""Lettering in real fonts: titles, captions and signs, whose strokes and gaps look like marks.

The fonts are the free ones that matplotlib brings: DejaVu, STIX and Computer Modern, upright and
italic, regular and bold.
"""

from __future__ import annotations

import string
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from iln.extras import need
from iln.lab.degradations.bands import Floats, Pixels, blended

FONTS = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"DejaVuSansMono{style}" for style in ("", "-Bold")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    *(f"cm{style}10" for style in ("r", "b", "ss", "ti", "tt")),
)
SIZES = (7, 70)
"""Of the letters, in pixels; small ones are as frequent as large ones."""


def lettered(picture: Pixels, rng: np.random.Generator) -> Pixels:
    """Lines of made-up words all over a picture (H, W, C), on it or on a ground of one colour.

    Raises:
        InputError: where matplotlib, whose fonts they are, is missing.
    """
    height, width, channels = picture.shape
    cover = _lines_of_words(height, width, rng)
    if rng.random() < 0.7:
        ground = _colour(channels, rng)
        sheet = np.full((height, width), min(255, int(rng.uniform(170, 355))), np.uint8)
        picture = blended(picture, sheet, ground)
    behind = picture.mean((0, 1))
    for _ in range(20):
        ink = _colour(channels, rng)
        if np.abs(ink - behind).max() > 50:  # else nobody can read it
            break
    return blended(picture, cover, ink)


def _colour(channels: int, rng: np.random.Generator) -> Floats:
    """White or black as often as any other."""
    if rng.random() < 0.5:
        tone = 255 - 40 * rng.random() if rng.random() < 0.5 else 40 * rng.random()
        return np.full(channels, tone, np.float32)
    return rng.uniform(0, 255, channels).astype(np.float32)


def _lines_of_words(height: int, width: int, rng: np.random.Generator) -> Pixels:
    """(H, W): 255 where there is ink."""
    smallest, largest = SIZES
    size = smallest * (largest / smallest) ** rng.random()
    font = _font(FONTS[int(rng.integers(len(FONTS)))], round(size))
    tracking = size * rng.uniform(-0.06, 0.12)
    bolder = int(rng.integers(0, 1 + round(size / 16)))  # pixels on every side
    letters = (string.ascii_lowercase, string.ascii_uppercase, string.ascii_letters)[
        int(rng.integers(3))
    ] + string.digits
    canvas = Image.new("L", (width, height))
    draw = ImageDraw.Draw(canvas)
    line = rng.uniform(-1, 0.5) * size
    while line < height:
        place = rng.uniform(-2, 1) * size
        while place < width:
            for _ in range(int(rng.integers(1, 10))):
                letter = letters[int(rng.integers(len(letters)))]
                draw.text((place, line), letter, fill=255, font=font, stroke_width=bolder)
                place += font.getlength(letter) + 2 * bolder + tracking
            place += 0.3 * size
        line += size * rng.uniform(0.95, 1.6)
    if rng.random() < 0.3:
        turn = 90 if rng.random() < 0.3 else rng.uniform(-15, 15)
        canvas = canvas.rotate(turn, Image.Resampling.BICUBIC)
    return np.asarray(canvas)


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    folder = Path(need("matplotlib", "train").get_data_path(), "fonts", "ttf")
    return ImageFont.truetype(folder / f"{name}.ttf", size)
