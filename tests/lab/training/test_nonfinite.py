"""A step that is not finite is noticed, explained, and costs nothing that was saved."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from running import exit_code, log, overrides, quiet
from torch import Tensor, nn

from iln.backbones import build
from iln.errors import InputError
from iln.lab.training import Recipe, loop, train
from iln.lab.training.distributed import World
from iln.lab.training.nonfinite import culprit


def spoil(monkeypatch: pytest.MonkeyPatch, steps: tuple[int, ...]) -> None:
    """The target of these steps (counted from 0) is not a number."""
    fetch = loop.in_order

    def spoiled(batches: Any, wanted: range, *rest: Any) -> Any:
        for step, (inputs, targets) in zip(wanted, fetch(batches, wanted, *rest), strict=True):
            yield inputs, targets.float() * math.nan if step in steps else targets

    monkeypatch.setattr(loop, "in_order", spoiled)


def test_it_stops_and_names_step_place_and_the_last_good_state(
    made: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    average = loop.average_weights

    def spoiling(average_: nn.Module, model: nn.Module, decay: float, step: int) -> None:
        average(average_, model, decay, step)
        if step == 15:
            name = "layers.0.residual_group.blocks.1.mlp.fc1.weight"
            dict(model.named_parameters())[name].data.fill_(1e38)

    monkeypatch.setattr(loop, "average_weights", spoiling)
    with pytest.raises(FloatingPointError) as stopped:
        train(made, tmp_path / "run", say=quiet)
    message = str(stopped.value)
    assert message.startswith("step 16: the loss is nan; the first thing that is not finite is ")
    assert "the output of layers.0.residual_group.blocks.1." in message
    assert str(tmp_path / "run" / "state.pt") in message
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    assert state["done"] == 10
    assert all(t.isfinite().all() for t in state["model"].values())


def test_the_command_exits_with_1(
    made: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wild = made.model_copy(update={"lr": 1e37, "warmup": 0})
    assert exit_code(["sr-x2", *overrides(wild), "-o", str(tmp_path / "run")]) == 1
    error = capsys.readouterr().err.strip()
    assert "error: step 2: the loss is" in error
    assert "nothing was saved yet" in error
    assert "\n" not in error


def test_another_word_for_what_to_do_is_refused(made: Recipe, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="on_nonfinite 'Stop': accepted are stop and skip"):
        train(made, str(tmp_path / "run"), on_nonfinite="Stop")  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()


def test_skipped_steps_change_nothing_and_are_counted(
    made: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, (3, 4, 17))
    said: list[str] = []
    train(made, tmp_path / "run", on_nonfinite="skip", say=said.append)
    assert [line for line in said if "not finite" in line] == [
        f"step {s}: not finite, skipped ({n} so far)" for s, n in ((4, 1), (5, 2), (18, 3))
    ]
    lines = [line for line in log(tmp_path / "run") if "loss" in line]
    assert [line["skipped"] for line in lines[:6]] == [1, 2, 2, 2, 3, 3]
    assert all(math.isfinite(line["loss"]) for line in lines)
    assert lines[-1]["loss"] < 0.4 * lines[0]["loss"]
    # Adam has not seen the bad steps at all.
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    assert {int(s["step"]) for s in state["optimizer"]["state"].values()} == {57}


def test_skipping_for_ever_is_not_training(
    made: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "GIVE_UP", 5)
    spoil(monkeypatch, tuple(range(20, 60)))
    with pytest.raises(FloatingPointError, match="step 25"):
        train(made, tmp_path / "run", on_nonfinite="skip", say=quiet)
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["steps"] == 60


@pytest.fixture
def model() -> nn.Module:
    tiny = {"embed_dim": 12, "depths": (2,), "num_heads": (2,), "window": 4}
    tiny |= {"compress_ratio": 3, "squeeze_factor": 3}
    return build("hat-mini-x2", "ln", **tiny).train()


def blame(model: Any, image: Tensor) -> str:
    return culprit(model, image, World())


@pytest.mark.parametrize(
    ("module", "place"),
    [
        ("conv_first", "the output of conv_first"),
        ("layers.0.residual_group.blocks.1.attn", "the output of layers.0.residual_group.blocks.1"),
        ("layers.0.residual_group.overlap_attn.mlp", "the output of layers.0.residual_group.over"),
        ("conv_after_body", "the output of conv_after_body"),
        ("conv_last", "the output of the upsampler"),
    ],
)
def test_the_first_place_is_found(model: nn.Module, module: str, place: str) -> None:
    overflow = model.get_submodule(module).register_forward_hook(lambda m, i, out: out * math.inf)
    assert blame(model, torch.rand(1, 3, 16, 16)).startswith(place)
    overflow.remove()
    assert blame(model, torch.rand(1, 3, 16, 16)) == "the sum of the gradient's squares"


def test_a_bad_parameter_is_named(model: nn.Module) -> None:
    model.get_submodule("conv_first").weight.data.fill_(math.inf)  # type: ignore[operator, union-attr]
    assert blame(model, torch.rand(1, 3, 16, 16)) == "the parameter conv_first.weight"


def test_bad_pictures_and_gradients_are_told_apart(model: nn.Module) -> None:
    image = torch.rand(1, 3, 16, 16)
    image[0, 0, 0, 0] = math.inf
    assert blame(model, image) == "a training picture"
    image[0, 0, 0, 0] = 0
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for name in ("conv_first.bias", "conv_after_body.bias"):
        dict(model.named_parameters())[name].grad.fill_(math.nan)  # type: ignore[union-attr]
    assert blame(model, image) == "the gradient of conv_after_body.bias"
