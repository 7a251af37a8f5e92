"""What is written, and what is printed."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from pathlib import Path

import pytest
from known_networks import flat, folder, network, pairs, photo
from rich.console import Console

import iln
from iln import InputError
from iln.atomic import check_writable
from iln.lab.evaluation import Evaluation, evaluate
from iln.lab.evaluation.files import write_csv, write_json
from iln.lab.evaluation.table import print_table


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("evaluation")


@pytest.fixture(scope="module")
def result(place: Path) -> Evaluation:
    """Two models on two sets, one of them of pairs, where one model is perfect."""
    files = [network(place / "same.safetensors"), network(place / "darker-by-10.safetensors", -10)]
    sets = [
        folder(place / "clean", a=photo(), b=photo(seed=2)),
        pairs(place / "paired", p=(flat(110), flat(100))),
    ]
    return evaluate(files, sets, task="denoise", parameters={"sigma": [10, 30]}, seed=7)


def printed(result: Evaluation, width: int, terminal: bool) -> str:
    out = io.StringIO()
    print_table(result, Console(file=out, width=width, force_terminal=terminal))
    return out.getvalue()


def test_csv_has_each_number_and_the_means(result: Evaluation, tmp_path: Path) -> None:
    write_csv(result, tmp_path / "r.csv")
    with (tmp_path / "r.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["row", "set", "protocol", "picture", "model", "metric", "value"]
    singles = [row for row in rows if row["row"] == "picture"]
    means = [row for row in rows if row["row"] == "mean"]
    assert len(singles) == (2 * 2 + 1) * 3 * 2
    assert len(means) == (2 + 1) * 3 * 2
    assert len(singles) + len(means) == len(rows)
    for mean in means:
        same = ("set", "protocol", "model", "metric")
        values = [float(r["value"]) for r in singles if all(r[k] == mean[k] for k in same)]
        assert float(mean["value"]) == pytest.approx(sum(values) / len(values))
        assert mean["picture"] == ""
    perfect = [r["value"] for r in means if r["model"] == "darker-by-10" and r["set"] == "paired"]
    assert perfect == ["inf", "1.0"]


def test_json_says_all_that_decided_the_numbers(
    result: Evaluation, place: Path, tmp_path: Path
) -> None:
    write_json(result, tmp_path / "r.json")

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    text = (tmp_path / "r.json").read_text()
    found = json.loads(text, parse_constant=refuse)
    assert found["task"] == {
        "name": "denoise",
        "parameters": {"scale": 1, "sigma": [10, 30], "rounded": False, "gray": False},
    }
    assert (found["seed"], found["precision"], found["baseline"]) == (7, "fp32", "input")
    assert found["versions"]["iln"] == iln.__version__
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", found["date"])
    assert found["metrics"]["psnr_rgb"].startswith("PSNR in dB on R, G and B together")
    clean, paired = found["sets"]
    assert clean["folder"] == str(place / "clean") and clean["pictures"] == 2
    assert {k: v["sigma"] for k, v in clean["protocols"].items()} == {
        "sigma 15": 15,
        "sigma 25": 25,
    }
    assert list(paired["protocols"]) == ["pairs"]
    model = found["models"][1]
    assert model["name"] == "darker-by-10" and model["device"] == "cpu"
    content = Path(model["file"]).read_bytes()
    assert model["sha256"] == hashlib.sha256(content).hexdigest()
    assert model["backbone"] == "swinir" and model["spec"]["norm"] == "i-ln"
    assert len(found["pictures"]) == len(result.scores)
    assert len(found["means"]) == len(result.means())
    perfect = {
        "set": "paired",
        "protocol": "pairs",
        "picture": "p.png",
        "model": "darker-by-10",
        "metric": "psnr_rgb",
        "value": "Infinity",
    }
    assert perfect in found["pictures"]
    assert float("Infinity") == float(perfect["value"])


@pytest.mark.parametrize("write", [write_csv, write_json])
def test_files_are_replaced_only_if_told(write: object, result: Evaluation, tmp_path: Path) -> None:
    assert callable(write)
    file = tmp_path / "r"
    file.write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        write(result, file)
    with pytest.raises(InputError, match="exists already"):
        check_writable(file, overwrite=False)
    check_writable(file, overwrite=True)
    assert file.read_text() == "mine"
    write(result, file, overwrite=True)
    assert len(file.read_text()) > 1000
    assert [f.name for f in tmp_path.iterdir()] == ["r"]


def test_check_of_an_output_leaves_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path / "new.csv", overwrite=False)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match=r"the folder .* does not exist"):
        check_writable(tmp_path / "none" / "r.csv", overwrite=False)


def test_plain_lines_for_files_and_programs(result: Evaluation) -> None:
    """However narrow: every line whole, nothing but text, the best marked."""
    text = printed(result, 20, terminal=False)
    assert text.isascii() and "\x1b" not in text
    lines = text.splitlines()
    assert all(line == line.rstrip() for line in lines)
    assert lines[0].split() == ["set", "pictures", "protocol", "input", "same", "darker-by-10"]
    assert [line.split()[:4] for line in lines[1:4]] == [
        ["clean", "2", "sigma", "15"],
        ["clean", "2", "sigma", "25"],
        ["paired", "1", "pairs", "28.13"],
    ]
    assert lines[3].split()[-3:] == ["inf*", "/", "1.0000*"]
    assert "seed 7, fp32, cpu" in text
    for definition in result.metrics.values():
        assert any(line.endswith(definition) for line in lines)


def test_the_best_is_bold_on_a_terminal(result: Evaluation) -> None:
    text = printed(result, 120, terminal=True)
    line = next(line for line in text.splitlines() if " paired " in line)
    assert re.findall(r"\x1b\[1m *(\S+)\x1b\[0m", line) == ["inf", "1.0000"]
    assert "*" not in text


@pytest.mark.parametrize("width", [200, 100, 80, 60, 40])
def test_a_narrow_terminal_loses_nothing(width: int, result: Evaluation) -> None:
    text = re.sub(r"\x1b\[\d*m", "", printed(result, width, terminal=True))
    assert all(len(line) <= width for line in text.splitlines())
    for name in ("clean", "paired", "sigma 15", "same", "darker-by-10", "28.13", "1.0000"):
        assert name in text
    assert "…" not in text


def test_one_protocol_without_a_name_has_no_column(place: Path) -> None:
    x2 = network(place / "x2.safetensors", scale=2)
    text = printed(evaluate(x2, place / "clean"), 100, terminal=False)
    first, second = text.splitlines()[:2]
    assert first.split() == ["set", "pictures", "bicubic", "x2"]
    assert "*" not in second  # a single model has no rivals
