import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from iln.checkpoint import describe, load
from iln.cli import main
from iln.errors import InputError
from iln.training import Recipe, loop, train
from iln.training.loop import average_weights, learning_rate


@pytest.fixture
def made(tmp_path: Path) -> Recipe:
    """A short recipe on two smooth pictures."""
    folder = tmp_path / "data" / "waves"
    folder.mkdir(parents=True)
    y, x = np.mgrid[:60, :80]
    for name, pitch in (("a", 5.0), ("b", 9.0)):
        wave = 127 + 100 * np.sin(x / pitch) * np.cos(y / pitch)
        colours = np.stack([wave, wave[::-1], 255 - wave], -1).astype(np.uint8)
        Image.fromarray(colours).save(folder / f"{name}.png")
    return Recipe(
        backbone="swinir-light-x2",
        # With all that a resume could forget: running averages, random drops, and a table that
        # is looked up with repeated indices (relative position bias).
        norm="bn",
        spec={
            "embed_dim": 12,
            "depths": [2],
            "num_heads": [2],
            "window": 4,
            "drop_path": 0.1,
        },
        scale=2,
        data_root=tmp_path / "data",
        data=(Path("waves"),),
        validation=(Path("waves"),),
        patch=12,
        batch=4,
        steps=60,
        lr=5e-3,
        warmup=5,
        ema=0.9,
        amp=False,
        log_every=4,
        save_every=10,
        validate_every=30,
        threads=1,
        device="cpu",
    )


def quiet(line: str) -> None:
    pass


def log(run: Path) -> list[dict[str, Any]]:
    """The log without the one thing that may differ."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


def assert_same_run(one: Path, other: Path) -> None:
    assert log(one) == log(other)
    for name in ("best.safetensors", "last.safetensors"):
        weights = load_file(one / name), load_file(other / name)
        assert weights[0].keys() == weights[1].keys()
        assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    states = [torch.load(run / "state.pt", weights_only=True) for run in (one, other)]
    for part in ("model", "average"):
        for name, tensor in states[0][part].items():
            assert torch.equal(tensor, states[1][part][name]), name
    assert torch.equal(states[0]["rng"], states[1]["rng"])


def exit_code(arguments: list[str]) -> object:
    with pytest.raises(SystemExit) as stopped:
        main(["train", *arguments])
    return stopped.value.code


def start(recipe: Recipe, run: Path) -> "subprocess.Popen[str]":
    values = recipe.model_dump(mode="json", exclude_none=True)
    return subprocess.Popen(
        [sys.executable, "-m", "iln", "train", "sr-x2", "--run", str(run)]
        + [f"{key}={json.dumps(value)}" for key, value in values.items()],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(file: Path, process: "subprocess.Popen[str]") -> None:
    for _ in range(6000):
        if file.exists():
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.005)
    pytest.fail(f"{file} did not appear")


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
    assert not list(run.glob("*.part")) + list(run.glob(".*"))
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
        [sys.executable, "-m", "iln", "train", "--run", str(tmp_path / "asked"), "--resume"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"step {done} of 70" in resumed.stdout
    train(recipe, tmp_path / "undisturbed", say=quiet)
    assert_same_run(tmp_path / "asked", tmp_path / "undisturbed")


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
    (tmp_path / "run" / "state.pt").unlink()
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


def test_a_loss_that_is_no_number_stops_and_spares_the_state(
    made: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    average = loop.average_weights

    def spoiling(average_: nn.Module, model: nn.Module, decay: float, step: int) -> None:
        average(average_, model, decay, step)
        if step == 15:
            next(model.parameters()).data.fill_(math.nan)

    monkeypatch.setattr(loop, "average_weights", spoiling)
    with pytest.raises(FloatingPointError, match="before step 16"):
        train(made, tmp_path / "run", say=quiet)
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    assert state["done"] == 10
    assert all(t.isfinite().all() for t in state["model"].values())


def test_bfloat16_training_learns_too(made: Recipe, tmp_path: Path) -> None:
    train(made.model_copy(update={"amp": True}), tmp_path / "run", say=quiet)
    losses = [line["loss"] for line in log(tmp_path / "run") if "loss" in line]
    assert losses[-1] < 0.3 * losses[0]


def test_learning_rate_by_hand(made: Recipe) -> None:
    recipe = made.model_copy(update={"lr": 2.0, "lr_end": 0.1, "warmup": 4, "steps": 104})
    assert [learning_rate(recipe, s) for s in range(4)] == [0.5, 1.0, 1.5, 2.0]
    assert learning_rate(recipe, 4) == 2.0
    assert learning_rate(recipe, 4 + 25) == pytest.approx(2 * (0.1 + 0.9 * (2 + 2**0.5) / 4))
    assert learning_rate(recipe, 4 + 50) == pytest.approx(1.1)
    assert learning_rate(recipe, 104) == pytest.approx(0.2)


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
    assert exit_code(["sr-x2", "stps=3", "--run", str(tmp_path / "run")]) == 2
    assert exit_code(["--run", str(tmp_path / "run")]) == 2
    assert exit_code(["--run", str(tmp_path / "run"), "--resume"]) == 2
    assert exit_code(["sr-x2", "device=abacus", "--run", str(tmp_path / "run")]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 4
    assert "did you mean steps" in errors[0]
    assert "name a recipe (sr-x2, sr-x4)" in errors[1]
    assert "no run to resume" in errors[2]
    assert "abacus" in errors[3]
    assert not (tmp_path / "run").exists()
