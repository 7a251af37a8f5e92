"""Each option of a recipe does what it says, and no more."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from running import log, quiet
from safetensors.torch import load_file

from iln.lab.training import Recipe, train
from iln.lab.training.data import Batches, open_pictures
from iln.lab.training.model import build_model
from iln.lab.training.recipe import Dynamics
from iln.lab.training.sets import picture_sets
from iln.lab.training.validation import to_unit


def weights(recipe: Recipe, run: Path) -> dict[str, torch.Tensor]:
    train(recipe, run, say=quiet)
    return load_file(run / "last.safetensors")


def furthest(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    return max(float((one[name] - other[name]).abs().max()) for name in one)


@pytest.fixture
def exact(made: Recipe) -> Recipe:
    """Float64 without running averages and random drops, which parts of a batch would change."""
    spec = {**made.spec, "drop_path": 0.0}
    update = {"norm": "i-ln", "precision": "fp64", "spec": spec, "steps": 12, "validation": ()}
    return made.model_copy(update=update)


@pytest.mark.parametrize(
    "update",
    [
        {"accumulate": 4},
        {"recompute": True},
        {"workers": 1},
        {"deterministic": False},
        {"clip": 1e9},
        {"progressive": ((1, 12, 4),)},
        {"dynamics": Dynamics(every=2)},
    ],
    ids=str,
)
def test_what_must_not_change_the_result(
    exact: Recipe, tmp_path: Path, update: dict[str, object]
) -> None:
    plain = weights(exact, tmp_path / "plain")
    other = weights(exact.model_copy(update=update), tmp_path / "other")
    assert furthest(plain, other) < 1e-12


@pytest.mark.parametrize(
    "update",
    [
        {"clip": 1e-3},
        {"progressive": ((3, 16, 2),)},
        {"schedule": "multistep", "milestones": (3,)},
        {"seed": 1},
        {"betas": (0.5, 0.9)},
    ],
    ids=str,
)
def test_what_must_change_it(exact: Recipe, tmp_path: Path, update: dict[str, object]) -> None:
    plain = weights(exact, tmp_path / "plain")
    other = weights(exact.model_copy(update=update), tmp_path / "other")
    assert furthest(plain, other) > 1e-5


def test_clipping_is_by_the_norm_of_the_whole_gradient(exact: Recipe, tmp_path: Path) -> None:
    """A first step of Adam does not see the scale; a second one after another norm does."""
    train(exact.model_copy(update={"log_every": 1}), tmp_path / "plain", say=quiet)
    norms = [line["grad_norm"] for line in log(tmp_path / "plain") if "loss" in line]
    highest = exact.model_copy(update={"clip": 1.01 * max(norms), "log_every": 1})
    train(highest, tmp_path / "high", say=quiet)
    assert log(tmp_path / "high") == log(tmp_path / "plain")
    train(exact.model_copy(update={"clip": 0.5 * min(norms), "log_every": 1}), tmp_path / "low")
    first, second, *_ = [line["loss"] for line in log(tmp_path / "low") if "loss" in line]
    plain = [line["loss"] for line in log(tmp_path / "plain") if "loss" in line]
    assert first == plain[0]
    assert second == pytest.approx(plain[1], abs=1e-6)
    assert log(tmp_path / "low")[-1] != log(tmp_path / "plain")[-1]


def test_recomputing_repeats_the_random_drops(made: Recipe, tmp_path: Path) -> None:
    """Also BatchNorm's averages, which must not be updated twice."""
    recipe = made.model_copy(update={"steps": 12, "spec": {**made.spec, "drop_path": 0.5}})
    plain = weights(recipe, tmp_path / "plain")
    other = weights(recipe.model_copy(update={"recompute": True}), tmp_path / "other")
    assert furthest(plain, other) < 1e-6


def test_what_blocks_do_is_written_down_while_they_learn(made: Recipe, tmp_path: Path) -> None:
    """And not one bit of the run changes, not even its random drops."""
    watched = made.model_copy(update={"dynamics": Dynamics(every=20)})
    plain, other = weights(made, tmp_path / "plain"), weights(watched, tmp_path / "other")
    assert all(torch.equal(plain[name], other[name]) for name in plain)
    lines = [line for line in log(tmp_path / "other") if "dynamics" in line]
    assert [line["step"] for line in lines] == [1, 20, 40, 60]
    first, last = lines[0]["dynamics"], lines[-1]["dynamics"]
    assert list(first) == [f"layers.0.residual_group.blocks.{i}" for i in (0, 1)]
    for measures in last.values():
        assert measures["mean_square"] > 0
        assert 0 < measures["entropy"] < 2.5  # ln 12
        assert 0 < measures["update_ratio"] < 1


COMPILED = """
import sys
from pathlib import Path
from iln.lab.training import Recipe, train
train(Recipe.model_validate_json(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_compiled_training_computes_the_same(made: Recipe, tmp_path: Path) -> None:
    spec = {**made.spec, "drop_path": 0.0, "depths": [1]}
    short = {"norm": "i-ln", "spec": spec, "steps": 3, "validation": ()}
    recipe = made.model_copy(update=short)
    plain = weights(recipe, tmp_path / "plain")
    compiled = recipe.model_copy(update={"compile": True}).model_dump_json()
    # In processes of their own, as a user would, and with one folder for what the compiler makes:
    # what it made for one instruction set must not be used for another.
    clean = {k: v for k, v in os.environ.items() if k != "TORCHINDUCTOR_CACHE_DIR"}
    clean |= {"TMPDIR": str(tmp_path), "MALLOC_PERTURB_": "90"}  # new memory is not zero
    for name, more in (("here", {}), ("older", {"ATEN_CPU_CAPABILITY": "avx2"})):
        words = [sys.executable, "-c", COMPILED, compiled, str(tmp_path / name)]
        subprocess.run(words, check=True, env={**clean, **more})
        assert furthest(plain, load_file(tmp_path / name / "last.safetensors")) < 1e-4


@pytest.mark.parametrize(("loss", "power"), [("l1", 1), ("mse", 2)])
def test_the_loss_is_the_one_asked_for(
    exact: Recipe, tmp_path: Path, loss: str, power: int
) -> None:
    recipe = exact.model_copy(update={"loss": loss, "steps": 1, "log_every": 1})
    train(recipe, tmp_path / "run", say=quiet)
    task = recipe.make_task()
    pictures = open_pictures(picture_sets(recipe)[0], task, tmp_path / "pairs", quiet)
    inputs, targets = Batches(pictures, task, recipe.seed, recipe.stage, (0, 1))[0]
    torch.manual_seed(recipe.seed)
    model = build_model(recipe).double().train()
    with torch.no_grad():
        apart = model(to_unit(inputs).double()) - to_unit(targets).double()
    expected = float(apart.abs().pow(power).mean())
    assert log(tmp_path / "run")[-1]["loss"] == pytest.approx(expected, rel=1e-9)
