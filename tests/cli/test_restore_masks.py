"""`iln restore --mask` and `--save-mask`: only what is white is restored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli_helpers import Command, files, photo, pixels, save
from PIL import Image

import iln
from iln.errors import InputError
from iln.images import read, write
from iln.images.sizing import resized


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_strength_and_mask_of_models_that_enlarge(restore: Command) -> None:
    """What is mixed in is the picture, enlarged."""
    save("a.png")
    Image.fromarray(np.zeros((12, 16), np.uint8)).save("none.png")
    for words in (["--strength", 0], ["--mask", "none.png"]):
        assert restore("a.png", "-o", "b.png", "--overwrite", *words).code == 0
        expected = resized(read("a.png").pixels, *pixels("b.png").shape[:2])
        assert np.array_equal(pixels("b.png"), expected)


def test_a_mask_that_is_black_is_told(command: Command, same_size: Path) -> None:
    save("a.png")
    painted = np.zeros((12, 16, 4), np.uint8)
    painted[3:9, 3:9, 3] = 255  # black, and a shape in its transparency alone
    Image.fromarray(painted).save("m.png")
    done = command("restore", "a.png", "--model", same_size, "--mask", "m.png", "-o", "b.png")
    assert (done.code, done.err) == (0, "note: a.png: its mask is black: nothing is restored\n")


def test_only_what_lies_within_a_mask_is_restored(command: Command, same_size: Path) -> None:
    save("a.png", photo(height=40, width=60))
    mask = np.zeros((40, 60), np.uint8)
    mask[:, 30:] = 255
    Image.fromarray(mask).save("m.png")
    words = ["restore", "a.png", "--model", same_size]
    command(*words, "-o", "whole.png")
    assert command(*words, "--mask", "m.png", "-o", "b.png").code == 0
    assert np.array_equal(pixels("b.png")[:, :26], pixels("a.png")[:, :26])
    assert np.array_equal(pixels("b.png")[:, 30:], pixels("whole.png")[:, 30:])
    assert np.array_equal(iln.restore("a.png", same_size, mask="m.png"), read("b.png").pixels)


def test_the_mask_that_is_saved_makes_the_same_result(command: Command, same_size: Path) -> None:
    half = read(save("a.png", photo(height=40, width=60)))
    half.pixels[:, :30] = 255  # which the network cannot make brighter
    write(half, "a.png", overwrite=True)
    model = iln.load(same_size)
    model.conv_last.bias.data += 0.5
    iln.save(model, "brighter.safetensors")
    words = ["restore", "a.png", "--model", "brighter.safetensors"]
    assert command(*words, "--save-mask", "m.png", "-o", "b.png").code == 0
    mask = pixels("m.png")
    assert mask.shape == (40, 60) and 0 < (mask == 0).mean() < 1
    assert np.array_equal(pixels("b.png")[mask == 0], pixels("a.png")[mask == 0])
    assert command(*words, "--mask", "m.png", "-o", "c.png").code == 0
    assert np.array_equal(pixels("b.png"), pixels("c.png"))


def test_the_same_of_a_model_that_enlarges(restore: Command) -> None:
    save("a.png")
    assert restore("a.png", "--save-mask", "m.png", "-o", "b.png").code == 0
    assert pixels("m.png").shape == (24, 32)
    assert restore("a.png", "--mask", "m.png", "-o", "c.png").code == 0
    assert np.array_equal(pixels("b.png"), pixels("c.png"))


def test_masks_of_numpy(same_size: Path) -> None:
    array = read(save("a.png", photo(height=40, width=60))).pixels
    mask = np.zeros((40, 60), bool)
    mask[:, 30:] = True
    expected = iln.restore(array, same_size, mask=mask.astype(np.uint8) * 255)
    assert np.array_equal(iln.restore(array, same_size, mask=mask), expected)
    assert not np.array_equal(expected, array)
    with pytest.raises(InputError, match="the mask: image is int64"):
        iln.restore(array, same_size, mask=mask.astype(np.int64))


def test_masks_that_cannot_be_meant(command: Command, same_size: Path, here: Path) -> None:
    save("a.png"), save("b.png")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save("square.png")
    Image.fromarray(np.zeros((12, 16), np.uint8)).save("m.png")
    for words, said in (
        (["a.png", "b.png", "--mask", "square.png"], "--mask is for one picture; here are 2"),
        (["a.png", "b.png", "--save-mask", "n.png"], "--save-mask is for one picture"),
        (["a.png", "--mask", "square.png"], "square.png: is 9 x 9, which are not"),
        (["a.png", "--mask", "b.png"], "b.png: is in colour"),
        (["a.png", "--mask", "c.png"], "c.png: no such file"),
        (["a.png", "--save-mask", "b.png"], "b.png: exists already"),
        (["a.png", "--save-mask", "a.png", "--overwrite"], "is an input or another result"),
        (["a.png", "--save-mask", "n.png", "--compare", "n.png"], "is an input or another"),
        (["a.png", "--mask", "b.png", "--save-mask", "b.png", "--overwrite"], "is an input or"),
        (["a.png", "--save-mask", "m.gif"], "m.gif"),
        (
            ["a.png", "--mask", "m.png", "-o", "m.png", "--overwrite"],
            "--mask m.png: is an input or",
        ),
        (["a.png", "--mask", "square.png", "-o", "new/b.png"], "square.png: is 9 x 9"),
    ):
        done = command("restore", *words, "--model", same_size)
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert said in done.err
        assert files(here) == ["a.png", "b.png", "m.png", "square.png"]


def test_a_mask_too_large_for_its_format_is_refused_before_the_work(
    restore: Command, here: Path
) -> None:
    """The model enlarges twofold; WebP holds 16383 pixels a side."""
    Image.fromarray(np.zeros((2, 9000), np.uint8)).save("a.png")
    done = restore("a.png", "--save-mask", "m.webp")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "m.webp" in done.err and files(here) == ["a.png"]
