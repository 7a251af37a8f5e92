"""A LayerNorm network made an i-LN network: the start, the training, and what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from running import assert_same_run, exit_code, quiet
from torch import Tensor

import iln
from iln.backbones import Backbone, DRCTSpec, HATSpec, Spec, SwinIRSpec, from_spec
from iln.backbones.residual_stream import divide_stream
from iln.errors import InputError
from iln.lab.dynamics import Probe
from iln.lab.training import Recipe, recipe, train
from iln.lab.training.adoption import follow
from iln.lab.training.model import build_model
from iln.lab.training.sets import PictureSet
from iln.lab.training.validation import validate

SPECS: dict[str, Spec] = {
    "swinir": SwinIRSpec(scale=2, embed_dim=12, depths=(2, 1), num_heads=(2, 3), window=4),
    "hat": HATSpec(scale=2, embed_dim=12, depths=(2,), num_heads=(2,), window=4, squeeze_factor=4),
    "drct": DRCTSpec(scale=2, embed_dim=12, depths=(2,), num_heads=(2,), window=4, growth=4),
}


def layer_norm(spec: Spec) -> Backbone:
    """A network whose branches, gains and shifts all count."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = from_spec(spec).eval()
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.data += 0.3 * torch.rand(parameter.shape)
            elif parameter.ndim == 2:
                parameter.data *= 8
    return model


def smooth(spec: Spec, seed: int, batch: int = 6, side: int = 24) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, spec.in_chans, 6, 6, generator=generator)
    return torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1)


def error(model: Backbone, source: Backbone) -> float:
    """Against the source's output, on pictures that were not fitted to."""
    image = smooth(source.spec, 7)
    with torch.no_grad():
        return float((model(image) - source(image)).square().mean().sqrt())


@pytest.mark.parametrize("name", SPECS)
def test_the_start_is_much_closer_than_a_copy(name: str) -> None:
    source = layer_norm(SPECS[name])
    before = {key: tensor.clone() for key, tensor in source.state_dict().items()}
    copied, fitted = iln.convert(source, "i-ln"), iln.convert(source, "i-ln")
    follow(source, fitted, smooth(source.spec, 1))
    assert error(fitted, source) < 0.7 * error(copied, source)
    assert not any("statistics" in vars(module) for module in source.modules())
    assert not any("statistics" in vars(module) for module in fitted.modules())
    assert all(torch.equal(tensor, before[key]) for key, tensor in source.state_dict().items())


def test_features_that_had_grown_are_near_1() -> None:
    source = layer_norm(SPECS["swinir"])
    grown = layer_norm(SPECS["swinir"])
    divide_stream(grown, [-12, -12])
    grown.spec = source.spec
    small, large = iln.convert(source, "i-ln"), iln.convert(source, "i-ln")
    follow(source, small, smooth(source.spec, 1))
    large.load_state_dict(iln.convert(grown, "i-ln").state_dict())
    follow(grown, large, smooth(source.spec, 1))
    with torch.no_grad(), Probe(large) as probe:
        large(smooth(source.spec, 2))
    assert all(0.05 < m.mean_square < 20 for m in probe.measures.values())
    assert error(large, grown) < 1.1 * error(small, source)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A LayerNorm network of our own format, with its task."""
    path = tmp_path / "ln.safetensors"
    iln.save(layer_norm(SPECS["swinir"]), path, task="sr")
    return path


def adopted(file: Path, made: Recipe, *more: str) -> Recipe:
    """The recipe for a file, short, on the pictures of `made`."""
    same = {"data_root", "data", "validation", "patch", "batch", "precision", "tensorboard"}
    same |= {"log_every", "save_every", "validate_every", "threads", "device", "ema", "warmup"}
    values = made.model_dump(mode="json", include=same)
    words = [f"{key}={json.dumps(value)}" for key, value in values.items()]
    return recipe("adopt", [f"init={file}", *words, "steps=40", "lr=0.002", *more])


def test_network_and_task_are_those_of_the_file(tmp_path: Path) -> None:
    spec = SwinIRSpec(
        scale=1, upsampler="", in_chans=1, embed_dim=12, depths=(2,), num_heads=(2,), window=7,
        norm="ln", img_range=255.0, input_stats="mean"
    )  # fmt: skip
    path = tmp_path / "gray.safetensors"
    training = {"degradation": {"quality": [10, 40]}}
    iln.save(layer_norm(spec), path, task="jpeg", training=training)
    made = recipe("adopt", [f"init={path}", "steps=7"])
    assert (made.backbone, made.task, made.scale, made.steps) == ("swinir-jpeg-gray", "jpeg", 1, 7)
    assert made.degradation["quality"] == [10, 40] and made.degradation["gray"] is True
    assert Recipe.model_validate_json(made.model_dump_json()) == made
    model = build_model(made)
    assert replace(model.spec, norm="ln", eps=spec.eps) == spec
    assert model.spec.eps == 1e-4
    other = recipe("adopt", [f"init={path}", "task=denoise"])
    assert other.data == recipe("denoise").data and "quality" not in other.degradation


def test_pictures_are_those_of_the_recipe_called_like_the_task(tmp_path: Path) -> None:
    """And not of `sharp`, whose task is photo, too, but whose pictures are a teacher's answers."""
    spec = SwinIRSpec(
        scale=1, upsampler="", embed_dim=12, depths=(2,), num_heads=(2,), norm="ln"
    )  # fmt: skip
    iln.save(layer_norm(spec), tmp_path / "m.safetensors", task="photo")
    made = recipe("adopt", [f"init={tmp_path / 'm.safetensors'}"])
    assert made.data == recipe("photo").data != recipe("sharp").data


