import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from iln.errors import InputError
from iln.lab.tasks import JPEG, Damaged, Metric, Pixels, SuperResolution, Task
from iln.lab.tasks.folders import sources
from iln.lab.training.data import Batches, Pictures, batch, in_order, open_pictures

SR2 = SuperResolution(scale=2)


def quiet(line: str) -> None:
    pass


def coordinates(shapes: list[tuple[int, int]], scale: int = 2) -> Pictures:
    """Pairs whose pixels say where they are: (picture, row, column) in input pixels."""
    parts, sizes = [], []
    for index, (height, width) in enumerate(shapes):
        rows, columns = np.mgrid[:height, :width]
        lr = np.stack([np.full_like(rows, index), rows, columns], -1).astype(np.uint8)
        hr = lr.repeat(scale, 0).repeat(scale, 1)
        parts += [lr.ravel(), hr.ravel()]
        sizes.append([lr.shape, hr.shape])
    return Pictures(np.concatenate(parts), sizes)


def clean(*arrays: Pixels) -> Pictures:
    return Pictures(np.concatenate([a.ravel() for a in arrays]), [[a.shape] for a in arrays])


class Mean(Task):
    """Scale 2: means of 4 pixels, and the mean of a 5x5 neighbourhood in the second channel."""

    scale: int = 2
    margin = 4

    def degrade(self, target: Pixels, rng: np.random.Generator) -> Damaged:
        height, width = target.shape[0] // 2, target.shape[1] // 2
        small = target.reshape(height, 2, width, 2, 3).mean((1, 3)) / 255
        small[..., 1] = rng.random()
        padded = np.pad(target[..., 2], 2, mode="edge")
        wide = np.lib.stride_tricks.sliding_window_view(padded, (5, 5)).mean((2, 3))
        small[..., 2] = wide[::2, ::2] / 255
        return small.astype(np.float32)

    def metrics(self) -> dict[str, Metric]:
        return {}


SHAPES = [(9, 12), (5, 4), (20, 6)]


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    pairs = coordinates(SHAPES)

    def draw(seed: int, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        return batch(pairs, SR2, size=4, patch=4, seed=seed, step=step)

    first = draw(0, 7)
    draw(0, 8)
    np.random.default_rng().random()
    again = draw(0, 7)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], draw(0, 8)[0])
    assert not torch.equal(first[0], draw(1, 7)[0])


def test_the_stream_of_batches_is_frozen() -> None:
    """A change here breaks the resuming of runs made by an earlier version."""
    lr, _ = batch(coordinates(SHAPES), SR2, size=4, patch=4, seed=3, step=5)
    assert lr[:, :, 0, 0].tolist() == [[0, 1, 9], [0, 2, 11], [2, 15, 0], [2, 16, 3]]


def test_input_and_target_show_the_same_place_in_the_same_turn() -> None:
    pairs = coordinates(SHAPES, scale=3)
    task = SuperResolution(scale=3)
    for step in range(20):
        lr, hr = batch(pairs, task, size=4, patch=4, seed=0, step=step)
        assert lr.shape == (4, 3, 4, 4)
        assert lr.dtype == hr.dtype == torch.uint8
        assert torch.equal(lr.repeat_interleave(3, 2).repeat_interleave(3, 3), hr)


def test_every_crop_is_equally_likely_and_all_eight_turns_occur() -> None:
    pairs = coordinates(SHAPES)
    ways = pairs.positions(4, 2)
    assert ways.tolist() == [6 * 9, 2 * 1, 17 * 3]
    lr, _ = batch(pairs, SR2, size=20_000, patch=4, seed=0, step=0)
    corner = lr.flatten(2).amin(2)  # the top left of the crop, whichever way it is turned
    names, counts = np.unique(corner.numpy(), axis=0, return_counts=True)
    assert len(names) == ways.sum()  # all places, borders included
    expected = 20_000 / ways.sum()
    assert np.sum((counts - expected) ** 2 / expected) < 160  # chi-square, 106 degrees: p > 1e-3
    turned = (lr - corner[:, :, None, None]).flatten(1)
    assert len(torch.unique(turned, dim=0)) == 8


def test_pictures_smaller_than_the_patch_are_skipped() -> None:
    lr, _ = batch(coordinates(SHAPES), SR2, size=50, patch=6, seed=0, step=0)
    assert set(lr[:, 0, 0, 0].tolist()) == {0, 2}


