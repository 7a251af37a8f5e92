"""`iln evaluate`, from the words to the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cli_helpers import Command, files, photo, save

import iln
from iln.cli.evaluate import _spread


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("one/a.png", "one/b.png", "two/c.png"):
        save(name, photo(24, 28))
    return tmp_path


def test_a_table_and_files(command: Command, weights: Path, here: Path) -> None:
    words = ["--csv", "r.csv", "--json", "r.json", "--device", "cpu"]
    done = command("evaluate", weights, "--sets", "one", "two", *words)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].split() == ["set", "pictures", "bicubic", "tiny"]
    assert [line.split()[:2] for line in lines[1:3]] == [["one", "2"], ["two", "1"]]
    found = json.loads(Path("r.json").read_text())
    means = {(m["set"], m["model"], m["metric"]): m["value"] for m in found["means"]}
    assert (
        f"{means['two', 'tiny', 'psnr_y']:.2f} / {means['two', 'tiny', 'ssim_y']:.4f}" in lines[2]
    )
    assert Path("r.csv").read_text().count("\n") == 1 + (3 + 2) * 2 * 2
    assert files(here) == ["one/a.png", "one/b.png", "r.csv", "r.json", "two/c.png"]


def test_the_function_says_the_same(command: Command, weights: Path) -> None:
    result = iln.evaluate(weights, "one", device="cpu")
    command("evaluate", weights, "--sets", "one", "--json", "r.json", "--device", "cpu")
    found = json.loads(Path("r.json").read_text())
    assert [m["value"] for m in found["means"]] == list(result.means().values())


def test_parameters(command: Command, weights: Path) -> None:
    words = ["evaluate", weights, "--sets", "one", "--task", "photo", "--device", "cpu"]
    done = command(*words, "--param", "strength=0.1,0.6", "prints=0", "--seed", 3)
    assert done.code == 0
    assert "photo (scale 2, strength 0.1..0.6, prints 0" in done.out
    assert "seed 3" in done.out
    assert [line.split()[2] for line in done.out.splitlines()[1:3]] == ["mild", "medium"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sets", "none"], "none is not a folder of pictures"),
        (["--sets", "one", "--param", "scale"], "'scale' is not of the form key=value"),
        (["--sets", "one", "--param", "scale=4"], "tiny enlarges 2 times, the task 4 times"),
        (["--sets", "one", "--csv", "two"], "two: is a folder"),
        (["--sets", "one", "--json", "one/a.png"], "one/a.png: exists already"),
        (["--sets", "one", "--json", "one/a.png", "--overwrite"], "one/a.png: is an input"),
        (["--sets", "one", "--csv", "r", "--json", "./r"], "--csv and --json name the same file"),
        (["--sets", "one", "--memory", "much"], "memory 'much' is no size"),
    ],
)
def test_one_line_says_what_is_wrong(
    words: list[str], message: str, command: Command, weights: Path, here: Path
) -> None:
    before = files(here)
    done = command("evaluate", weights, *words)
    assert (done.code, done.out) == (2, "")
    assert len(done.lines) == 1 and done.lines[0].startswith(f"error: {message}")
    assert files(here) == before


def test_nothing_is_written_if_a_picture_is_bad(
    command: Command, weights: Path, here: Path
) -> None:
    save("two/small.png", np.zeros((14, 40, 3), np.uint8))
    words = ["--sets", "one", "two", "--csv", "r.csv", "--json", "r.json"]
    done = command("evaluate", weights, *words)
    assert (done.code, done.out) == (2, "")
    assert done.lines == [
        "error: two/small.png: SSIM needs at least 11 x 11 pixels inside the border, got 10 x 36"
    ]
    assert not Path("r.csv").exists() and not Path("r.json").exists()


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("m n --sets a b --seed 1", "m n --sets a --sets b --seed 1"),
        ("m --param x=1 y=2 --sets a", "m --param x=1 --param y=2 --sets a"),
        ("--sets=a b --seed 1 m", "--sets=a --sets b --seed 1 m"),
        ("--sets a -- m n", "--sets a -- m n"),
        ("m --sets", "m --sets"),  # Typer says what is missing
        ("m --sets --seed 1", "m --sets --seed 1"),
    ],
)
def test_options_with_several_words(words: str, meant: str) -> None:
    assert _spread(words.split()) == meant.split()
