"""`iln models`, and the model that restores where none is named."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_helpers import Command, photo, save, size
from PIL import Image

import iln
from iln.checkpoints import files as weights_file
from iln.checkpoints.catalogue import DEFAULT
from iln.checkpoints.chains import CHAINS
from iln.checkpoints.files import shipped_card
from iln.checkpoints.native import shipped

SCORES = {"main": "Set5", "rows": {"Set5": {"after": {"psnr_y": 31.256, "ssim_y": 0.9}}}}


@pytest.fixture
def zoo(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Shipped: sr-x2 and photo, both tiny; the working folder has one picture."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    model = iln.load(weights)
    iln.save(model, folder / "sr-x2.safetensors", task="sr: enlarges")
    for parameter in model.parameters():
        parameter.data.mul_(1.5)
    about = {"scores": SCORES, "licence": "open (commercial use too)"}
    iln.save(model, folder / "photo.safetensors", task="photo: restores", **about)
    for name in ("sr-x2", "photo"):
        (folder / f"{name}.md").write_text(f"# {name}\n\nIts *card*.\n")
    monkeypatch.setattr(weights_file, "_zoo", lambda: folder)
    monkeypatch.chdir(tmp_path)
    save("a.png")
    return folder


def test_what_to_type_for_which_picture(command: Command, zoo: Path) -> None:
    done = command("models")
    assert done.code == 0
    heading, first, second = done.out.splitlines()
    assert re.split(" {2,}", heading) == ["my picture is ...", "type this", "use"]
    assert re.fullmatch(r"an old photograph .*  iln restore PICTURE +anything", first)
    assert re.fullmatch(r"clean, .*  iln restore PICTURE --model sr-x2 +see its card", second)
    assert " dB" not in done.out  # decibels say nothing to those who ask here
    assert "print, publish and sell" in done.err


def test_scores_as_plain_lines_for_other_programs(command: Command, zoo: Path) -> None:
    done = command("models", "--scores")
    assert (done.code, done.err) == (0, "")
    heading, first, second = done.out.splitlines()
    assert re.split(" {2,}", heading) == [
        *("model", "what it does", "scale", "size", "score", "commercial use")
    ]
    assert re.fullmatch(r"photo +restores +x2 +\d\.\d MB +31\.26 dB, Set5 +yes", first)
    assert re.fullmatch(r"sr-x2 +enlarges +x2 .* MB +see its card", second)


def test_a_table_for_a_person(command: Command, zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes standard output for a terminal then
    monkeypatch.setenv("COLUMNS", "120")
    done = command("models", "--scores")
    assert done.code == 0
    assert "───" in done.out and "31.26 dB, Set5" in done.out
    assert "# photo" not in command("models", "photo").out
    assert "print, publish and sell" in command("models").out


def test_any_file_of_weights(command: Command, weights: Path, tmp_path: Path) -> None:
    done = command("models", weights)
    assert (done.code, done.err) == (0, "")
    assert "* network: SwinIR with i-LN, enlarges 2 times\n" in done.out
    torch.save(iln.build("swinir-light-x2", norm="ln").state_dict(), tmp_path / "other.pth")
    done = command("models", tmp_path / "other.pth")
    assert done.out.startswith("# other.pth\n")
    assert "taken by convention:\n\n* img_range: 1.0\n" in done.out
    hat = iln.build(
        "hat-x2", norm="ln", embed_dim=12, depths=(1,), num_heads=(2,), squeeze_factor=4
    )
    torch.save(hat.state_dict(), tmp_path / "hat.pth")
    assert "--norm ln or --norm i-ln" in command("models", tmp_path / "hat.pth").err
    done = command("models", tmp_path / "hat.pth", "--norm", "ln")
    assert "* network: HAT with LayerNorm" in done.out
    (tmp_path / "text.pth").write_text("hello\n")
    done = command("models", tmp_path / "text.pth")
    assert (done.code, done.out) == (2, "")
    assert "is no weights file (it is text)" in done.err


def test_cards(command: Command, zoo: Path) -> None:
    done = command("models", "photo")
    assert (done.code, done.out, done.err) == (0, "# photo\n\nIts *card*.\n", "")
    done = command("models", "foto")
    assert (done.code, done.out) == (2, "")
    assert done.lines == ["error: no model 'foto' is shipped; did you mean photo?"]


def test_what_a_shipped_model_says_is_not_contradicted(command: Command) -> None:
    done = command("models", "photo", "--norm", "ln", "--eps", "3")
    assert (done.code, done.out) == (2, "")
    assert done.lines == ["error: norm, eps: only for a file that does not say it"]


def test_the_package_itself(command: Command) -> None:
    done = command("models", "--scores")
    assert done.code == 0
    lines = done.out.splitlines()[1:]
    assert any(line.startswith("sr-x2 ") for line in lines)
    assert any(line.startswith("old-print ") for line in lines)
    assert all(re.search(r" dB, .*(yes|research only|see its card)$", line) for line in lines)
    assert command("models", "sr-x2").out.startswith("# sr-x2\n")
    assert command("models", "old-print").out.startswith("# old-print\n")
    choices = command("models").out.splitlines()[1:]
    assert len(choices) == len(lines)
    assert all(
        re.search(r"  iln restore PICTURE.*(anything|private, research|see its card)$", c)
        for c in choices
    )


def test_the_default_says_its_name(command: Command, zoo: Path) -> None:
    assert DEFAULT == "photo" and "photo" in shipped()
    done = command("restore", "a.png", "--device", "cpu")
    assert done.code == 0
    assert done.lines == ["note: model photo: restores; see `iln models`"]
    assert size("a_restored.png") == (32, 24)
    with Image.open("a_restored.png") as image:
        result = np.asarray(image)
    named = iln.restore(photo(), "photo", device="cpu")
    np.testing.assert_array_equal(result, named)
    np.testing.assert_array_equal(iln.restore(photo(), device="cpu"), named)


def test_a_named_model_needs_no_note(command: Command, zoo: Path) -> None:
    assert command("restore", "a.png", "--model", "sr-x2", "--device", "cpu").err == ""


def test_several_models_one_after_the_other(command: Command, zoo: Path) -> None:
    words = ["restore", "a.png", "--model", "photo", "--model", "sr-x2", "--device", "cpu"]
    done = command(*words)
    assert (done.code, done.err) == (0, "")
    assert "16x12 -> 64x48" in done.out
    with Image.open("a_restored.png") as image:
        result = np.asarray(image)
    first, second = (iln.Restorer(name, device="cpu") for name in ("photo", "sr-x2"))
    np.testing.assert_array_equal(result, second(first(photo())))
    assert not np.array_equal(result, first(second(photo())))
    done = command(*words, "--overwrite", "--input-stats", "mean")
    assert done.code == 2
    assert done.lines == [
        "error: --input-stats says what one file does not; with several models, run each by itself"
    ]


def test_the_score_of_a_chain_is_that_of_its_card() -> None:
    for name, chain in CHAINS.items():
        number = chain.score.split()[0]
        assert f"| {number} |" in shipped_card(name)
