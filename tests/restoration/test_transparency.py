"""Edges of transparent pictures: what lies hidden under alpha 0 must not be seen in the result."""

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

import iln
from iln.checkpoints.native import shipped
from iln.images.transparency import grow_colours, keep_clear_and_opaque

COLOURS = {"light": (250, 245, 240), "red": (220, 30, 30), "dark": (12, 10, 14)}
HIDDEN = {"black": (0, 0, 0), "white": (255, 255, 255), "green": (0, 255, 0)}


def drawing(kind: str, colour: tuple[int, ...], hidden: tuple[int, ...]) -> np.ndarray:
    """A disc or letters of one colour, with smooth edges, on another colour under alpha 0."""
    mask = Image.new("L", (4 * 44, 4 * 40), 0)
    if kind == "disc":
        ImageDraw.Draw(mask).ellipse((40, 30, 130, 120), fill=255)
    else:
        ImageDraw.Draw(mask).text((12, 20), "Ae", 255, ImageFont.load_default(110))
    alpha = np.asarray(mask.resize((44, 40), Image.Resampling.BOX))
    colours = np.where(alpha[..., None] > 0, np.uint8(colour), np.uint8(hidden))
    return np.dstack([colours, alpha]).astype(np.uint8)


FAST = ("photo", "photo-x2")  # one of each scale; all models get their pixels from the same code


@pytest.fixture(
    scope="module",
    params=[n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in shipped()],
)
def restorer(request: pytest.FixtureRequest) -> iln.Restorer:
    return iln.Restorer(request.param, device="cpu")


@pytest.mark.parametrize("options", [{"strength": 0.5}, {"size": "150%"}, {"mask": "half"}])
def test_no_fringe_of_the_picture_as_it_was(options: dict[str, Any]) -> None:
    """Hidden black, beside white: no gray in the result where anything is seen."""
    given = drawing("disc", (255, 255, 255), HIDDEN["black"])
    if "mask" in options:
        options = {"mask": np.full((40, 44), 128, np.uint8)}
    result = iln.restore(given, "sr-x2", device="cpu", **options)
    seen = result[..., 3] > 0
    assert result[..., :3][seen].min() >= 240
    plain = iln.restore(given, "sr-x2", device="cpu")
    assert plain[..., :3][plain[..., 3] > 0].min() >= 240


@pytest.mark.parametrize("kind", ["disc", "text"])
@pytest.mark.parametrize("colour", COLOURS)
def test_no_fringe_of_hidden_colours(kind: str, colour: str, restorer: iln.Restorer) -> None:
    """Whatever is hidden, the visible pixels are those of the colour alone."""
    results = [restorer(drawing(kind, COLOURS[colour], HIDDEN[hidden])) for hidden in HIDDEN]
    plain = restorer(np.full((40, 44, 3), COLOURS[colour], np.uint8)).astype(int)
    for result in results:
        visible = result[..., 3] > 0
        error = np.abs(result[..., :3].astype(int) - plain)[visible]
        assert error.max() <= 2
    assert all(np.array_equal(result, results[0]) for result in results)


def test_visible_colours_stay() -> None:
    rng = np.random.default_rng(0)
    for shape in ((1, 1), (1, 7), (5, 1), (65, 130), (64, 64), (3, 200)):
        for dtype in (np.uint8, np.uint16, np.float32):
            full = 1 if dtype == np.float32 else np.iinfo(dtype).max
            colours = (rng.random((*shape, 3)) * full).astype(dtype)
            alpha = (np.where(rng.random(shape) < 0.7, 0, rng.random(shape)) * full).astype(dtype)
            before = colours.copy()
            grown = grow_colours(colours, alpha)
            assert np.array_equal(colours, before)
            assert grown.dtype == dtype
            assert np.array_equal(grown[alpha > 0], colours[alpha > 0])
            if (alpha > 0).any():
                low, high = colours[alpha > 0].min(), colours[alpha > 0].max()
                assert low <= grown.min() <= grown.max() <= high


def test_nothing_is_seen_or_all_is() -> None:
    colours = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    for alpha in (np.zeros((4, 4), np.uint8), np.full((4, 4), 255, np.uint8)):
        assert grow_colours(colours, alpha) is colours


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("scale", [1, 2])
def test_what_was_clear_or_opaque_all_around_stays_so(dtype: type, scale: int) -> None:
    full = 1 if dtype == np.float32 else np.iinfo(dtype).max
    alpha = np.zeros((150, 30), dtype)  # more rows than one band
    alpha[:, 15:] = full
    alpha[70, 20] = alpha[70, 5] = full // 2 if full > 1 else 0.5
    traces = np.full((150 * scale, 30 * scale), full * 0.25, dtype)
    keep_clear_and_opaque(alpha, traces)
    for row, column in ((0, 0), (149, 12), (63, 5), (64, 29), (73, 5), (70, 8), (70, 23)):
        expected = 0 if column < 15 else full
        assert traces[row * scale, column * scale] == expected, (row, column)
        assert traces[(row + 1) * scale - 1, (column + 1) * scale - 1] == expected
    for row, column in ((10, 13), (10, 16), (70, 5), (68, 7), (72, 20), (69, 22)):
        assert traces[row * scale, column * scale] == dtype(full * 0.25), (row, column)


def test_a_cutout_is_opaque_and_its_background_empty() -> None:
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (32, 40, 3), dtype=np.uint8)
    alpha = np.zeros((32, 40), np.uint8)
    alpha[:, 20:] = 255
    result = iln.restore(np.dstack([colours, alpha]), "jpeg", device="cpu")
    assert (result[:, :18, 3] == 0).all()
    assert (result[:, 22:, 3] == 255).all()
