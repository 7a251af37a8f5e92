"""Shipped files and their cards say the same; what does not is found."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import card
import check
import pytest
import quick
from models import licence, model
from score import measure, measure_quickly
from ship import ship
from small_zoo import network

from iln import InputError
from iln.checkpoints.catalogue import entry
from iln.checkpoints.native import describe


def test_the_package_is_as_its_cards_say() -> None:
    assert list(check.wrong_files(card.ZOO, card.README)) == []


@pytest.fixture(scope="module")
def scores(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = network(tmp_path_factory.mktemp("scores") / "m.safetensors", 2)
    return measure(model("sr-x2"), file, data)


@pytest.fixture
def zoo(scores: dict[str, Any], tmp_path: Path) -> Path:
    """A package with one model, and a page that lists it."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    (tmp_path / "README.md").write_text(f"Models\n{card.BEGIN}\nstale\n{card.END}\nby hand\n")
    file = network(tmp_path / "m.safetensors", 2)
    ship("sr-x2", file, tmp_path / "scores.json", folder)
    card.update_pages(folder, tmp_path / "README.md")
    return folder


def problems(zoo: Path) -> list[str]:
    return list(check.wrong_files(zoo, zoo.parent / "README.md"))


def test_what_was_just_shipped_is_right(zoo: Path, scores: dict[str, Any]) -> None:
    about = describe(zoo / "sr-x2.safetensors")
    assert about["dtype"] == "float16"
    assert about["task"] == "sr: enlarges clean pictures twofold"
    assert about["licence"].startswith("research only")
    assert about["scores"] == {key: value for key, value in scores.items() if key != "quick"}
    assert problems(zoo) == []
    assert list(check.wrong_scores("sr-x2", about["scores"]["rows"], scores["rows"])) == []
    readme = (zoo.parent / "README.md").read_text()
    assert readme.startswith("Models\n") and readme.endswith("by hand\n") and "stale" not in readme
    row = scores["rows"]["Set5"]["after"]
    assert f"{row['psnr_y']:.2f} / {row['ssim_y']:.4f}" in (zoo / "sr-x2.md").read_text()


def test_what_is_written_by_hand_stays(zoo: Path) -> None:
    page = zoo / "sr-x2.md"
    page.write_text(page.read_text() + "\nLimits\n")
    card.update_pages(zoo, zoo.parent / "README.md")
    assert page.read_text().endswith("\nLimits\n") and page.read_text().count(card.BEGIN) == 1
    page.write_text("no comments")
    with pytest.raises(InputError, match="lacks the comments"):
        card.update_pages(zoo, zoo.parent / "README.md")


