"""Where a restoration changed a picture, and restoring only there."""

from itertools import pairwise

import numpy as np
import pytest

from iln.errors import InputError
from iln.images.mask import (
    as_mask,
    changed_mask,
    take_smaller_changes,
    undo_small_changes,
    within_mask,
)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_marks_are_found_with_soft_edges(dtype: type) -> None:
    full = 1.0 if dtype is np.float32 else np.iinfo(dtype).max
    before = np.full((300, 50, 3), 0.4 * full).astype(dtype)
    after = before.copy()
    after[270, 20:30, 1] = 0.9 * full
    after[:, 45] = (0.4 + 5 / 255) * full  # too little to be a mark
    mask = changed_mask(before, after)
    assert mask.shape == (300, 50) and mask.dtype == np.uint8
    assert (mask[269:272, 19:31] == 255).all()
    assert (mask[:264] == 0).all() and (mask[:, 40:] == 0).all()
    assert 0 < mask[273, 25] < 255


def test_between_half_of_the_least_change_and_all_of_it_a_pixel_counts_in_part() -> None:
    before = np.full((9, 90, 1), 100, np.uint8)
    after = before.copy()
    changes = {5: 5, 25: 6, 45: 8, 65: 9, 85: 10}
    for column, change in changes.items():
        after[4, column] -= change
    mask = changed_mask(before, after)
    found = [int(mask[4, column]) for column in changes]
    assert found[0] == 0 and found[-1] == 255
    assert all(a < b for a, b in pairwise(found))


def test_edges_can_be_hard_and_marks_as_found() -> None:
    before = np.zeros((9, 9, 1), np.uint8)
    after = before.copy()
    after[4, 4] = 200
    mask = changed_mask(before, after, grown=0, soft=0)
    assert mask.sum() == 255 and mask[4, 4] == 255
    grown = changed_mask(before, after, grown=2, soft=0)
    assert (grown[2:7, 2:7] == 255).all() and grown.sum() == 25 * 255


def test_equal_pictures_have_no_marks() -> None:
    picture = np.zeros((5, 6, 3), np.uint8)
    assert not changed_mask(picture, picture).any()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_outside_of_the_mask_nothing_changes_inside_everything(dtype: type) -> None:
    rng = np.random.default_rng(0)
    full = 1 if dtype is np.float32 else np.iinfo(dtype).max
    before, after = (
        (rng.random((300, 7, 3)) * full).astype(dtype),
        (rng.random((300, 7, 3)) * full).astype(dtype),
    )
    mask = np.zeros((300, 7), np.uint8)
    mask[100:], mask[200:] = 128, 255
    result = within_mask(before, after, mask)
    assert result.dtype == dtype
    assert np.array_equal(result[:100], before[:100])
    assert np.array_equal(result[200:], after[200:])
    between = before[100:200].astype(float) + after[100:200].astype(float)
    assert np.abs(result[100:200] - between / 2).max() <= full * 0.003
    assert np.array_equal(within_mask(before[..., 0], after[..., 0], mask), result[..., 0])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_small_changes_are_undone_band_by_band_as_at_once(dtype: type) -> None:
    rng = np.random.default_rng(0)
    full = 1 if dtype is np.float32 else np.iinfo(dtype).max
    before = (rng.uniform(0.1, 0.4, (700, 31, 3)) * full).astype(dtype)
    after = before + (rng.uniform(0, 4 / 255, before.shape) * full).astype(dtype)
    for row in (0, 255, 256, 259, 511, 512, 699):  # at the bands' edges, too
        after[row, row % 29] = full
    after[:, 15] = before[:, 15] + np.array(7 / 255 * full, dtype)  # which counts in part
    expected = within_mask(before, after, changed_mask(before, after))
    undo_small_changes(before, after)
    assert np.array_equal(after, expected)
    assert 0.5 < (after == before).all(2).mean() < 0.99


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_of_two_results_each_pixel_is_the_one_that_changed_less(dtype: type) -> None:
    rng = np.random.default_rng(0)
    full = 1 if dtype is np.float32 else np.iinfo(dtype).max
    before, after, other = ((rng.random((600, 9, 3)) * full).astype(dtype) for _ in range(3))
    other[:, 4] = before[:, 4]
    after[:, 5] = before[:, 5]
    distances = [np.abs(x.astype(float) - before).max(2) for x in (after, other)]
    expected = np.where((distances[1] < distances[0])[..., None], other, after)
    kept = other.copy()
    take_smaller_changes(before, after, other)
    assert np.array_equal(after, expected) and np.array_equal(other, kept)
    assert np.array_equal(after[:, 4:6], before[:, 4:6])


