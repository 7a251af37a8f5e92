"""Runs are trained once, found again, and never lost."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from iln.errors import InputError
from iln.lab.paper import Store, scale_of
from iln.lab.paper.store import _alone
from iln.lab.training import Recipe
from iln.lab.training.recipes import derive


def quiet(*words: object) -> None:
    pass


def begun(*words: str) -> subprocess.Popen[str]:
    """The command, as a terminal begins it: with a group of processes of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "iln", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def test_a_name_depends_on_what_decides_the_run_alone(store: Store, tiny: Recipe) -> None:
    name = store.folder(tiny)
    local = {"threads": 2, "device": "cpu", "tensorboard": True, "data_root": Path("elsewhere")}
    assert store.folder(tiny.model_copy(update=local)) == name
    for change in ({"lr": 1e-3}, {"seed": 1}, {"norm": "i-ln"}, {"kld": 0.1}, {"steps": 5}):
        assert store.folder(derive(tiny, change)) != name
    assert store.folder(tiny.model_copy(update={"norm": "ln*"})).name.count("*") == 0


def test_a_run_is_trained_once(store: Store, tiny: Recipe) -> None:
    said: list[str] = []
    seen: list[int] = []
    assert not store.finished(tiny)
    with pytest.raises(KeyError):
        store[tiny]
    assert store.train([tiny, tiny], 1, said.append, lambda r, done, loss: seen.append(done))
    assert seen == [1, 2, 3, 4]
    assert sum("run 1 of 1" in line for line in said) == 1
    made = (store.folder(tiny) / "last.safetensors").stat().st_mtime_ns
    assert store.train([tiny], 1, said.append, lambda *_: pytest.fail("trained again"))
    assert (store.folder(tiny) / "last.safetensors").stat().st_mtime_ns == made
    run = store[tiny]
    assert run.failure is None
    assert run.recipe.norm == "ln"
    assert run.scores["DrawnTest"]["psnr_y"] > 5
    assert list(run.history.steps) == [1, 2, 3, 4]
    assert run.seconds > 0
    assert run.gradient_norm > 0
    assert run.model().spec.norm == "ln"


@pytest.mark.slow
def test_side_by_side_is_the_same_as_one_by_one(store: Store, tiny: Recipe, tmp_path: Path) -> None:
    both = [tiny, derive(tiny, {"norm": "i-ln"})]
    other = Store(tmp_path / "other", store.data_root, "cpu")
    assert store.train(both, 2, quiet, quiet)
    assert other.train(both, 1, quiet, quiet)
    for recipe in both:
        one, two = (load_file(s.folder(recipe) / "last.safetensors") for s in (store, other))
        assert one.keys() == two.keys()
        assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_run_that_is_not_finite_is_kept_as_a_failure(store: Store, tiny: Recipe) -> None:
    wild = derive(tiny, {"lr": 1e38, "norm": "none", "steps": 20})
    said: list[str] = []
    assert store.train([wild], 1, said.append, quiet)
    assert store.finished(wild)
    run = store[wild]
    assert run.failure is not None
    assert "the loss is" in run.failure
    assert run.scores == {}
    assert any("the loss is" in line for line in said)
    with pytest.raises(InputError, match=r"was not trained to its end: .*the loss is"):
        run.model()


def test_a_run_of_other_pictures_is_not_taken(store: Store, tiny: Recipe, tmp_path: Path) -> None:
    assert store.train([tiny], 1, quiet, quiet)
    assert Store(store.root, tmp_path / "gone", "cpu").train([tiny], 1, quiet, quiet)
    other = tmp_path / "other"
    shutil.copytree(store.data_root, other)
    assert Store(store.root, other, "cpu").train([tiny], 1, quiet, quiet)
    pictures = sorted((other / tiny.data[0]).iterdir())
    pictures[0].unlink()
    told = f"was trained on other pictures than those in {other} .{len(pictures)} then"
    with pytest.raises(InputError, match=told):
        Store(store.root, other, "cpu").train([tiny], 1, quiet, quiet)


@pytest.mark.parametrize("jobs", [1, 2])
def test_bad_data_is_one_clear_error(tmp_path: Path, tiny: Recipe, jobs: int) -> None:
    with pytest.raises(InputError, match="Drawn"):
        Store(tmp_path / "runs", tmp_path / "nowhere").train([tiny], jobs, quiet, quiet)


def test_what_a_process_cannot_train_reaches_the_caller(store: Store, tiny: Recipe) -> None:
    large = derive(tiny, {"patch": 64})  # the pictures have 96 pixels, four times 64 are 256
    with pytest.raises(InputError, match="as large as the patch, 64"):
        store.train([large, tiny], 2, quiet, quiet)


def test_two_programs_do_not_train_in_one_folder(store: Store, tiny: Recipe) -> None:
    store.root.mkdir()
    with _alone(store.root), pytest.raises(InputError, match="another program trains there"):
        store.train([tiny], 1, quiet, quiet)
    assert store.train([tiny], 1, quiet, quiet)


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGTERM")
@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_stopped_runs_are_saved_and_go_on(tmp_path: Path, jobs: int) -> None:
    words = ["paper", "fig1", "--scale", "smoke", "--steps", "3000", "--jobs", str(jobs)]
    words += ["--store", str(tmp_path / "runs"), "-o", str(tmp_path / "pages")]
    process = begun(*words)
    scale = scale_of("smoke").with_steps(3000)
    first = Store(tmp_path / "runs" / "smoke", tmp_path).folder(scale.recipe("ln"))
    since = time.monotonic()
    while not (first / "log.jsonl").exists() or '"loss"' not in (first / "log.jsonl").read_text():
        assert process.poll() is None
        assert time.monotonic() - since < 120
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 3, out
    assert "all runs are saved" in out
    state = torch.load(first / "state.pt", weights_only=True)
    assert 0 < state["done"] < 3000
    assert not (tmp_path / "pages" / "fig1" / "README.md").exists()


def workers(process: subprocess.Popen[str]) -> list[int]:
    """Those processes of `iln paper` that train: the others have no pipe to it."""
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    commands = {int(pid): Path(f"/proc/{pid}/cmdline").read_text() for pid in found}
    return [pid for pid, command in commands.items() if "spawn_main" in command]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc (Linux)")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("later", [0.0, 1.0])
def test_stopped_while_workers_start(tmp_path: Path, sent: signal.Signals, later: float) -> None:
    words = ["paper", "fig1", "--scale", "smoke", "--steps", "20000", "--jobs", "2"]
    words += ["--store", str(tmp_path / "runs"), "-o", str(tmp_path / "pages")]
    process = begun(*words)
    since = time.monotonic()
    while len(workers(process)) < 2:
        assert process.poll() is None
        assert time.monotonic() - since < 120
        time.sleep(0.01)
    time.sleep(later)
    os.killpg(process.pid, sent)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 3, out
    assert "Traceback" not in out
    assert "all runs are saved" in out


def test_a_worker_that_was_stopped_by_itself(
    store: Store, tiny: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It saves, and ends well: what it trained is not finished all the same."""

    class Stopped:
        def __init__(self, recipe: Recipe, folder: Path) -> None:
            self.recipe = recipe
            self.receiver, sender = multiprocessing.Pipe(duplex=False)
            sender.close()

        def stop(self) -> None:
            pass

        def end(self) -> None:
            pass

    monkeypatch.setattr("iln.lab.paper.store._Worker", Stopped)
    assert not store.train([tiny], 2, quiet, quiet)
