"""Recognising published files by names and shapes alone."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest
import torch
from published import GOLDEN, PILOT, SMALL, SPECS, network, official, run, traiNNer
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from iln.backbones import PRESETS, DRCTSpec, HATSpec, Spec, SwinIRSpec, from_spec
from iln.backbones.hat import ConvBranch
from iln.checkpoints.native import load
from iln.checkpoints.published import Answers, clean, recognise, rename
from iln.checkpoints.wrappers import find_weights
from iln.errors import InputError
from iln.norm import NORMS


def shapes_of(spec: Spec, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, ...]]:
    # Memory that nothing is written to costs nothing; drawing its numbers would take seconds.
    for initializer in ("trunc_normal_", "kaiming_uniform_", "uniform_", "zeros_"):
        monkeypatch.setattr(torch.nn.init, initializer, lambda tensor, *_, **__: tensor)
    state = from_spec(spec).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_recognised(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = PRESETS[preset]
    shapes = shapes_of(spec, monkeypatch)
    hat = isinstance(spec, HATSpec)
    found = recognise(shapes, Answers(norm="ln" if hat else None))
    assert found.spec == spec
    with_i_ln = replace(spec, norm="i-ln", eps=1e-4, input_stats="mean+std")
    assert recognise(rename(shapes, "i-ln")).spec == with_i_ln
    assert set(found.assumed) == {"img_range", "eps", "input_stats"} | ({"conv_scale"} & {
        field.name for field in fields(spec)
    })  # fmt: skip


@pytest.mark.parametrize(
    "spec",
    [
        replace(SPECS["swinir"], qkv_bias=False),
        replace(SPECS["swinir"], mlp_ratio=1.5, resi_connection="3conv"),
        replace(SPECS["swinir"], scale=8, in_chans=1),
        replace(SPECS["swinir"], scale=4, in_chans=1, upsampler="pixelshuffledirect"),
        replace(SPECS["swinir"], embed_dim=49, num_heads=(7, 7), mlp_ratio=3.1),
        replace(SPECS["hat"], overlap_ratio=0.0, mlp_ratio=4.0),
        replace(SPECS["hat"], overlap_ratio=1.0, window=6, qkv_bias=False),
        replace(SPECS["hat"], depths=(1, 3), num_heads=(3, 1), compress_ratio=6, squeeze_factor=2),
        replace(SPECS["drct"], growth=6, num_heads=(1, 3), mlp_ratio=1.0, resi_connection="3conv"),
        replace(SPECS["drct"], growth=2, scale=3, qkv_bias=False, window=8),
    ],
    ids=lambda spec: type(spec).__name__,
)
def test_every_unusual_hyperparameter_is_recognised(spec: Spec) -> None:
    state = from_spec(spec).state_dict()
    found = recognise({n: tuple(t.shape) for n, t in state.items()}, Answers(norm="ln"))
    assert from_spec(found.spec).load_state_dict(state).missing_keys == []
    # A width such as 3.1 * 49 is cut to whole channels: another ratio, the same network.
    assert int(found.spec.mlp_ratio * spec.embed_dim) == int(spec.mlp_ratio * spec.embed_dim)
    assert replace(found.spec, mlp_ratio=spec.mlp_ratio) == spec


def test_a_ratio_survives_rounding() -> None:
    spec = SwinIRSpec(**{**SMALL, "embed_dim": 49, "num_heads": (7, 7), "mlp_ratio": 0.021})
    state = from_spec(spec).state_dict()
    assert state["layers.0.residual_group.blocks.0.mlp.fc1.weight"].shape[0] == 1
    found = recognise({n: tuple(t.shape) for n, t in state.items()}).spec
    assert int(49 * found.mlp_ratio) == 1  # while int(49 * (1 / 49)) is 0


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("norm", ["ln", "i-ln"])
@pytest.mark.parametrize("backbone", SPECS)
def test_an_official_file_loads(backbone: str, norm: str, suffix: str, tmp_path: Path) -> None:
    eps, stats = (1e-4, "mean+std") if norm == "i-ln" else (1e-5, "mean")
    model = network(replace(SPECS[backbone], norm=norm, eps=eps, input_stats=stats))
    file = tmp_path / f"official.{suffix}"
    if suffix == "pth":
        torch.save({"params": official(model)}, file)
    else:
        save_file(official(model), file)
    again = load(file, norm=norm if (backbone, norm) == ("hat", "ln") else None)
    assert again.spec == model.spec
    assert not again.training
    assert torch.equal(run(again), run(model))


def _ddp(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"module._orig_mod.{name}": tensor for name, tensor in state.items()}


WRAPPED = {
    "bare": lambda state, other: state,
    "params": lambda state, other: {"params": state},
    "params_ema": lambda state, other: {"params": other, "params_ema": state},
    "empty ema": lambda state, other: {"params_ema": None, "params": state},
    "state_dict": lambda state, other: {"epoch": 3, "state_dict": state, "best": 31.5},
    "nested": lambda state, other: {"model": {"params": state}},
    "module.": lambda state, other: {f"module.{name}": t for name, t in state.items()},
    "module._orig_mod.": lambda state, other: {"params_ema": _ddp(state), "params": _ddp(other)},
    "compiled blocks": lambda state, other: {
        name.replace("blocks.0.", "blocks.0._orig_mod."): t for name, t in state.items()
    },
    "parameters": lambda state, other: {n: torch.nn.Parameter(t) for n, t in state.items()},
}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrapped", WRAPPED)
def test_wrappers_and_prefixes(wrapped: str, legacy: bool, tmp_path: Path) -> None:
    model = network(SPECS["swinir"])
    wrong = network(SPECS["swinir"], seed=5).state_dict()
    file = tmp_path / "model.pth"
    content = WRAPPED[wrapped](model.state_dict(), wrong)
    torch.save(content, file, _use_new_zipfile_serialization=not legacy)
    assert torch.equal(run(load(file)), run(model))


def test_half_precision_files_load_as_float32(tmp_path: Path) -> None:
    file = tmp_path / "half.pth"
    torch.save(network(SPECS["swinir"]).half().state_dict(), file)
    assert {p.dtype for p in load(file).parameters()} == {torch.float32}


def test_a_hat_with_weight_and_bias_asks(tmp_path: Path) -> None:
    file = tmp_path / "hat.pth"
    torch.save(official(network(SPECS["hat"])), file)
    with pytest.raises(InputError, match=r"norm='ln' or norm='i-ln' \(--norm ln or --norm i-ln\)"):
        load(file)


@pytest.mark.parametrize("backbone", SPECS)
def test_i_ln_under_the_names_of_a_layernorm(backbone: str, tmp_path: Path) -> None:
    model = network(replace(SPECS[backbone], norm="i-ln", eps=1e-4, input_stats="none"))
    file = tmp_path / "redux.safetensors"
    save_file(traiNNer(official(model)), file)
    again = load(file, norm="i-ln")
    assert again.spec == model.spec
    assert torch.equal(run(again), run(model))
    assert load(file, norm="i-ln", input_stats="mean").spec.input_stats == "mean"
    as_layernorm = load(file, norm="ln")
    assert as_layernorm.spec.input_stats == "mean"
    assert not torch.allclose(run(as_layernorm), run(model))


def test_gamma_and_beta_may_be_ln_star_if_said_so() -> None:
    state = from_spec(replace(SPECS["hat"], norm="ln*")).state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert recognise(shapes).spec.norm == "i-ln"
    assert recognise(shapes, Answers(norm="ln*")).spec.norm == "ln*"
    with pytest.raises(InputError, match="gamma and beta; accepted: 'i-ln'"):
        recognise(shapes, Answers(norm="ln"))


@pytest.mark.parametrize("norm", NORMS)
def test_a_bare_state_dict_of_any_norm_loads_if_the_norm_is_said(norm: str, tmp_path: Path) -> None:
    model = network(replace(SPECS["swinir"], norm=norm))
    file = tmp_path / "bare.pth"
    torch.save(model.state_dict(), file)
    again = load(file, norm=norm, eps=1e-5, input_stats="mean")
    assert again.spec == model.spec
    assert torch.equal(run(again), run(model))


def test_without_norm_parameters_the_norm_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "bare.pth"
    torch.save(network(replace(SPECS["swinir"], norm="none")).state_dict(), file)
    with pytest.raises(InputError, match=r"does not tell its norm; give norm \(--norm\)"):
        load(file)


def test_the_window_7_convention_is_swinirs(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {"swinir": 255.0, "hat": 1.0, "drct": 1.0}
    for backbone, img_range in expected.items():
        even = {"overlap_ratio": 0.6} if backbone == "hat" else {}
        spec = replace(SPECS[backbone], window=7, **even)
        shapes = shapes_of(replace(spec, norm="i-ln"), monkeypatch)
        assert recognise(shapes).spec.img_range == img_range


def test_every_convention_can_be_overridden(tmp_path: Path) -> None:
    file = tmp_path / "hat.pth"
    torch.save(official(network(SPECS["hat"])), file)
    given = {
        "norm": "ln",
        "input_stats": "none",
        "img_range": 255.0,
        "eps": 1e-3,
        "conv_scale": 1.0,
    }
    model = load(file, **given)
    assert {name: getattr(model.spec, name) for name in given} == given
    usual = load(file, norm="ln")
    assert [m.scale for m in model.modules() if isinstance(m, ConvBranch)] == [1.0] * 3
    for name in given:
        one = {"norm": "ln", name: given[name]}
        changed = asdict(load(file, **one).spec)
        before = asdict(usual.spec)
        assert {n for n in before if changed[n] != before[n]} == {name} - {"norm"}


def test_one_line_of_the_log_tells_what_was_assumed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "hat.pth"
    torch.save(official(network(SPECS["hat"])), file)
    with caplog.at_level(logging.INFO, logger="iln"):
        load(file, norm="ln", eps=1e-6)
    (record,) = caplog.records
    assert record.name == "iln" and record.levelno == logging.INFO
    text = record.getMessage()
    assert text.startswith(str(file)) and "hat, scale 2, norm ln" in text
    assert "by convention: img_range 1, conv_scale 0.01, input_stats mean" in text
    assert "eps" not in text  # that was said


def test_conv_scale_is_hats_alone(tmp_path: Path) -> None:
    file = tmp_path / "swinir.pth"
    torch.save(network(SPECS["swinir"]).state_dict(), file)
    with pytest.raises(InputError, match="no conv_scale: it is a SwinIR, which has no such value"):
        load(file, conv_scale=1.0)


def test_renaming_touches_norms_only() -> None:
    names = ["norm.weight", "patch_embed.norm.bias", "a.norm1.weight", "a.norm2.bias",
             "conv_first.weight", "a.attn.qkv.bias"]  # fmt: skip
    renamed = rename(dict.fromkeys(names, torch.zeros(1)), "i-ln")
    assert list(renamed) == ["norm.gamma", "patch_embed.norm.beta", "a.norm1.gamma",
                             "a.norm2.beta", "conv_first.weight", "a.attn.qkv.bias"]  # fmt: skip
    assert list(rename(dict.fromkeys(names, torch.zeros(1)), "ln")) == names


def test_a_container_that_contains_itself_ends() -> None:
    content: dict[str, object] = {}
    content["params"] = content
    with pytest.raises(InputError, match="holds no weights"):
        find_weights(content)


GOLDEN_FILES = sorted(GOLDEN.rglob("*.safetensors"))


@pytest.mark.skipif(not GOLDEN_FILES, reason=f"the golden files are not at {GOLDEN}")
@pytest.mark.parametrize("file", GOLDEN_FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_the_authors_own_networks_give_the_authors_output(file: Path, tmp_path: Path) -> None:
    tensors = load_file(file)
    with safe_open(file, framework="pt") as opened:
        said = json.loads(opened.metadata()["config"])
        architecture = opened.metadata()["architecture"]
    state = {n.removeprefix("state."): t for n, t in tensors.items() if n.startswith("state.")}
    pth = tmp_path / "official.pth"
    torch.save({"params_ema": state}, pth)
    model = load(pth, norm="ln" if architecture == "HAT" else None, img_range=said["img_range"])
    assert model.spec.norm == ("i-ln" if architecture == "HAT_iLN" else "ln")
    if not isinstance(model.spec, DRCTSpec):
        assert model.spec.depths == tuple(said["depths"])
    error = (run(model, tensors["input"]) - tensors["output"]).abs().max()
    assert error < 3e-6


@pytest.mark.skipif(not PILOT.is_dir(), reason=f"the pilot's weights are not at {PILOT}")
def test_the_pilot_loads() -> None:
    expected = replace(PRESETS["swinir-light-x2"], norm="i-ln", eps=1e-4, input_stats="mean+std")
    model = load(PILOT / "swinir-light-iln-x2.safetensors")
    assert model.spec == expected
    flat = torch.full((1, 3, 16, 16), 0.5)
    # A trained network enlarges a grey square to a grey square; a wrong range or mean would not.
    assert (run(model, flat) - 0.5).abs().max() < 0.02


def test_cleaning_keeps_the_tables() -> None:
    model = network(SPECS["drct"])
    assert set(clean(official(model))) == set(model.state_dict())