def test_files_that_do_not_belong_together(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page, readme = zoo / "sr-x2.md", zoo.parent / "README.md"
    text = page.read_text()
    page.write_text(text.replace(" MB", " GB"))
    assert problems(zoo) == ["sr-x2.md does not show what the weights file says; run zoo/card.py"]
    page.write_text(text)
    readme.write_text("nothing")
    assert problems(zoo) == ["README.md does not show what the weights files say; run zoo/card.py"]
    readme.write_text(f"{card.BEGIN}{card.overview(zoo)}{card.END}")
    monkeypatch.setattr(check, "LIMIT", 1000)
    (line,) = problems(zoo)
    assert "more than 0 MB" in line
    monkeypatch.undo()
    page.rename(zoo / "denoise.md")
    assert problems(zoo) == [
        "sr-x2.safetensors has no card sr-x2.md",
        "denoise.md has no weights denoise.safetensors",
    ]


def test_the_script(
    zoo: Path,
    scores: dict[str, Any],
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(card, "ZOO", zoo)
    monkeypatch.setattr(card, "README", zoo.parent / "README.md")
    monkeypatch.setattr(quick, "FILE", zoo.parent / "quick.json")
    monkeypatch.setattr("sys.argv", ["check.py", "--data", str(data)])
    assert check.main() == 1
    assert "Set5 after psnr_y" in capsys.readouterr().err
    quick.store("sr-x2", scores["quick"])
    assert check.main() == 0
    assert capsys.readouterr() == ("sr-x2: scored again, 3 rows\n", "")
    monkeypatch.setattr("sys.argv", ["check.py", "--data", str(data), "--full"])
    assert check.main() == 0
    assert capsys.readouterr() == ("sr-x2: scored again, 3 rows\n", "")
    (zoo / "jpeg.md").write_text("a card")
    monkeypatch.setattr(check, "measure", lambda *words, **options: found)
    found = copy.deepcopy(describe(zoo / "sr-x2.safetensors")["scores"])
    found["rows"]["Set5"]["after"]["psnr_y"] += 1
    assert check.main() == 1
    errors = capsys.readouterr().err.splitlines()
    assert errors[0] == "error: jpeg.md has no weights jpeg.safetensors"
    assert len(errors) == 2 and errors[1].startswith("error: sr-x2: Set5 after psnr_y is ")
    monkeypatch.setattr("sys.argv", ["check.py", "denoise", "--data", str(data)])
    with pytest.raises(InputError, match="denoise is not shipped yet"):
        check.main()


def test_scores_that_moved(scores: dict[str, Any]) -> None:
    rows = scores["rows"]
    found = copy.deepcopy(rows)
    row = found["Set14"]["after"]
    row["psnr_y"] += 0.019
    row["ssim_y"] += 0.0009
    assert list(check.wrong_scores("m", rows, found)) == []
    row["psnr_y"] += 0.002
    (line,) = check.wrong_scores("m", rows, found)
    before = rows["Set14"]["after"]["psnr_y"]
    assert line == f"m: Set14 after psnr_y is {before + 0.021:.4f} and not {before:.4f}"
    row["psnr_y"] = None
    (line,) = check.wrong_scores("m", rows, found)
    assert " is inf and not " in line
    del found["Set14"]
    assert len(list(check.wrong_scores("m", rows, found))) == 4  # before and after, two metrics
    assert len(list(check.wrong_scores("m", None, rows))) == 12


def test_a_quick_check_measures_the_same_of_fewer_pictures(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("score.QUICK", 1)
    file = network(tmp_path / "m.safetensors", 1)
    for name in ("photo", "derain"):
        whole = measure(model(name), file, data)
        assert measure_quickly(model(name), file, data) == whole["quick"] != whole["rows"]


def test_licences() -> None:
    terms = licence({"data": ["OpenPhotos"]})
    assert terms.startswith("open (commercial use too")
    research = licence({"data": ["BSDS500/test", "OpenPhotos", "DIV2K"]})
    assert research == "research only (no commercial use; trained partly on BSDS500 and DIV2K)"
    about = {"task": None, "spec": {"scale": 1}, "bytes": 1, "scores": None}
    for words, shown in ((terms, "yes"), (research, "research only"), (None, "see its card")):
        assert entry("m", {**about, "licence": words}).commercial == shown
    taught = licence({"data": ["pairs"], "init": {"data": ["OpenPhotos"]}})
    assert taught.startswith("taught (") and "BSD-3-Clause" in taught
    assert entry("m", {**about, "licence": taught}).commercial == "see its card"
    assert licence({"data": ["Taught", "DIV2K"]}).endswith("trained partly on DIV2K)")
    inherited = {"data": ["OpenPhotos"], "init": {"data": ["BSDS500/train"]}}
    assert licence(inherited).startswith("research only")
    with pytest.raises(InputError, match="does not say what it was trained on"):
        licence({"data": ["OpenPhotos"], "init": None})
    with pytest.raises(InputError, match="relative to data_root"):
        licence({"data": ["/pictures/OpenPhotos"]})


def test_only_a_models_own_scores_are_shipped(zoo: Path) -> None:
    file, scores = zoo.parent / "m.safetensors", zoo.parent / "scores.json"
    with pytest.raises(InputError, match="holds no scores of this model"):
        ship("denoise", file, scores, zoo)
    with pytest.raises(InputError, match="No such file"):
        ship("sr-x2", file, zoo / "none.json", zoo)