def test_parts_of_a_batch_are_the_batch() -> None:
    pairs = coordinates(SHAPES)
    whole = batch(pairs, SR2, size=6, patch=4, seed=1, step=2)
    parts = [Batches(pairs, SR2, 1, lambda step: (4, 6), (rank, 3))[2] for rank in range(3)]
    for k in range(2):
        assert torch.equal(torch.cat([part[k] for part in parts]), whole[k])


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_order_whoever_prepares_them(workers: int) -> None:
    pairs = coordinates(SHAPES)
    batches = Batches(pairs, SR2, 1, lambda step: (4 if step < 7 else 5, 2), (0, 1))
    found = list(in_order(batches, range(5, 9), workers, torch.device("cpu")))
    assert [lr.shape[-1] for lr, _ in found] == [4, 4, 5, 5]
    for step, (lr, _) in zip(range(5, 9), found, strict=True):
        assert torch.equal(lr, batches[step][0])


def test_damage_is_done_to_crops_with_their_surroundings() -> None:
    """Inside the picture a crop is damaged as the whole picture is."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (40, 44, 3), dtype=np.uint8)
    whole = Mean().degrade(picture, rng)[..., 2]
    values = {round(float(v), 6) for v in whole[2:-2, 2:-2].ravel()}
    damaged, target = batch(clean(picture), Mean(), size=30, patch=3, seed=0, step=0)
    assert damaged.dtype == torch.float32
    assert target.dtype == torch.uint8
    assert target.shape == (30, 3, 6, 6)
    small = target.reshape(30, 3, 3, 2, 3, 2).float().mean((3, 5)) / 255
    torch.testing.assert_close(damaged[:, 0], small[:, 0])
    upright = [
        i for i in range(30) if round(float(damaged[i, 2, 1, 1]), 6) in values
    ]  # of the eight turns, those that keep even rows and columns
    assert len(upright) >= 3
    noise = damaged[:, 1, 0, 0]
    assert len(noise.unique()) == 30  # each sample has random numbers of its own


def test_clean_crops_reach_into_every_corner() -> None:
    picture = np.arange(64, dtype=np.uint8).reshape(8, 8, 1).repeat(3, 2)
    _, target = batch(clean(picture), Mean(), size=400, patch=2, seed=0, step=0)
    assert len(target.unique()) == 64


def write(file: Path, height: int, width: int, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(file)


def test_pictures_are_read_once_and_again_when_one_changes(tmp_path: Path) -> None:
    folder, cache = tmp_path / "pictures", tmp_path / "cache"
    folder.mkdir()
    write(folder / "b.png", 17, 20)
    write(folder / "a.png", 12, 13)
    (folder / "notes.txt").write_text("no picture")
    rng = np.random.default_rng()

    pairs = open_pictures(sources(folder), SR2, cache, quiet)
    assert [pairs[i][0].shape for i in range(len(pairs))] == [(6, 6, 3), (8, 10, 3)]
    for (lr, hr), name in zip([pairs[0], pairs[1]], ["a", "b"], strict=True):
        expected = SR2.pair(np.array(Image.open(folder / f"{name}.png")), rng)
        assert np.array_equal(lr, expected[0])
        assert np.array_equal(hr, expected[1])

    sent = pickle.dumps(pairs)  # as to a worker that is spawned
    assert len(sent) < 1000
    assert np.array_equal(pickle.loads(sent)[1][0], pairs[1][0])

    made = {f: f.stat().st_mtime_ns for f in cache.iterdir()}
    assert len(made) == 2
    open_pictures(sources(folder), SR2, cache, quiet)
    assert {f: f.stat().st_mtime_ns for f in cache.iterdir()} == made
    open_pictures(sources(folder), SuperResolution(scale=3), cache, quiet)
    assert len(list(cache.iterdir())) == 4
    write(folder / "a.png", 12, 15, seed=1)
    assert open_pictures(sources(folder), SR2, cache, quiet)[0][0].shape == (6, 7, 3)


def test_a_build_that_was_killed_leaves_nothing_that_counts(tmp_path: Path) -> None:
    folder, cache = tmp_path / "pictures", tmp_path / "cache"
    folder.mkdir()
    write(folder / "a.png", 12, 12)
    open_pictures(sources(folder), SR2, cache, quiet)
    (shapes,) = cache.glob("*.json")
    (pixels,) = cache.glob("*.pixels")
    shapes.unlink()  # killed after the pixels, before the shapes
    pixels.write_bytes(b"")
    assert open_pictures(sources(folder), SR2, cache, quiet)[0][0].any()


def test_clean_pictures_are_shared_by_tasks(tmp_path: Path) -> None:
    folder, cache = tmp_path / "pictures", tmp_path / "cache"
    folder.mkdir()
    write(folder / "a.png", 13, 12)

    class Other(Mean):
        pass

    (stored,) = open_pictures(sources(folder), Mean(), cache, quiet)[0]
    assert np.array_equal(stored, np.array(Image.open(folder / "a.png"))[:12])
    open_pictures(sources(folder), Other(), cache, quiet)
    assert len(list(cache.iterdir())) == 2


def test_folders_of_pairs_are_taken_as_they_are(tmp_path: Path) -> None:
    folder, cache = tmp_path / "pairs", tmp_path / "cache"
    for name, size in (("input", 8), ("target", 16)):
        (folder / name).mkdir(parents=True)
        for seed in range(3):
            write(folder / name / f"{seed}.png", size, size, seed)
    pairs = open_pictures(sources(folder), Mean(), cache, quiet)
    assert len(pairs) == 3
    lr, hr = batch(pairs, Mean(), size=2, patch=8, seed=0, step=0)
    assert lr.shape[-1] * 2 == hr.shape[-1] == 16
    assert lr.dtype == torch.uint8

    write(folder / "input" / "1.png", 9, 8)
    write(folder / "input" / "2.png", 8, 9)
    with pytest.raises(InputError, match=r"2 pairs do not fit: .*1\.png is 8x9.*2\.png is 9x8"):
        open_pictures(sources(folder), Mean(), cache, quiet)
    write(folder / "input" / "left.png", 8, 8)
    write(folder / "target" / "right.png", 8, 8)
    with pytest.raises(InputError, match="2 pictures lie in only one of input and target: left, r"):
        open_pictures(sources(folder), Mean(), cache, quiet)


def test_a_few_unreadable_pictures_are_left_out_and_counted(tmp_path: Path) -> None:
    folder, cache = tmp_path / "many", tmp_path / "cache"
    folder.mkdir()
    for number in range(100):
        write(folder / f"{number:03}.png", 4, 4)
    (folder / "050.png").write_bytes(b"no picture")
    said: list[str] = []
    assert len(open_pictures(sources(folder), SR2, cache, said.append)) == 99
    assert "warning: 1 unreadable pictures left out" in said[-1]
    assert "050.png" in said[-1]
    (folder / "051.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"2 of 100 training pictures cannot be read .* 1%"):
        open_pictures(sources(folder), SR2, cache, quiet)


def test_bad_folders_and_files_are_named(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(InputError, match="nowhere is not a folder"):
        open_pictures(sources(tmp_path / "nowhere"), SR2, cache, quiet)
    with pytest.raises(InputError, match="holds no pictures"):
        open_pictures(sources(tmp_path), SR2, cache, quiet)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"broken\.png"):
        open_pictures(sources(tmp_path), SR2, cache, quiet)
    assert not list(cache.iterdir())
    (tmp_path / "broken.png").unlink()
    write(tmp_path / "a.png", 17, 20)
    (tmp_path / "._a.png").write_bytes(b"what macOS writes beside a file")
    assert [source.target.name for source in sources(tmp_path)] == ["a.png"]
    for part in ("input", "target"):
        (tmp_path / part).mkdir()
        write(tmp_path / part / "p.png", 17, 20)
    write(tmp_path / "input" / "p.jpg", 17, 20)
    with pytest.raises(InputError, match=r"input: p\.jpg and p\.png have one name"):
        sources(tmp_path)


def test_two_clean_pictures_are_no_pair(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part in ("input", "target"):
        (tmp_path / part).mkdir()
        pixels = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / part / "a.png")
    task = SuperResolution(scale=2)
    clean_ones = [*sources(tmp_path / "input"), *sources(tmp_path / "target")]
    assert len(open_pictures(clean_ones, task, tmp_path / "cache", quiet)) == 2
    jpeg = JPEG()
    assert len(open_pictures(sources(tmp_path), jpeg, tmp_path / "cache", quiet)) == 1
    assert len(open_pictures(clean_ones, jpeg, tmp_path / "cache", quiet)) == 2


@pytest.mark.parametrize("harm", ["gone", "cut off", "no shapes"])
def test_a_cache_that_is_not_whole_is_made_again(harm: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    cache = tmp_path / "cache"
    open_pictures(sources(tmp_path), SR2, cache, quiet)
    ((pixels_file,), (shapes_file,)) = cache.glob("*.pixels"), cache.glob("*.json")
    if harm == "gone":
        pixels_file.unlink()
    elif harm == "cut off":
        pixels_file.write_bytes(pixels_file.read_bytes()[:-1])
    else:
        shapes_file.write_text("[[[")
    *_, found = open_pictures(sources(tmp_path), SR2, cache, quiet)[0]
    assert np.array_equal(found, pixels)


def test_a_cache_that_is_a_file_is_told(tmp_path: Path) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    (tmp_path / "pairs").write_text("mine")
    with pytest.raises(InputError, match="pairs: decoded pictures cannot be written"):
        open_pictures(sources(tmp_path), SR2, tmp_path / "pairs", quiet)
    assert (tmp_path / "pairs").read_text() == "mine"
