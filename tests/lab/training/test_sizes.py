"""Pictures that are too small are told by name, before any is decoded."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from iln.errors import InputError
from iln.lab.tasks import Denoise, SuperResolution
from iln.lab.tasks.folders import sources
from iln.lab.training.progress import unheard
from iln.lab.training.sets import PictureSet
from iln.lab.training.sizes import check_sizes, check_tests


def draw(folder: Path, **sizes: tuple[int, int]) -> Path:
    """Pictures by name, each (width, height)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (width, height) in sizes.items():
        Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(folder / f"{name}.png")
    return folder


def said_of(folder: Path, scale: int, *patches: int) -> list[str]:
    said: list[str] = []
    task = SuperResolution(scale=scale) if scale > 1 else Denoise()
    check_sizes(sources(folder), task, patches, said.append, unheard)
    return said


def test_the_small_ones_are_named(tmp_path: Path) -> None:
    folder = draw(tmp_path / "a", a=(63, 90), b=(64, 64), c=(90, 20), d=(200, 100))
    assert said_of(folder, 1, 64) == [
        "2 of 4 pictures are smaller than the crop of 64x64 and not used: a.png, c.png"
    ]
    assert said_of(folder, 2, 32)[0].startswith(
        "2 of 4 pictures are smaller than the crop of 64x64"
    )
    assert said_of(folder, 2, 10, 32, 50) == [
        "2 of 4 pictures are smaller than the crop of 64x64 and not used: a.png, c.png",
        "3 of 4 pictures are smaller than the crop of 100x100 and not used: a.png, b.png, c.png",
    ]
    assert said_of(folder, 1, 20) == []
    many = draw(tmp_path / "many", large=(30, 30), **{f"s{i}": (9, 9) for i in range(7)})
    assert said_of(many, 1, 10)[0].endswith("s0.png, s1.png, s2.png, s3.png, s4.png and 2 more")


def test_where_none_is_large_enough_the_largest_patch_is_named(tmp_path: Path) -> None:
    folder = draw(tmp_path / "a", a=(63, 90), b=(70, 65))
    for scale, patch in ((1, 65), (2, 32), (3, 21)):
        with pytest.raises(InputError, match=f"with these pictures is patch={patch}$"):
            said_of(folder, scale, patch + 1)
        said_of(folder, scale, patch)


def test_of_pairs_the_input_counts(tmp_path: Path) -> None:
    draw(tmp_path / "input", a=(10, 12), b=(7, 12))
    draw(tmp_path / "target", a=(20, 24), b=(14, 24))
    assert said_of(tmp_path, 2, 8) == [
        "1 of 2 pictures are smaller than the crop of 16x16 and not used: b.png"
    ]
    with pytest.raises(InputError, match=r"patch=10$"):
        said_of(tmp_path, 2, 11)


def test_many_files_that_are_no_pictures_are_told_at_once(tmp_path: Path) -> None:
    draw(tmp_path, **{f"p{i}": (10, 12) for i in range(99)})
    (tmp_path / "q.png").write_bytes(b"no picture")
    assert said_of(tmp_path, 1, 8) == []  # one of a hundred
    (tmp_path / "p1.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"2 of 100 training pictures .*p1\.png.*; .*q\.png"):
        said_of(tmp_path, 1, 8)


def test_pictures_to_validate_on_can_be_scored(tmp_path: Path) -> None:
    draw(tmp_path, a=(40, 40), b=(12, 40), c=(40, 14))
    check_tests([PictureSet.of(tmp_path)], Denoise())
    with pytest.raises(InputError, match=r"b\.png is too small to validate on: SSIM .*validation="):
        check_tests([PictureSet.of(tmp_path)], SuperResolution(scale=2))
    (tmp_path / "d.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"d\.png"):
        check_tests([PictureSet.of(tmp_path)], Denoise())


def test_pairs_to_validate_on_fit_the_scale_whichever_way_they_are_turned(tmp_path: Path) -> None:
    for name in ("input", "target"):
        (tmp_path / name).mkdir()
    draw(tmp_path / "target", a=(40, 60), b=(60, 41))
    draw(tmp_path / "input", a=(20, 30), b=(20, 30))  # b's picture says so in its EXIF block
    check_tests([PictureSet.of(tmp_path)], SuperResolution(scale=2))
    with pytest.raises(InputError, match=r"input/a\.png is 20x30; .* at scale 1 it must be 40x60$"):
        check_tests([PictureSet.of(tmp_path)], Denoise())


def test_a_folder_of_folders_names_them(tmp_path: Path) -> None:
    draw(tmp_path / "mine" / "summer", a=(10, 12))
    with pytest.raises(InputError, match=r"mine holds no pictures .* its subfolders, summer$"):
        sources(tmp_path / "mine")
