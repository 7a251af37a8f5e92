"""Pictures brought to a size: exact where nothing changes, and without what is hidden."""

import numpy as np
import pytest

from iln.errors import InputError
from iln.images import Picture
from iln.images.sizing import Size, blended, parse_size, resized, resized_with_alpha, side_by_side


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_flat_stays_flat(dtype: type) -> None:
    full = 1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    for level in (0, full // 3 if full > 1 else 0.3, full):
        flat = np.full((64, 48, 3), level, dtype)
        for height, width in [(1, 1), (21, 16), (33, 47), (63, 5), (64, 48), (100, 300)]:
            found = resized(flat, height, width)
            assert (found.shape, found.dtype) == ((height, width, 3), dtype)
            np.testing.assert_allclose(found, np.full_like(found, level), rtol=0, atol=1e-6)


def test_steps_do_not_leave_the_range() -> None:
    step = np.zeros((12, 12, 1), np.uint16)
    step[:, 6:] = 65535
    large = resized(step, 50, 50)[..., 0].astype(int)
    assert (large[:, :20] < 8000).all() and (large[:, 30:] > 57000).all()  # nothing wraps round


def test_what_is_hidden_does_not_bleed() -> None:
    colours = np.full((8, 8, 3), 255, np.uint8)
    colours[:, 4:] = 0
    alpha = np.full((8, 8), 255, np.uint8)
    alpha[:, 4:] = 0
    large, mask = resized_with_alpha(colours, alpha, 16, 16)
    assert mask is not None
    assert (large[mask > 0] == 255).all()
    same, _ = resized_with_alpha(colours, alpha, 8, 8)
    assert np.array_equal(same, colours)
    after = Picture(np.full((16, 16, 3), 255, np.uint8), np.full((16, 16), 255, np.uint8))
    before = Picture(colours, alpha)
    assert (side_by_side(before, after).pixels == 255).all()


def test_a_size_that_no_memory_holds() -> None:
    with pytest.raises(InputError, match="1000000000 x 5 pixels is too large"):
        resized(np.zeros((4, 4, 3), np.uint8), 5, 1_000_000_000)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("40x", (30, 40)),
        ("40x10", (10, 13)),
        ("100%", (12, 16)),
        (" 62.5 % ", (8, 10)),
        ("1%", (1, 1)),
    ],
)
def test_sizes_of_a_result_of_24_by_32_for_a_picture_of_12_by_16(
    text: str, expected: tuple[int, int]
) -> None:
    assert parse_size(text).of((24, 32), (12, 16)) == expected


def test_percent_is_of_the_picture_and_not_of_the_result() -> None:
    assert Size(percent=50).of((400, 600), (101, 150)) == (50, 75)


@pytest.mark.parametrize(
    ("height", "width"), [(66, 66), (99, 50), (16, 16), (17, 66), (66, 17), (34, 33), (33, 67)]
)
def test_the_middle_stays_in_the_middle(height: int, width: int) -> None:
    dot = np.zeros((33, 33, 1), np.float32)
    dot[15:18, 15:18] = 1
    found = resized(dot, height, width)[..., 0]
    rows, columns = found.sum(1), found.sum(0)
    assert rows @ np.arange(height) / rows.sum() == pytest.approx((height - 1) / 2, abs=0.02)
    assert columns @ np.arange(width) / columns.sum() == pytest.approx((width - 1) / 2, abs=0.02)


def test_what_is_even_stays_even_to_the_border() -> None:
    for size in ((31, 29), (3, 29), (31, 3), (3, 4)):
        assert (resized(np.full((9, 7, 3), 200, np.uint8), *size) == 200).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint16])
def test_a_strength_of_nothing_is_the_picture_bit_for_bit(dtype: type) -> None:
    before = (np.random.default_rng(0).random((5, 6, 3)) * 1000 / 999).astype(dtype)
    assert np.array_equal(blended(before, 1 - before, 0.0), before)
