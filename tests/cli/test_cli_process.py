"""The command as a process of its own: how fast it starts, how it is stopped."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from cli_helpers import files, names, photo, save, size

import iln
from iln.cli import main as cli

resource = pytest.importorskip("resource", reason="measures processes as POSIX does")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
INTERRUPTIBLE = (
    # A process started in the background, or by nohup, may have been told to ignore signals.
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "signal.signal(signal.SIGHUP, signal.SIG_DFL);"
    "from iln.cli.main import main; main()"
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(
    words: Sequence[object], program: Sequence[str] = ("-m", "iln"), **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *program, *map(str, words)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**ENVIRONMENT, **environment},
    )


def timed(
    words: Sequence[object], program: Sequence[str]
) -> tuple[subprocess.CompletedProcess[str], float]:
    """And the seconds of processor time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = run(words, program)
    return done, resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


EMPTY = ("-c", "import typer; typer.run(lambda: None)")
"""A command that does nothing."""
LOADED = "import atexit, sys; atexit.register(lambda: print(sorted(sys.modules)))"
LIKE_INSTALLED = ("-c", f"{LOADED}; from iln.cli.main import main; main()")


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_quick_answers_do_without_pytorch(word: str) -> None:
    _, least = timed([], EMPTY)
    done, seconds = timed([word], LIKE_INSTALLED)
    assert done.returncode == 0
    assert "'iln.cli.main'" in done.stdout
    for slow in ("'torch'", "'numpy'", "'pyvips'", "'PIL'"):
        assert slow not in done.stdout
    assert seconds < 2 * least


def test_restoring_loads_neither_laboratory_nor_deployment(weights: Path, here: Path) -> None:
    save("a.png")
    done = run(["restore", "a.png", "--model", weights, "--device", "cpu"], LIKE_INSTALLED)
    assert done.returncode == 0, done.stderr
    assert "'iln.restoration.restorer'" in done.stdout
    assert "'iln.lab" not in done.stdout
    assert "'iln.deploy" not in done.stdout


def test_the_installed_command() -> None:
    script = Path(sys.executable).with_name("iln")
    if not script.exists():
        pytest.skip("the package is not installed, so there is no command `iln`")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"iln {iln.__version__}\n"


def test_a_picture_where_the_console_knows_only_ascii(weights: Path, here: Path) -> None:
    save("grün.png")
    words = ["restore", "grün.png", "--model", weights, "--device", "cpu"]
    done = run(words, PYTHONIOENCODING="ascii", PYTHONWARNINGS="error")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("gr\\xfcn_restored.png  16x12 -> 32x24")
    assert size("grün_restored.png") == (32, 24)


def test_an_error_has_no_traceback(here: Path) -> None:
    done = run(["restore", "none.png"])
    assert done.returncode == 2
    assert done.stdout == ""
    note, error = done.stderr.splitlines()
    assert note.startswith("note: model ")
    assert error.startswith("error: none.png: no such file")


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
@pytest.mark.parametrize(
    ("name", "memory", "code"),
    [
        ("SIGINT", [], 130),
        pytest.param("SIGINT", ["--memory", "1MB"], 130, marks=pytest.mark.slow),
        ("SIGTERM", ["--memory", "1MB"], 143),
        pytest.param("SIGHUP", [], 143, marks=pytest.mark.slow),
    ],
)
def test_interrupted(name: str, memory: list[str], code: int, weights: Path, here: Path) -> None:
    """In the middle of a picture: at once, quietly, and nothing is left behind."""
    save("in/a.png", photo(1500, 2000))
    Path("scratch").mkdir()
    words = ["restore", "in/a.png", "--model", weights, "--device", "cpu", "-o", "out/a.png"]
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, *map(str, words), *memory],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # The progress bar, which is only for terminals, tells when the work has begun.
        env={**ENVIRONMENT, "FORCE_COLOR": "1", "TMPDIR": str(here / "scratch")},
    ) as process:
        try:
            assert process.stderr is not None
            seen = b""
            while not re.search(rb"[1-9]\d?%", seen):
                piece = os.read(process.stderr.fileno(), 4096)
                assert piece, seen
                seen += piece
            process.send_signal(getattr(signal, name))
            started = time.monotonic()
            out, rest = process.communicate(timeout=60)
        finally:
            process.kill()
    assert time.monotonic() - started < 10
    assert process.returncode == code
    assert out == b""
    assert rest.endswith(b"interrupted\n") == (name == "SIGINT")
    assert b"Traceback" not in rest and b"Abort" not in rest
    assert files(here) == ["in/a.png"]


INTERRUPTED = """
import signal, sys
from importlib.abc import MetaPathFinder
class Finder(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "WHAT" and "BY" in sys.modules:
            sys.meta_path.remove(self)
            signal.raise_signal(signal.NAME)
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Finder())
from iln.__main__ import main
main()
"""


def interrupted(what: str, by: str, name: str) -> tuple[str, str]:
    """The command, to which the signal of that name comes while `by` loads `what`."""
    program = INTERRUPTED.replace("WHAT", what).replace("BY", by).replace("NAME", name)
    return "-c", program


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_interrupted_where_pytorch_passes_over_exceptions(
    name: str, code: int, weights: Path, here: Path
) -> None:
    """While it loads NumPy, which may be missing."""
    save("a.png")
    words = ["restore", "a.png", "--model", weights, "--device", "cpu"]
    done = run(words, interrupted("numpy", "torch", name))
    assert done.returncode == code
    assert done.stderr == ("interrupted\n" if name == "SIGINT" else "")
    # So small a picture may be done before the signal comes again.
    assert set(files(here)) <= {"a.png", "a_restored.png"}


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_interrupted_before_the_command_is_loaded() -> None:
    done = run(["--version"], interrupted("typer", "iln", "SIGINT"))
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_interrupted_while_writing(
    weights: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The half-written file goes, and an earlier result stays."""
    from iln.cli.main import main
    from iln.images import writing

    def stop(*arguments: object) -> list[bytes]:
        assert any(name.endswith(".part") for name in names("out"))
        raise KeyboardInterrupt

    save("a.png")
    save("out/a.png", np.zeros((5, 5), np.uint8))
    before = Path("out/a.png").read_bytes()
    monkeypatch.setattr(writing, "_encode", stop)
    words = ["restore", "a.png", "-o", "out", "--overwrite", "--model", str(weights)]
    monkeypatch.setattr(sys, "argv", ["iln", *words, "--device", "cpu"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert files(here) == ["a.png", "out/a.png"]
    assert Path("out/a.png").read_bytes() == before


@pytest.mark.parametrize(
    ("loaded", "said", "expected"),
    [
        (False, {}, {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}),
        (False, {"OMP_WAIT_POLICY": "active"}, {"OMP_WAIT_POLICY": "active"}),
        (False, {"GOMP_SPINCOUNT": "5"}, {"GOMP_SPINCOUNT": "5"}),
        (True, {}, {}),
    ],
)
def test_waiting_threads_sleep_soon(
    loaded: bool,
    said: dict[str, str],
    expected: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cli.os, "environ", dict(said))
    monkeypatch.setattr(cli.sys, "modules", {"torch": None} if loaded else {})
    cli.share_cores()
    assert cli.os.environ == expected
