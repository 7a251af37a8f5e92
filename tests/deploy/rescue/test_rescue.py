"""A checkpoint that float16 cannot hold, and the same one rescued."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from wild_networks import SMALL, network, picture, psnr16, wild

import iln
from iln.checkpoints.native import describe
from iln.cli.main import main
from iln.deploy.rescue import rescue, write_rescued
from iln.errors import InputError


@pytest.mark.parametrize("preset", SMALL)
@pytest.mark.parametrize("power", [16, 20])
def test_a_stream_that_float16_cannot_hold(preset: str, power: int) -> None:
    model = wild(network(preset), power)
    image = picture()
    with torch.no_grad():
        expected = model(image)
    assert psnr16(model, image, expected) < 30
    found = rescue(model, [image])
    assert found.safe
    assert not found.in_steps
    assert found.difference < 1e-5
    assert found.peak > 2.0**13
    other = picture(17, 30, seed=2)  # a picture that was not there when K was chosen
    with torch.no_grad():
        assert (found.model(other) - model(other)).abs().max() < 1e-5
        assert psnr16(found.model, other, model(other)) > 50


def test_features_too_far_apart_for_one_power_of_two() -> None:
    model = wild(network(), -8, 40)
    image = picture()
    found = rescue(model, [image])
    assert found.in_steps
    assert found.safe
    with torch.no_grad():
        assert (found.model(image) - model(image)).abs().max() < 1e-5


def test_what_needs_no_rescue() -> None:
    with pytest.raises(InputError, match="needs no rescue: float16 is within"):
        rescue(network(), [picture()])


def test_what_is_broken_anyway() -> None:
    model = network()
    with torch.no_grad():
        model.conv_first.weight[0] = float("nan")
    with pytest.raises(InputError, match="not finite in float32"):
        rescue(model, [picture()])


def test_what_lies_outside_the_stream_is_not_rescued() -> None:
    model = network()
    with torch.no_grad():
        model.norm.weight.mul_(1e6)  # type: ignore[operator]
        model.conv_after_body.weight.div_(1e6)  # type: ignore[operator]
    found = rescue(model, [picture()])
    assert not found.safe
    assert found.after.nonfinite > 0


@pytest.fixture
def wild_file(tmp_path: Path) -> Path:
    """As its authors would publish it: wrapped twice over, with buffers of the training size."""
    model = wild(network(), 16)
    state = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    name = "module.layers.0.residual_group.blocks.1"
    state[f"{name}.attn_mask"] = torch.zeros(9, 16, 16)
    state[f"{name}.attn.relative_position_index"] = torch.zeros(16, 16, dtype=torch.int64)
    older = {
        name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in state.items()
    }
    file = tmp_path / "wild.pth"
    torch.save({"params": older, "params_ema": state, "iter": 7}, file)
    return file


def run(*words: object) -> object:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return ended.value.code


def test_a_published_file_stays_one(
    wild_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    safe = tmp_path / "safe.pth"
    assert run("rescue", wild_file, "-o", safe) == 0
    out = capsys.readouterr().out
    assert "divided by 2^" in out
    assert "authors' own code" in out
    before, after = (torch.load(file, weights_only=True) for file in (wild_file, safe))
    assert list(before) == list(after)
    assert after["iter"] == 7
    for wrapper in ("params", "params_ema"):
        assert list(before[wrapper]) == list(after[wrapper])
        for name, tensor in before[wrapper].items():
            changed = not torch.equal(tensor, after[wrapper][name])
            ends = ("proj.weight", "proj.bias", "fc2.weight", "fc2.bias", "conv.bias")
            wanted = name.endswith(ends) or "patch_embed" in name
            assert changed == wanted, name
    image = picture()
    with torch.no_grad():
        one, two = iln.load(wild_file), iln.load(safe)
        assert (one(image) - two(image)).abs().max() < 1e-5
        assert psnr16(one, image, one(image)) < 30
        assert psnr16(two, image, one(image)) > 50


def test_our_own_file_keeps_what_it_says(tmp_path: Path) -> None:
    iln.save(wild(network(), 16), tmp_path / "wild.safetensors", task="sr", training={"step": 9})
    picture_file = tmp_path / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(picture_file)
    safe = tmp_path / "safe.safetensors"
    assert run("rescue", tmp_path / "wild.safetensors", picture_file, "-o", safe) == 0
    said = describe(safe)
    assert said["task"] == "sr"
    assert said["training"]["step"] == 9
    assert len(said["training"]["stream_divided_by_2_to_the"]) == 2
    in_words = wild(network(), 16)
    iln.save(in_words, tmp_path / "words.safetensors", task="sr", training="by hand")
    again = tmp_path / "again.safetensors"
    assert run("rescue", tmp_path / "words.safetensors", picture_file, "-o", again) == 0
    assert describe(again)["training"]["said"] == "by hand"


def test_a_foreign_safetensors_file(tmp_path: Path) -> None:
    model = wild(network(), 16)
    file, safe = tmp_path / "wild.safetensors", tmp_path / "safe.safetensors"
    safetensors.torch.save_file(model.state_dict(), file, {"author": "someone"})
    assert run("rescue", file, "-o", safe) == 0
    with safetensors.safe_open(safe, "pt") as opened:
        assert opened.metadata() == {"author": "someone"}
    with torch.no_grad():
        assert (iln.load(safe)(picture()) - model(picture())).abs().max() < 1e-5


def test_weights_behind_a_prefix(tmp_path: Path) -> None:
    model = wild(network(), 16)
    state = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    file, safe = tmp_path / "wild.ckpt", tmp_path / "safe.pth"
    torch.save({"state_dict": {**state, "loss.weight": torch.ones(3)}, "epoch": 3}, file)
    assert run("rescue", file, "-o", safe) == 0
    after = torch.load(safe, weights_only=True)
    assert list(after["state_dict"]) == [*state, "loss.weight"]
    assert any(not torch.equal(state[name], after["state_dict"][name]) for name in state)
    image = picture()
    with torch.no_grad():
        assert (iln.load(safe)(image) - model(image)).abs().max() < 1e-5
        assert psnr16(iln.load(safe), image, model(image)) > 50


def test_averages_of_any_kind_are_divided_with_the_weights(tmp_path: Path) -> None:
    model = wild(network(), 16)
    state = model.state_dict()
    plain = {f"model.{name}": tensor + 1 for name, tensor in state.items()}
    dotless = {f"model_ema.{name.replace('.', '')}": t for name, t in state.items()}
    listed = {**plain, "ema": {"params": [*state.values()]}}
    ways = {"dotless": {**plain, **dotless}, "list": listed}
    image = picture()
    for name, content in ways.items():
        file, safe = tmp_path / f"{name}.pth", tmp_path / f"{name}-safe.pth"
        torch.save(content, file)
        assert run("rescue", file, "-o", safe) == 0
        with torch.no_grad():
            assert (iln.load(safe)(image) - model(image)).abs().max() < 1e-5
            assert psnr16(iln.load(safe), image, model(image)) > 50


def test_arrays_of_numpy_are_not_left_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays = {name: tensor.numpy() for name, tensor in wild(network(), 16).state_dict().items()}
    torch.save({"params": arrays}, tmp_path / "arrays.pth")
    assert run("rescue", tmp_path / "arrays.pth", "-o", tmp_path / "safe.pth") == 2
    assert "holds its weights as arrays of numpy" in capsys.readouterr().err
    assert not (tmp_path / "safe.pth").exists()


def test_steps_need_our_own_layout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "wild.pth"
    model = wild(network(), -8, 40)
    steps = model.spec.stream_steps
    assert steps
    # The same function without steps is out of reach of float32, so ours is the file here too.
    iln.save(model, tmp_path / "wild.safetensors")
    safe = tmp_path / "safe.safetensors"
    assert run("rescue", tmp_path / "wild.safetensors", "-o", safe) == 0
    assert "only iln" in capsys.readouterr().out
    assert iln.load(safe).spec.stream_steps != steps
    assert not file.exists()


def test_errors(wild_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def error(*words: object) -> str:
        assert run("rescue", *words) == 2
        lines = capsys.readouterr().err.splitlines()
        return next(line for line in lines if line.startswith("error: "))

    assert "ends in .pth" in error(wild_file, "-o", tmp_path / "safe.safetensors")
    assert "exists already" in error(wild_file, "-o", wild_file)
    assert "no such file" in error(tmp_path / "none.pth", "-o", tmp_path / "safe.pth")
    healthy = tmp_path / "healthy.safetensors"
    iln.save(network(), healthy)
    assert "needs no rescue" in error(healthy, "-o", tmp_path / "safe.safetensors")
    nothing = network(norm="none")
    iln.save(nothing, tmp_path / "none.safetensors")
    assert "cannot be rescued" in error(
        tmp_path / "none.safetensors", "-o", tmp_path / "safe.safetensors"
    )
    hopeless = network()
    with torch.no_grad():
        hopeless.norm.weight.mul_(1e6)  # type: ignore[operator]
        hopeless.conv_after_body.weight.div_(1e6)  # type: ignore[operator]
    iln.save(hopeless, tmp_path / "hopeless.safetensors")
    said = error(tmp_path / "hopeless.safetensors", "-o", tmp_path / "safe.safetensors")
    assert "outside the residual stream" in said
    assert "conv_after_body" in said or "norm" in said
    assert not list(tmp_path.glob("safe*"))


def test_write_rescued_replaces_nothing(wild_file: Path) -> None:
    found = rescue(iln.load(wild_file), [picture()])
    before = wild_file.read_bytes()
    with pytest.raises(InputError, match="exists already"):
        write_rescued(found, str(wild_file), wild_file)
    assert wild_file.read_bytes() == before
