"""How programs of this project end."""

from __future__ import annotations

import errno
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Never

import pytest

from iln.errors import InputError
from iln.script import run_script

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def raising(error: BaseException) -> Callable[[], Never]:
    def main() -> Never:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InputError("no such model"), 2, "error: no such model\n"),
        (
            FileNotFoundError(errno.ENOENT, "No such file", "a\nb"),
            2,
            "error: a\\nb: No such file\n",
        ),
        (OSError(errno.ENOSPC, "No space left"), 2, "error: standard output: No space left\n"),
        (FloatingPointError("the loss is nan"), 1, "error: the loss is nan\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (subprocess.CalledProcessError(3, "part", stderr="error: said\n"), 3, "error: said\n"),
        (subprocess.CalledProcessError(2, "part"), 2, ""),
    ],
)
def test_it_ends_with_one_line_and_a_code(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_script(raising(error))
    assert ended.value.code == code
    assert capsys.readouterr().err == said


def test_what_nobody_expects_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run_script(raising(ZeroDivisionError()))
    with pytest.raises(OSError, match="sockets"):
        run_script(raising(OSError(errno.ECONNRESET, "sockets")))


@pytest.mark.parametrize("result", [None, 0, 3])
def test_it_ends_with_what_the_program_returns(result: int | None) -> None:
    with pytest.raises(SystemExit) as ended:
        run_script(lambda: result)
    assert ended.value.code == result


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["old_prints.py", "missing"], "error: missing is not a folder"),
        (["enlarged_photos.py", "missing", "sr-x2"], "error: missing is not a folder"),
        (["shapes.py", "photo:big"], "error: photo: add the side of its picture in pixels"),
        (["precision.py", "photo", "--size", "3"], "argument --size: invalid size value: '3'"),
        (["precision.py", "photo"], "--calibrate is missing: a folder of clean pictures"),
        (["forward.py", "nothing"], "error: no preset 'nothing'"),
    ],
)
def test_a_benchmark_says_what_is_wrong_in_one_line(
    words: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Before it measures anything."""
    program = str(BENCHMARKS / words[0])
    monkeypatch.setattr(sys, "argv", [program, *words[1:]])
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(program, run_name="__main__")
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.out == ""