def test_a_short_training_makes_good_what_the_start_lost(made: Recipe, tmp_path: Path) -> None:
    spec = {**made.spec, "drop_path": 0.0}
    before = made.model_copy(update={"norm": "ln", "spec": spec, "steps": 150})
    train(before, tmp_path / "ln", say=quiet)
    file = tmp_path / "ln" / "last.safetensors"
    task, pictures = made.make_task(), PictureSet.of(tmp_path / "data" / "waves")

    def score(model: Backbone) -> float:
        (found,) = validate(model, task, pictures, lambda name, triple: None).values()
        return found["psnr_y"]

    scores = [score(iln.convert(iln.load(file), "i-ln"))]
    for steps, rate in ((1, 1e-9), (60, 2e-3)):
        run = tmp_path / f"run{steps}"
        chosen = adopted(file, made, f"steps={steps}", f"lr={rate}", "validation=[]")
        train(chosen, run, say=quiet)
        scores.append(score(iln.load(run / "last.safetensors")))
    assert scores[0] + 1 < scores[1] < scores[2]


def test_a_resumed_run_needs_no_file(
    file: Path, made: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And does not start a second time: it ends as the undisturbed run, bit for bit."""
    chosen = adopted(file, made, "steps=20", "lr_end=1")
    train(chosen, tmp_path / "whole", say=quiet)
    run = tmp_path / "run"
    train(chosen.model_copy(update={"steps": 10}), run, say=quiet)
    monkeypatch.setattr("iln.lab.training.loop.follow", None)  # who calls it fails
    file.unlink()
    assert exit_code(["--resume", str(run), "steps=20"]) == 0
    states = [torch.load(tmp_path / n / "state.pt", weights_only=True) for n in ("run", "whole")]
    for part in ("model", "average"):
        for name, tensor in states[0][part].items():
            assert torch.equal(tensor, states[1][part][name]), name


def test_a_run_that_saved_nothing_starts_again(file: Path, made: Recipe, tmp_path: Path) -> None:
    chosen = adopted(file, made, "steps=4")
    train(chosen, tmp_path / "whole", say=quiet)
    shutil.copytree(tmp_path / "whole", tmp_path / "run")
    (tmp_path / "run" / "state.pt").rename(tmp_path / "run" / "state.pt.part")  # killed meanwhile
    for name in ("log.jsonl", "last.safetensors"):
        (tmp_path / "run" / name).unlink()
    train(chosen, tmp_path / "run", resume=True, say=quiet)
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_a_broken_network_is_named(file: Path, made: Recipe, tmp_path: Path) -> None:
    broken = iln.load(file)
    broken.norm.weight.data.fill_(1e30)
    broken.conv_after_body.weight.data.fill_(1e30)
    path = tmp_path / "broken.safetensors"
    iln.save(broken, path, task="sr")
    with pytest.raises(InputError, match="gives numbers that are not finite"):
        train(adopted(path, made), tmp_path / "run", say=quiet)
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_adopted(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    official = tmp_path / "official.pth"
    torch.save({"params": layer_norm(SPECS["hat"]).state_dict()}, official)
    theirs = tmp_path / "theirs.pth"
    torch.save(iln.convert(layer_norm(SPECS["hat"]), "i-ln").state_dict(), theirs)
    other = tmp_path / "other.safetensors"
    iln.save(iln.convert(iln.load(file), "rms"), other, task="sr")
    nothing = tmp_path / "nothing.pth"
    torch.save({"weight": torch.zeros(3)}, nothing)
    cases = {
        (): "name it: init=FILE",
        ("init=null",): "name it: init=FILE",
        ("init=sr-x2",): "sr-x2 has norm i-ln; adopt takes norm ln alone",
        (f"init={other}",): "has norm rms; adopt takes norm ln alone",
        (f"init={theirs}",): "adopt takes a LayerNorm network; ",
        (f"init={nothing}",): "is no SwinIR, HAT or DRCT",
        (f"init={tmp_path / 'gone.pth'}",): "gone.pth",
        (f"init={official}",): "does not say what it restores; add task=",
        (f"init={official}", "task=sharpen"): "there is no task 'sharpen'",
        (f"init={official}", "task=denoise"): "scale",
        (f"init={file}", "scale=4"): "adopt takes backbone and scale from",
        (f"init={file}", "norm=bn"): "norm i-ln",
        (f"init={file}", "stps=4"): "no 'stps'; did you mean steps",
    }
    for words, message in cases.items():
        assert exit_code(["adopt", *words, "-o", str(tmp_path / "run")]) == 2, words
        said = capsys.readouterr().err
        (line,) = [line for line in said.splitlines() if not line.startswith("note: ")]
        assert message in line
    assert not (tmp_path / "run").exists()
    assert recipe("adopt", [f"init={official}", "task=sr"]).backbone == "hat-x2"
    with pytest.raises(InputError, match="init=FILE"):
        recipe("sr-x2", ["adopt=true"])
