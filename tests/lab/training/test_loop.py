import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from running import assert_same_run, exit_code, log, overrides, quiet, start, wait_for
from safetensors.torch import load_file
from torch import nn

from iln import cpu
from iln.checkpoints.native import describe, load
from iln.cli.main import main
from iln.cpu import Instructions
from iln.errors import InputError
from iln.lab.training import RECIPES, Recipe, load_recipe, loop, runtime, train
from iln.lab.training import model as model_module
from iln.lab.training.gradients import average_weights
from iln.lab.training.recipes import FROM_FILE


def test_training_lowers_the_loss_and_writes_what_it_promises(made: Recipe, tmp_path: Path) -> None:
    run = tmp_path / "run"
    said: list[str] = []
    assert train(made, run, say=said.append)
    lines = log(run)
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < 0.3 * losses[0]
    assert [line["step"] for line in lines if "loss" in line] == list(range(4, 61, 4))
    assert lines[0] == {"step": 0, "baseline": "waves"} | lines[0]
    scores = [line for line in lines if "validation" in line]
    assert [line["step"] for line in scores] == [30, 60]
    assert scores[-1]["psnr_y"] > scores[0]["psnr_y"] > 10
    assert said[-1] == f"{run}: step 60 of 60"
    assert Recipe.model_validate_json((run / "recipe.json").read_text()) == made
    state = torch.load(run / "state.pt", weights_only=True)
    last = load_file(run / "last.safetensors")
    assert all(torch.equal(last[name], state["average"][name]) for name in last)
    hidden = {path.name for path in run.glob(".*")}
    assert not list(run.glob("*.part")) and hidden == {".lock"}
    card = describe(run / "last.safetensors")
    assert card["task"] == "sr"
    assert card["scores"] == {"waves": {k: scores[-1][k] for k in ("psnr_y", "ssim_y")}}
    assert card["training"]["step"] == 60
    assert str(tmp_path) not in json.dumps(card["training"])


def test_starting_from_the_weights_of_another_scale(made: Recipe, tmp_path: Path) -> None:
    short = made.model_copy(update={"steps": 1, "validation": (), "lr": 1e-9})
    train(short, tmp_path / "x2", say=quiet)
    first = tmp_path / "x2" / "last.safetensors"
    train(
        short.model_copy(update={"scale": 4, "init": first, "seed": 1}),
        tmp_path / "x4",
        say=quiet,
    )
    x2 = dict(load(first).named_parameters())
    for name, parameter in load(tmp_path / "x4" / "last.safetensors").named_parameters():
        if name.startswith("upsample."):
            assert parameter.shape != x2[name].shape
        else:
            torch.testing.assert_close(parameter, x2[name], rtol=0, atol=1e-7)

    began = describe(tmp_path / "x4" / "last.safetensors")["training"]["init"]
    assert began == describe(first)["training"]  # decides what the weights may be used for

    other = {**short.spec, "embed_dim": 16}
    with pytest.raises(InputError, match=r"last\.safetensors does not fit .* conv_first\.weight"):
        train(short.model_copy(update={"spec": other, "init": first}), tmp_path / "no", say=quiet)
    assert not (tmp_path / "no").exists()


def test_kill_and_resume_is_the_undisturbed_run_bit_for_bit(made: Recipe, tmp_path: Path) -> None:
    recipe = made.model_copy(update={"steps": 70})
    killed = start(recipe, tmp_path / "killed")
    wait_for(tmp_path / "killed" / "state.previous.pt", killed)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert log(tmp_path / "killed")[-1]["step"] < 70

    train(recipe, tmp_path / "killed", resume=True, say=quiet)
    train(recipe, tmp_path / "undisturbed", say=quiet)
    assert_same_run(tmp_path / "killed", tmp_path / "undisturbed")


