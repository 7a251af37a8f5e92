"""Pairs for a viewer who does not know which is which."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from viewing import counted, make_pairs

from iln import InputError


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """One is black, the other white."""
    for name, level in (("black", 0), ("white", 255)):
        (tmp_path / name).mkdir()
        for number in range(12):
            pixels = np.full((20, 30), level, np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"p{number}.png")
    return [tmp_path / "black", tmp_path / "white"]


def test_whoever_prefers_black_is_counted_so(folders: list[Path], tmp_path: Path) -> None:
    output, key = tmp_path / "pairs", tmp_path / "key.json"
    make_pairs(folders, output, key, seed=0)
    lines, sides = ["page,better"], set()
    for page in sorted(output.glob("*.png")):
        pixels = np.asarray(Image.open(page))
        assert pixels.shape == (22 + 20 * 16, 2 * 30 * 16 + 8, 3)
        side = "left" if pixels[-1, 0, 0] == 0 else "right"
        sides.add(side)
        lines.append(f"{page.stem},{side}")
    assert len(lines) == 13 and sides == {"left", "right"}
    lines[1] = lines[1].partition(",")[0] + ",same"
    (output / "answers.csv").write_text("\n".join(lines) + "\n")
    first = json.loads(key.read_text())["01"]["picture"]
    told = counted(output / "answers.csv", key).splitlines()
    assert sorted(line.rpartition(":")[0] for line in told) == ["1 same", f"11 {folders[0]}"]
    assert f"1 same: {first}" in told


def test_what_cannot_be_compared(folders: list[Path], tmp_path: Path) -> None:
    output, key = tmp_path / "pairs", tmp_path / "key.json"
    make_pairs(folders, output, key, seed=0)
    with pytest.raises(InputError, match="page 01: '' is none of"):
        counted(output / "answers.csv", key)
    answers = output / "answers.csv"
    for text, problem in (
        ("page,best\n01,left\n", "its first line must be page,better"),
        ("page,better\n99,left\n", "has no page 99"),
    ):
        answers.write_text(text)
        with pytest.raises(InputError, match=problem):
            counted(answers, key)
    for files in ((tmp_path / "none.csv", key), (answers, tmp_path / "none.json")):
        with pytest.raises(InputError, match="No such file"):
            counted(*files)
    (tmp_path / "file").touch()
    with pytest.raises(InputError):  # before the pages, which would have no key
        make_pairs(folders, tmp_path / "third", tmp_path / "file" / "key.json", seed=0)
    assert not (tmp_path / "third").exists()
    (folders[0] / "p0.png").unlink()
    other = tmp_path / "other", tmp_path / "other.json"
    with pytest.raises(InputError, match="no pictures of the same names"):
        make_pairs(folders, *other, seed=0)
    with pytest.raises(InputError, match="is named twice"):
        make_pairs([folders[1], folders[1]], *other, seed=0)
    with pytest.raises(InputError, match="exists already"):
        make_pairs(folders, output, other[1], seed=0)
