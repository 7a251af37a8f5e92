"""Every figure and table, from an empty store to its page."""

import csv
import json
import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from iln.cli.main import main
from iln.lab.paper import ITEMS
from iln.lab.paper.items import table1
from iln.norm import NORMS


def run(*words: str) -> object:
    with pytest.raises(SystemExit) as ended:
        main(["paper", *words])
    return ended.value.code


@pytest.mark.slow
def test_all_items(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--scale", "smoke", "-o", str(tmp_path / "pages"), "--jobs", "1"]
    words += ["--store", str(tmp_path / "runs")]
    assert run("all", *words) == 0
    out = capsys.readouterr().out
    for name, item in ITEMS.items():
        assert item.title in out
        folder = tmp_path / "pages" / name
        text = (folder / "README.md").read_text()
        assert text.startswith(f"# {item.title}\n\n**The paper:** ")
        assert "| claim | holds here | numbers |" in text, name
        named = set(re.findall(r"\]\(([^)]+)\)", text))
        assert named == {file.name for file in folder.iterdir()} - {"README.md"}, name
        for file in folder.glob("*.csv"):
            with file.open(newline="") as rows:
                header, *cells = csv.reader(rows)
            assert cells, file
            assert all(len(row) == len(header) for row in cells), file
        for file in folder.glob("*.png"):
            with Image.open(file) as picture:
                assert picture.convert("L").getextrema() != (255, 255), file
    assert "7.4640 / 5.0736" in (tmp_path / "pages/table4/README.md").read_text()
    assert "28.79 / 27.68 / 26.55 / 31.01" in (tmp_path / "pages/table1/README.md").read_text()

    # Everything is there now: the same again trains nothing, and asks before it replaces.
    assert run("fig4", *words) == 2
    assert "not empty" in capsys.readouterr().err
    assert run("fig4", *words, "--overwrite") == 0
    assert "run 1 of" not in capsys.readouterr().out

    # A run that was not finite is told on every page, also where no other of its arm is left.
    for seed in (0, 1):
        for folder in (tmp_path / "runs" / "smoke").glob(f"sr-swinir-light-x4-ln-{seed}-*"):
            fail(folder)
        assert run("all", *words, "--overwrite") == 0
        for name in ("fig1", "fig8", "fig9", "knob", "rates", "structure", "table1", "table4"):
            text = (tmp_path / "pages" / name / "README.md").read_text()
            assert "Not finite, and stopped: sr-swinir-light-x4-ln-" in text, name
            assert not re.search(r"\bnan\b", text), name
    rates = (tmp_path / "pages" / "rates" / "README.md").read_text()
    assert "failed" in rates
    text = (tmp_path / "pages" / "table1" / "README.md").read_text()
    assert "the best other is LN:" not in text


def fail(folder: Path) -> None:
    """As a run that met numbers that are not finite leaves its folder."""
    (folder / "last.safetensors").unlink()
    (folder / "failure.txt").write_text("step 3: the loss is nan\n")
    log = folder / "log.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    kept = [line for line in lines if "validation" not in line or line["step"] < 4]
    log.write_text("".join(json.dumps(line) + "\n" for line in kept))


def test_without_matplotlib_nothing_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    places = ["-o", str(tmp_path / "pages"), "--store", str(tmp_path / "runs")]
    assert run("table1", "--scale", "smoke", *places, "--jobs", "1") == 2
    assert "pictures need matplotlib" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    out = capsys.readouterr().out
    assert all(name in out for item in ITEMS.values() for name in item.names)
    assert "table1, fig4" in out
    assert run("fig3") == 2
    assert "did you mean" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["-o", "--store"])
def test_a_dash_is_no_folder(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("fig1", "--scale", "smoke", option, "-") == 2
    assert "-: is no folder" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_missing_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = ["-o", str(tmp_path / "pages"), "--store", str(tmp_path / "runs")]
    assert run("fig1", "--data-root", str(tmp_path / "none"), *places) == 2
    assert "--data-root" in capsys.readouterr().err
    assert run("fig1", "--data-root", str(tmp_path), *places) == 2
    assert "OpenPhotos" in capsys.readouterr().err
    assert not (tmp_path / "pages").exists()


def test_every_norm_is_in_table_1() -> None:
    assert {*table1.DIVERGE, *table1.CALM, "none"} == set(table1.COMPARED) <= set(NORMS)