def test_a_signal_ends_the_step_saves_and_exits_with_3(made: Recipe, tmp_path: Path) -> None:
    recipe = made.model_copy(update={"steps": 70})
    asked = start(recipe, tmp_path / "asked")
    wait_for(tmp_path / "asked" / "state.pt", asked)
    asked.send_signal(signal.SIGTERM)
    output = asked.communicate()[0]
    assert asked.returncode == 3, output
    assert "stopped" in output
    done = torch.load(tmp_path / "asked" / "state.pt", weights_only=True)["done"]
    assert 10 <= done < 70

    resumed = subprocess.run(
        [sys.executable, "-m", "iln", "train", "--resume", str(tmp_path / "asked")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"step {done} of 70" in resumed.stdout
    train(recipe, tmp_path / "undisturbed", say=quiet)
    assert_same_run(tmp_path / "asked", tmp_path / "undisturbed")


def together(*numbers: int) -> None:
    """Signals that are delivered in one moment."""
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    for number in numbers:
        os.kill(os.getpid(), number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGTERM")
def test_two_signals_at_once_are_one(
    made: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    average = loop.average_weights

    def interrupting(*arguments: Any) -> None:
        average(*arguments)
        if arguments[-1] == 23:
            together(signal.SIGINT, signal.SIGTERM)

    troubles: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", troubles.append)
    monkeypatch.setattr(loop, "average_weights", interrupting)
    assert not train(made, tmp_path / "run", say=quiet)
    assert not troubles and capfd.readouterr().err == ""
    assert torch.load(tmp_path / "run" / "state.pt", weights_only=True)["done"] == 23


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A process started in the background may have been told to ignore the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_a_later_signal_acts_as_it_always_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_TOGETHER", 0.0)
    with pytest.raises(KeyboardInterrupt), runtime.signals() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set()
        signal.raise_signal(signal.SIGINT)


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGTERM")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_queue_that_signals_all_processes_twice(
    workers: int, made: Recipe, tmp_path: Path
) -> None:
    recipe = made.model_copy(update={"steps": 5000, "workers": workers})
    asked = start(recipe, tmp_path / "asked", start_new_session=True)
    wait_for(tmp_path / "asked" / "state.pt", asked)
    for number in (signal.SIGTERM, signal.SIGINT):
        os.killpg(asked.pid, number)
    output = asked.communicate()[0]
    assert asked.returncode == 3, output
    assert output.splitlines()[-1].endswith(", stopped")
    assert "Traceback" not in output and "Exception" not in output


@pytest.mark.usefixtures("interruptible")
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGTERM")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_the_first_step_leaves_nothing(
    number: signal.Signals,
    made: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(loop, "baselines", lambda *_: os.kill(os.getpid(), number))
    before = signal.getsignal(signal.SIGTERM)
    assert exit_code(["sr-x2", "-o", str(tmp_path / "run"), *overrides(made)]) == 130
    assert capsys.readouterr().err == "interrupted\n"
    assert not (tmp_path / "run").exists()
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    "schedule",
    [{"lr_end": 1.0}, {"schedule": "multistep", "milestones": (10, 40)}],
    ids=["constant", "multistep"],
)
def test_a_run_may_be_made_longer(
    schedule: dict[str, Any], made: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A finished one, and one that was stopped; all weights are those of the long run."""
    long = made.model_copy(update={**schedule, "validation": ()})
    train(long, tmp_path / "long", say=quiet)
    run = tmp_path / "run"
    train(long.model_copy(update={"steps": 21}), run, say=quiet)
    assert exit_code(["--resume", str(run), "steps=60"]) == 0
    assert f"{run}: step 60 of 60" in capsys.readouterr().out
    assert load_recipe(run).steps == 60
    states = [torch.load(tmp_path / n / "state.pt", weights_only=True) for n in ("run", "long")]
    for part in ("model", "average"):
        for name, tensor in states[0][part].items():
            assert torch.equal(tensor, states[1][part][name]), name
    assert exit_code(["--resume", str(run), "steps=50"]) == 2
    assert "cannot be made shorter (steps=50)" in capsys.readouterr().err


def test_a_falling_rate_cannot_be_prolonged(
    made: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    train(made.model_copy(update={"steps": 8, "save_every": 4}), run, say=quiet)
    before = (run / "recipe.json").read_text()
    assert exit_code(["--resume", str(run), "steps=60"]) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert "learning rate falls until step 8" in error
    assert f"start a new run from its weights with init={run / 'last.safetensors'}" in error
    (run / "last.safetensors").unlink()
    assert exit_code(["--resume", str(run), "steps=60"]) == 2
    assert "let it end, then start a new run" in capsys.readouterr().err
    assert exit_code(["--resume", str(run), "steps=60", "lr=1"]) == 2
    assert "another steps (8, not 60), lr (0.005, not 1.0)" in capsys.readouterr().err
    assert (run / "recipe.json").read_text() == before
    assert not made.open_ended()


def test_a_signal_within_a_program_gives_its_handlers_back(
    made: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGINT)
    average = loop.average_weights

    def interrupting(*arguments: Any) -> None:
        average(*arguments)
        if arguments[-1] == 23:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(loop, "average_weights", interrupting)
    assert not train(made, tmp_path / "run", say=quiet)
    assert signal.getsignal(signal.SIGINT) == before
    monkeypatch.setattr(loop, "average_weights", average)
    assert train(made, tmp_path / "run", resume=True, say=quiet)
    assert train(made, tmp_path / "other", say=quiet)
    assert_same_run(tmp_path / "run", tmp_path / "other")


def test_a_damaged_state_costs_only_the_steps_since_the_one_before(
    made: Recipe, tmp_path: Path
) -> None:
    train(made, tmp_path / "whole", say=quiet)
    run = tmp_path / "whole"
    expected = log(run)
    (run / "state.pt").write_bytes((run / "state.pt").read_bytes()[:-100])
    said: list[str] = []
    train(made, run, resume=True, say=said.append)
    assert "warning" in said[0]
    assert "step 50 of 60" in said[1]
    assert log(run) == expected


def test_a_run_killed_before_its_first_state_starts_over(made: Recipe, tmp_path: Path) -> None:
    recipe = made.model_copy(update={"steps": 8})
    train(recipe, tmp_path / "run", say=quiet)
    expected = log(tmp_path / "run")
    for name in ("state.pt", "last.safetensors"):
        (tmp_path / "run" / name).unlink()
    train(recipe, tmp_path / "run", resume=True, say=quiet)
    assert log(tmp_path / "run") == expected


def test_run_folders_are_not_overwritten_nor_mixed(made: Recipe, tmp_path: Path) -> None:
    recipe = made.model_copy(update={"steps": 2, "validation": ()})
    run = tmp_path / "run"
    with pytest.raises(InputError, match="no run to resume"):
        train(recipe, run, resume=True)
    assert not run.exists()
    train(recipe, run, say=quiet)
    with pytest.raises(InputError, match="holds a run already"):
        train(recipe, run)
    other = recipe.model_copy(update={"lr": 0.25, "steps": 3})
    with pytest.raises(InputError, match=r"another steps \(2, not 3\), lr \(0\.005, not 0\.25\)"):
        train(other, run, resume=True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").touch()
    with pytest.raises(InputError, match="not an empty folder"):
        train(recipe, tmp_path / "full")


def test_bfloat16_training_learns_too(made: Recipe, tmp_path: Path) -> None:
    train(made.model_copy(update={"precision": "bf16"}), tmp_path / "run", say=quiet)
    losses = [line["loss"] for line in log(tmp_path / "run") if "loss" in line]
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize("there", [True, False])
def test_auto_precision_follows_the_cpu(
    there: bool, made: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Instructions(int8=there, bf16=there, fp16=there)
    monkeypatch.setattr(model_module, "instructions", lambda: found)
    monkeypatch.setattr(cpu, "instructions", lambda: found)
    lines: list[str] = []
    short = made.model_copy(update={"precision": "auto", "steps": 1, "device": "cpu"})
    train(short, tmp_path / "auto", say=lines.append)
    assert load_recipe(tmp_path / "auto").precision == ("bf16" if there else "fp32")
    assert not any("no instructions" in line for line in lines)
    train(short.model_copy(update={"precision": "bf16"}), tmp_path / "named", say=lines.append)
    assert any("no instructions for bf16" in line for line in lines) != there


def test_averages_by_hand() -> None:
    model, average = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    for step, (decay, expected) in enumerate([(2 / 11, 9 / 11), (0.2, 0.2 * 9 / 11 + 0.8 * 5)], 1):
        value = 1.0 if step == 1 else 5.0
        for tensor in model.state_dict().values():
            tensor.fill_(value)
        if step == 1:
            for tensor in average.state_dict().values():
                tensor.fill_(0)
        average_weights(average, model, decay=0.2, step=step)
        got = average.state_dict()
        assert got["weight"].item() == pytest.approx(expected), decay
        assert got["running_mean"].item() == pytest.approx(expected)
        assert got["num_batches_tracked"].item() == value  # counters are copied


def test_the_command_says_in_one_line_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    wrong = {
        ("sr-x2", "stps=3", "-o", run): "did you mean steps",
        ("-o", run): "name a recipe (`iln recipes` lists them)",
        ("--resume", run): "no run to resume",
        ("sr-x2", "device=abacus", "-o", run): "abacus",
        ("sr-x2", "data_root=/nowhere", "-o", run): "/nowhere/OpenPhotos is not a folder",
        ("sr-x2", f"data={tmp_path / 'empty'}", "-o", run): "holds no pictures",
        ("sr-x2", "lr=NaN", "-o", run): "lr=nan",
        ("sr-x2", "scale=1", "-o", run): "scale=1",
        ("denoise", "degradation.sigm=3", "-o", run): "did you mean sigma",
        ("sr-x2", "batch=9", "accumulate=2", "-o", run): "not a multiple of accumulate",
    }
    for arguments, message in wrong.items():
        assert exit_code(list(arguments)) == 2, arguments
        (error,) = capsys.readouterr().err.splitlines()
        assert message in error
    assert not (tmp_path / "run").exists()


def test_resuming_takes_what_is_local_and_nothing_else(
    made: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    train(made.model_copy(update={"steps": 4}), run, say=quiet)
    assert exit_code(["threads=2", "device=cpu", "--resume", str(run)]) == 0
    assert exit_code(["lr=1", "--resume", str(run)]) == 2
    assert "made by a recipe with another lr (0.005, not 1.0)" in capsys.readouterr().err


def test_the_list_of_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["recipes"])
    assert stopped.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [*RECIPES, *FROM_FILE]
    assert all(len(line.split()) > 4 for line in lines)
