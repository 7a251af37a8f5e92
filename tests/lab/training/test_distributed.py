"""Several processes train as one does. They are started by torchrun, as users start them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from running import log, overrides, quiet, torchrun, wait_for
from safetensors.torch import load_file

from iln.lab.training import Recipe, train


@pytest.fixture
def recipe(made: Recipe) -> Recipe:
    spec = {**made.spec, "drop_path": 0.0}  # whose draws are each process's own
    update = {"norm": "i-ln", "precision": "fp64", "spec": spec, "steps": 24}
    return made.model_copy(update=update)


def difference(one: Path, other: Path) -> float:
    a, b = (load_file(run / "last.safetensors") for run in (one, other))
    assert a.keys() == b.keys()
    assert next(iter(a.values())).dtype == torch.float64
    return max(float((a[name] - b[name]).abs().max()) for name in a)


def assert_ran(done: "subprocess.CompletedProcess[str]") -> None:
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "update",
    [
        {"parallel": "ddp", "accumulate": 2},
        pytest.param(
            {"parallel": "fsdp", "accumulate": 2, "recompute": True}, marks=pytest.mark.slow
        ),
        pytest.param({"parallel": "ddp", "norm": "bn"}, marks=pytest.mark.slow),
    ],
    ids=["ddp", "fsdp", "batch norm over all processes"],
)
def test_two_processes_learn_what_one_does(
    recipe: Recipe, tmp_path: Path, update: dict[str, object]
) -> None:
    alone = recipe.model_copy(update={"norm": update.get("norm", "i-ln")})
    train(alone, tmp_path / "one", say=quiet)
    both = recipe.model_copy(update=update)
    done = torchrun(2, ["sr-x2", *overrides(both), "-o", str(tmp_path / "two")])
    assert_ran(done)
    assert difference(tmp_path / "one", tmp_path / "two") < 1e-6
    losses = [[x["loss"] for x in log(tmp_path / r) if "loss" in x] for r in ("one", "two")]
    assert losses[0] == pytest.approx(losses[1], abs=1e-9)
    assert done.stdout.count("step 24 of 24  loss") == 1  # the first process speaks alone


@pytest.mark.slow
def test_float32_agrees_to_1e_6(recipe: Recipe, tmp_path: Path) -> None:
    single = recipe.model_copy(update={"precision": "fp32", "steps": 10})
    train(single, tmp_path / "one", say=quiet)
    assert_ran(torchrun(2, ["sr-x2", *overrides(single), "-o", str(tmp_path / "two")]))
    a, b = (load_file(tmp_path / run / "last.safetensors") for run in ("one", "two"))
    assert max(float((a[name] - b[name]).abs().max()) for name in a) < 1e-6


@pytest.mark.slow
def test_shares_saved_by_two_are_taken_up_by_four(recipe: Recipe, tmp_path: Path) -> None:
    """Stopped by SIGTERM after a save; the newest state is then damaged as well."""
    sharded = recipe.model_copy(update={"parallel": "fsdp", "steps": 80, "save_every": 5})
    run = tmp_path / "run"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node=2", "-m", "iln", "train", "sr-x2", *overrides(sharded)]
    asked = subprocess.Popen(
        [*command, "-o", str(run)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    wait_for(run / "state.previous" / "done.json", asked)
    asked.send_signal(signal.SIGTERM)
    output = asked.communicate(timeout=120)[0]
    assert ", stopped" in output
    done = json.loads((run / "state" / "done.json").read_text())["done"]
    assert 10 <= done < 80

    (run / "state" / "done.json").unlink()
    before = json.loads((run / "state.previous" / "done.json").read_text())["done"]
    resumed = torchrun(4, ["--resume", str(run)])
    assert_ran(resumed)
    assert "warning" in resumed.stdout
    assert f"4 process(es), step {before} of 80" in resumed.stdout
    train(sharded, tmp_path / "undisturbed", say=quiet)
    assert difference(run, tmp_path / "undisturbed") < 1e-9


@pytest.mark.slow
def test_shares_are_taken_up_by_one_and_by_two_again(recipe: Recipe, tmp_path: Path) -> None:
    whole = recipe.model_copy(update={"parallel": "fsdp", "lr_end": 1.0, "save_every": 4})
    run = tmp_path / "run"
    assert_ran(torchrun(2, ["sr-x2", *overrides(whole), "steps=8", "-o", str(run)]))
    for processes, steps in ((1, 16), (2, 24)):
        done = torchrun(processes, ["--resume", str(run), f"steps={steps}"])
        assert_ran(done)
        assert f"{processes} process(es), step {steps - 8} of {steps}" in done.stdout
    assert [line["step"] for line in log(run) if "loss" in line] == list(range(4, 25, 4))
    train(whole, tmp_path / "once", say=quiet)
    assert difference(run, tmp_path / "once") < 1e-6


@pytest.mark.slow
def test_a_batch_that_cannot_be_shared_is_one_line_from_each(
    recipe: Recipe, tmp_path: Path
) -> None:
    odd = recipe.model_copy(update={"batch": 5})
    done = torchrun(2, ["sr-x2", *overrides(odd), "-o", str(tmp_path / "run")])
    assert done.returncode != 0
    assert "batch 5 cannot be shared by 2 process(es)" in done.stderr
    assert not (tmp_path / "run").exists()
    assert os.environ.get("RANK") is None