def test_sizes_must_agree() -> None:
    small, large = np.zeros((4, 4, 3), np.uint8), np.zeros((5, 4, 3), np.uint8)
    with pytest.raises(ValueError, match="of one size"):
        changed_mask(small, large)
    with pytest.raises(ValueError, match="one size"):
        within_mask(small, small, np.zeros((5, 4), np.uint8))
    with pytest.raises(ValueError, match="one size"):
        take_smaller_changes(small, small, large)


def test_a_mask_of_black_and_white_gets_a_soft_edge_outside_of_the_white() -> None:
    painted = np.zeros((20, 30), np.uint8)
    painted[8:12, 10:20] = 255
    mask = as_mask(painted, 20, 30)
    assert (mask[8:12, 10:20] == 255).all()
    assert 0 < mask[10, 8] < 255
    far = np.ones_like(mask, bool)
    far[4:16, 6:24] = False
    assert not mask[far].any()
    assert np.array_equal(as_mask(mask, 20, 30), mask)  # one that has it keeps it
    assert np.array_equal(as_mask(painted, 20, 30, soft=0), painted)


@pytest.mark.parametrize(
    "array",
    [
        np.full((6, 9), 128, np.uint8),
        np.full((6, 9, 1), 128 * 257, np.uint16),
        np.full((6, 9, 3), 128 / 255, np.float32),
        np.stack([np.full((6, 9), 255), np.full((6, 9), 128)], 2).astype(np.uint8),
        np.full((3, 4), 128, np.uint8),
        np.full((60, 90), 128, np.uint8),
    ],
    ids=["gray", "16 bits", "floats", "half transparent", "smaller", "larger"],
)
def test_masks_in_every_form(array: np.ndarray) -> None:
    assert np.array_equal(as_mask(array, 6, 9), np.full((6, 9), 128))


def test_what_is_no_mask() -> None:
    with pytest.raises(InputError, match="is in colour"):
        as_mask(np.array([[[200, 20, 20]]], np.uint8), 1, 1)
    with pytest.raises(InputError, match="is 30 x 30, which are not the picture's proportions"):
        as_mask(np.zeros((30, 30), np.uint8), 30, 40)
    with pytest.raises(InputError, match="is 3 x 3, which are not the picture's proportions"):
        as_mask(np.zeros((3, 3), np.uint8), 20, 30)


@pytest.mark.parametrize("sides", [(10, 15), (40, 60), (5, 8)])
def test_hard_masks_of_other_sizes_keep_their_white_and_their_black(sides: tuple[int, int]) -> None:
    painted = np.zeros(sides, np.uint8)
    painted[:, : sides[1] // 3] = 255
    mask = as_mask(painted, 20, 30)
    white = round(sides[1] // 3 * 30 / sides[1])
    assert (mask[:, :white] == 255).all() and not mask[:, white + 5 :].any()


@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (2, 200), (6, 6)])
def test_the_smallest_pictures(shape: tuple[int, int]) -> None:
    assert (as_mask(np.full(shape, 255, np.uint8), *shape) == 255).all()
    before, after = np.zeros((*shape, 3), np.uint8), np.full((*shape, 3), 200, np.uint8)
    assert (changed_mask(before, after) == 255).all()
    assert not changed_mask(before, before).any()


def test_what_is_black_stays_in_double_precision() -> None:
    before, after = np.full((4, 4, 3), 1 / 3), np.full((4, 4, 3), 0.9)
    assert (within_mask(before, after, np.zeros((4, 4), np.uint8)) == before).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_ones_are_not_taken_for_white(dtype: type) -> None:
    ones = np.ones((4, 5), dtype)
    with pytest.raises(InputError, match="0 and 1 alone; white is"):
        as_mask(ones, 4, 5)
    assert (as_mask(ones.astype(np.float32), 4, 5) == 255).all()
    assert not as_mask(0 * ones, 4, 5).any()


@pytest.mark.parametrize(("level", "expected"), [(-0.01, 0), (1.02, 255)])
def test_floats_beyond_black_and_white_do_not_wrap_round(level: float, expected: int) -> None:
    assert (as_mask(np.full((6, 9), level, np.float32), 6, 9) == expected).all()
