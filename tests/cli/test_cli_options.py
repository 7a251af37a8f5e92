"""`iln restore`'s options, and the other commands."""

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from cli_helpers import Command, files, photo, save
from PIL import Image

import iln
from iln.cli.main import app
from iln.images import unfade
from iln.lab.tasks import TASKS


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save("a.png")
    return tmp_path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--memory", "banana"], "memory 'banana' is no size; accepted are such as 4GB"),
        (["--memory", "1KB"], "memory '1KB' is no sensible size"),
        (["--memory", ""], "memory '' is no size"),
        (["--memory", "-4GB"], "memory '-4GB' is no size"),
        (["--model", "sr-x22"], "did you mean sr-x2"),
        (["--model", "none.pth"], "no file is called 'none.pth'"),
        (["--model", "a.png"], "a.png: is a picture, no weights file"),
        (["--model", "."], "is a folder; give a weights file"),
        (["--norm", "ln"], "says norm 'i-ln' itself"),
        (["--norm", "nonsense"], "nonsense"),
        (["--eps", "0.1"], "says eps"),
        (["--max-pixels", "100"], "is 16 x 12, more than 100 pixels; allow it with --max-pixels"),
    ],
)
def test_refused_with_one_line(
    options: list[str], message: str, restore: Command, here: Path
) -> None:
    done = restore("a.png", *options)
    assert done.code == 2
    assert done.out == ""
    assert len(done.lines) == 1 and done.lines[0].startswith("error: ")
    assert message in done.err
    assert files(here) == ["a.png"]


@pytest.mark.parametrize(
    "words",
    [
        ["restore"],
        ["restore", "a.png", "--precision", "fp8"],
        ["restore", "a.png", "--device", "toaster"],
        ["restore", "a.png", "--quality", "0"],
        ["restore", "a.png", "--quality", "101"],
        ["restore", "a.png", "--max-pixels", "-1"],
        ["restore", "a.png", "--input-stats", "median"],
        ["restore", "a.png", "--img-range", "wide"],
        ["restore", "a.png", "--recursiv"],
        ["restore", "a.png", "-o"],
        ["restroe", "a.png"],
        ["models", "one", "more"],
    ],
)
def test_usage_errors(words: list[str], command: Command, here: Path) -> None:
    done = command(*words)
    assert done.code == 2
    assert done.out == ""
    (line,) = done.lines
    assert line.startswith("error: ")
    assert line.endswith(f"; see iln {'' if words[0] == 'restroe' else words[0] + ' '}--help")
    assert files(here) == ["a.png"]


def test_usage_errors_of_the_command_itself(command: Command) -> None:
    done = command("--recursive")
    assert (done.code, done.out) == (2, "")
    (line,) = done.lines
    assert line.startswith("error: no such option: --recursive")
    assert line.endswith("; see iln --help")


def test_a_file_that_looks_like_an_option(
    command: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save("-dash.png")
    words = ["restore", "-dash.png"]
    monkeypatch.setattr(sys, "argv", ["iln", *words])
    assert command(*words).lines == [
        "error: no such option: -d; name that file as ./-dash.png; see iln restore --help"
    ]


@pytest.mark.parametrize(
    "words",
    [
        ["degrade", "a" * 300],
        ["export", "sr-x2", "-o", "a" * 300 + "/b.onnx"],
        ["train", "sr-x2", "data=" + "a" * 300],
    ],
    ids=lambda words: words[0],
)
def test_names_that_are_too_long_are_told_in_one_line(words: list[str], command: Command) -> None:
    done = command(*words)
    assert done.code == 2
    (line,) = done.lines
    assert line.startswith("error: ") and "a" * 200 in line


def test_a_device_that_is_not_there(restore: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    done = restore("a.png", "--device", "cuda")
    assert done.code == 2
    assert done.lines == ["error: PyTorch finds no cuda device here; --device cpu always works"]


def test_precision(restore: Command) -> None:
    assert restore("a.png", "-o", "full.png").code == 0
    assert restore("a.png", "-o", "half.png", "--precision", "bf16").code == 0
    full, half = (np.asarray(Image.open(f"{n}.png")).astype(float) for n in ("full", "half"))
    assert 0 < np.abs(full - half).mean() < 3


def test_memory_leaves_the_result_alone(restore: Command) -> None:
    save("a.png", photo(40, 40))
    assert restore("a.png", "-o", "free.png").code == 0
    done = restore("a.png", "-o", "bounded.png", "--memory", "1MB")
    assert done.code == 0
    assert all(line.startswith("note: 40 x 40 pixels") for line in done.lines)
    assert len(done.lines) == 2  # below what the process holds anyway; maps on disk
    free, bounded = (np.asarray(Image.open(f"{n}.png")) for n in ("free", "bounded"))
    assert np.abs(free.astype(int) - bounded).max() <= 1


def test_quality(restore: Command) -> None:
    save("a.png", photo(64, 64))
    for quality in (20, 90):
        assert restore("a.png", "-o", f"{quality}.jpg", "--quality", quality).code == 0
    assert Path("90.jpg").stat().st_size > 1.5 * Path("20.jpg").stat().st_size


def test_unfade(restore: Command) -> None:
    save("a.png", photo(64, 64) // 3 + 60)
    assert restore("a.png", "-o", "as-is.png").code == 0
    assert restore("a.png", "-o", "vivid.png", "--unfade").code == 0
    as_is, vivid = (np.asarray(Image.open(f"{n}.png")) for n in ("as-is", "vivid"))
    assert np.array_equal(vivid, unfade(as_is))
    assert vivid.std() > 1.3 * as_is.std()


def test_progress_for_a_person(restore: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the bar shows the picture's name as it is, and disappears again."""
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes standard error for a terminal then
    monkeypatch.setenv("COLUMNS", "100")
    save("[red]b.png", photo(40, 40))
    done = restore("[red]b.png")
    assert done.code == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", done.err)
    assert "[red]b.png" in plain and "%" in plain
    assert "\x1b" not in done.out


def test_no_progress_in_a_pipe(restore: Command) -> None:
    assert restore("a.png").err == ""


def test_version(command: Command) -> None:
    assert command("--version").out == f"iln {iln.__version__}\n"


def test_help_names_every_option(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    done = command("restore", "-h")
    assert done.code == 0
    for word in ("IN...", "--output", "--memory", "--precision", "--overwrite", "--recursive"):
        assert word in done.out
    commands: Any = typer.main.get_command(app)
    options = [option for option in commands.commands["restore"].params if not option.hidden]
    page = (Path(__file__).parents[2] / "docs" / "restore.md").read_text("utf-8")
    usage = set(re.findall(r"(?<![\w-])-{1,2}[a-z][a-z-]*", page.split("```")[1]))
    shortest = {min(option.opts, key=len) for option in options if option.name != "inputs"}
    assert usage == shortest


def test_degrade_names_every_task(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    (line,) = re.findall("Choose the task: (.*)[.]", command("degrade", "-h").out)
    assert sorted(re.split(", | or ", line)) == sorted(TASKS)


def test_help_and_usage(command: Command) -> None:
    assert "restore" in command("--help").out
    assert "Usage" in command().out + command().err


def test_only_the_width_breaks_a_paragraph_of_the_help(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "500")
    lines = [line.strip() for line in command("train", "--help").out.splitlines()]
    (codes,) = [line for line in lines if "Exit codes" in line]
    assert codes.startswith("On Ctrl-C")
    assert codes.endswith("multistep.")
    assert "With several processes: torchrun --nproc_per_node=2 -m iln train RECIPE." in lines
