from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from iln.errors import InputError
from iln.tasks import SuperResolution
from iln.training.data import Pairs, batch, open_pairs


def coordinates(shapes: list[tuple[int, int]], scale: int = 2) -> Pairs:
    """Pictures whose pixels say where they are: (picture, row, column) in input pixels."""
    parts = []
    for index, (height, width) in enumerate(shapes):
        rows, columns = np.mgrid[:height, :width]
        lr = np.stack([np.full_like(rows, index), rows, columns], -1).astype(np.uint8)
        hr = lr.repeat(scale, 0).repeat(scale, 1)
        parts += [lr.ravel(), hr.ravel()]
    return Pairs(np.concatenate(parts), shapes, scale)


SHAPES = [(9, 12), (5, 4), (20, 6)]


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    pairs = coordinates(SHAPES)

    def draw(seed: int, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        return batch(pairs, size=4, patch=4, seed=seed, step=step)

    first = draw(0, 7)
    draw(0, 8)
    np.random.default_rng().random()
    again = draw(0, 7)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], draw(0, 8)[0])
    assert not torch.equal(first[0], draw(1, 7)[0])


def test_the_stream_of_batches_is_frozen() -> None:
    """A change here breaks the resuming of runs made by an earlier version."""
    lr, _ = batch(coordinates(SHAPES), size=4, patch=4, seed=3, step=5)
    assert lr[:, :, 0, 0].tolist() == [[2, 6, 2], [0, 1, 3], [0, 5, 1], [0, 6, 11]]


def test_input_and_target_show_the_same_place_in_the_same_turn() -> None:
    pairs = coordinates(SHAPES, scale=3)
    for step in range(20):
        lr, hr = batch(pairs, size=4, patch=4, seed=0, step=step)
        assert lr.shape == (4, 3, 4, 4)
        assert lr.dtype == hr.dtype == torch.uint8
        assert torch.equal(lr.repeat_interleave(3, 2).repeat_interleave(3, 3), hr)


def test_every_crop_is_equally_likely_and_all_eight_turns_occur() -> None:
    pairs = coordinates(SHAPES)
    ways = pairs.positions(4)
    assert ways.tolist() == [6 * 9, 2 * 1, 17 * 3]
    lr, _ = batch(pairs, size=20_000, patch=4, seed=0, step=0)
    corner = lr.flatten(2).amin(2)  # the top left of the crop, whichever way it is turned
    names, counts = np.unique(corner.numpy(), axis=0, return_counts=True)
    assert len(names) == ways.sum()  # all places, borders included
    expected = 20_000 / ways.sum()
    assert np.sum((counts - expected) ** 2 / expected) < 160  # chi-square, 106 degrees: p > 1e-3
    turned = (lr - corner[:, :, None, None]).flatten(1)
    assert len(torch.unique(turned, dim=0)) == 8


def test_pictures_smaller_than_the_patch_are_skipped_or_named() -> None:
    lr, _ = batch(coordinates(SHAPES), size=50, patch=6, seed=0, step=0)
    assert set(lr[:, 0, 0, 0].tolist()) == {0, 2}
    with pytest.raises(InputError, match="32 pixels"):
        batch(coordinates(SHAPES), size=1, patch=32, seed=0, step=0)


def write(file: Path, height: int, width: int, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(file)


def test_pictures_are_read_once_and_again_when_one_changes(tmp_path: Path) -> None:
    folder, cache = tmp_path / "pictures", tmp_path / "cache"
    folder.mkdir()
    write(folder / "b.png", 17, 20)
    write(folder / "a.png", 12, 13)
    (folder / "notes.txt").write_text("no picture")
    task = SuperResolution(2)

    pairs = open_pairs([folder], task, cache)
    assert [lr.shape for lr, _ in pairs] == [(6, 6, 3), (8, 10, 3)]
    for (lr, hr), name in zip(pairs, ["a", "b"], strict=True):
        expected = task.pair(np.array(Image.open(folder / f"{name}.png")))
        assert np.array_equal(lr, expected[0])
        assert np.array_equal(hr, expected[1])

    made = {f: f.stat().st_mtime_ns for f in cache.iterdir()}
    assert len(made) == 2
    open_pairs([folder], task, cache)
    assert {f: f.stat().st_mtime_ns for f in cache.iterdir()} == made
    open_pairs([folder], SuperResolution(3), cache)
    assert len(list(cache.iterdir())) == 4
    write(folder / "a.png", 12, 15, seed=1)
    assert open_pairs([folder], task, cache)[0][0].shape == (6, 7, 3)


def test_a_build_that_was_killed_leaves_nothing_that_counts(tmp_path: Path) -> None:
    folder, cache = tmp_path / "pictures", tmp_path / "cache"
    folder.mkdir()
    write(folder / "a.png", 12, 12)
    open_pairs([folder], SuperResolution(2), cache)
    (shapes,) = cache.glob("*.json")
    (pixels,) = cache.glob("*.pixels")
    shapes.unlink()  # killed after the pixels, before the shapes
    pixels.write_bytes(b"")
    assert open_pairs([folder], SuperResolution(2), cache)[0][0].any()


def test_bad_folders_and_files_are_named(tmp_path: Path) -> None:
    task, cache = SuperResolution(2), tmp_path / "cache"
    with pytest.raises(InputError, match="nowhere is not a folder"):
        open_pairs([tmp_path / "nowhere"], task, cache)
    with pytest.raises(InputError, match="holds no pictures"):
        open_pairs([tmp_path], task, cache)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"broken\.png"):
        open_pairs([tmp_path], task, cache)
    assert not list(cache.iterdir())
