"""`iln diagnose`, from the words to the exit code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from cli_helpers import Command, files, photo, save

import iln

GOLDEN = Path(__file__).parents[1] / "data" / "golden"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save("a.png", photo(40, 30))
    save("gray.png", photo(20, 20, 1))
    shutil.copy(weights, "other.safetensors")
    Path("text.txt").write_text("hello")
    return tmp_path


def test_a_page_and_its_numbers(command: Command, weights: Path, here: Path) -> None:
    before = files(here)
    done = command("diagnose", weights, "a.png", "gray.png", "-o", "page.html", "--crop", 16)
    assert (done.code, done.err) == (0, "")
    found = json.loads(Path("page.json").read_text("utf-8"))
    (one,) = found["checkpoints"]
    assert done.out.splitlines() == [
        f"tiny: {one['verdict']['headline']}",
        "page.html and page.json say more",
    ]
    assert one["verdict"]["headline"] in Path("page.html").read_text("utf-8")
    assert [(p["name"], p["width"], p["used_width"]) for p in found["pictures"]] == [
        ("a.png", 30, 16),
        ("gray.png", 20, 16),
    ]
    assert one["about"]["backbone"] == "swinir" and one["parameters"] == one["about"]["parameters"]
    assert files(here) == sorted([*before, "page.html", "page.json"])


def test_two_checkpoints_and_no_picture(command: Command, weights: Path) -> None:
    # No suffix, and after a picture: the content tells.
    Path("other.safetensors").rename("other")
    done = command("diagnose", weights, "a.png", "other", "--json", "n.json", "--crop", 16)
    assert done.code == 0
    assert [line.split(":")[0] for line in done.out.splitlines()[:2]] == ["tiny", "other"]
    found = json.loads(Path("n.json").read_text("utf-8"))
    assert [one["name"] for one in found["checkpoints"]] == ["tiny", "other"]
    assert len(found["comparison"]) == 4
    done = command("diagnose", weights, "--crop", 16, "--overwrite")
    assert done.code == 0
    assert json.loads(Path("report.json").read_text("utf-8"))["pictures"][0]["synthetic"]
    assert "No picture was given" in Path("report.html").read_text("utf-8")


def test_a_file_of_others_says_what_was_assumed(command: Command) -> None:
    model = iln.load("other.safetensors")
    from safetensors.torch import save_file

    save_file(dict(model.state_dict()), "theirs.safetensors")
    done = command("diagnose", "theirs.safetensors", "--crop", 16, "--norm", "i-ln")
    assert done.code == 0 and len(done.lines) == 1 and "recognised as swinir" in done.lines[0]
    (one,) = json.loads(Path("report.json").read_text("utf-8"))["checkpoints"]
    assert one["about"] == {} and set(one["assumed"]) >= {"eps", "input_stats", "img_range"}
    assert "filled in by convention: " in Path("report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.safetensors"], "no shipped model and no file is called 'none.safetensors'"),
        (["a.png"], "a.png: is a picture, no weights file"),
        (["W", "none.png"], "none.png: no such file; after the first checkpoint come one more"),
        (["W", "text.txt"], "text.txt: is not a picture"),
        (["W", "."], ".: is a folder"),
        (["W", "other.safetensors", "sr-x2"], "3 checkpoints; two at most"),
        (["W", "W"], "the checkpoint W is given twice"),
        (["W", "-o", "page.htm"], "page.htm: the name of the page must end in .html"),
        (["W", "-o", "no/page.html"], "no/page.html: the folder no does not exist"),
        (["W", "-o", "x.html", "--json", "./x.html"], "--output and --json name the same file"),
        (["W", "--json", "a.png"], "a.png: exists already"),
        (["W", "--norm", "ln"], "norm: only for files that do not say it"),
    ],
)
def test_one_line_says_what_is_wrong(
    words: list[str], message: str, command: Command, weights: Path, here: Path
) -> None:
    before = files(here)
    given = [str(weights) if word == "W" else word for word in words]
    done = command("diagnose", *given)
    assert (done.code, done.out) == (2, "")
    assert len(done.lines) == 1
    assert done.lines[0].startswith(f"error: {message.replace('W', str(weights))}")
    assert files(here) == before


def test_existing_pages_stay(command: Command, weights: Path) -> None:
    Path("report.html").write_text("mine")
    assert command("diagnose", weights, "--crop", 16).code == 2
    assert Path("report.html").read_text() == "mine" and not Path("report.json").exists()
    assert command("diagnose", weights, "--crop", 16, "--overwrite").code == 0
    assert Path("report.html").read_text("utf-8").startswith("<!DOCTYPE html>")


def test_sixteen_bits_and_whole_pictures(command: Command, weights: Path) -> None:
    save("deep.png", photo(9, 7, 1, np.uint16))
    assert command("diagnose", weights, "deep.png", "--crop", 0).code == 0
    (found,) = json.loads(Path("report.json").read_text("utf-8"))["pictures"]
    assert (found["used_width"], found["used_height"]) == (7, 9)
