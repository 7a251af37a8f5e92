from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from typing import Any

import pytest
import torch
from tiny_networks import TINY, network, picture, spec

from iln.backbones import (
    BACKBONES,
    PRESETS,
    DRCTSpec,
    HATSpec,
    Spec,
    SwinIRSpec,
    build,
    from_spec,
)
from iln.errors import InputError
from iln.norm import NORMS

REFUSED: list[tuple[type[Spec], dict[str, Any], list[str]]] = [
    (SwinIRSpec, {"scale": 5}, ["scale is 5", "1, 2, 3, 4, 8"]),
    (SwinIRSpec, {"in_chans": 4}, ["in_chans is 4", "1, 3"]),
    (
        SwinIRSpec,
        {"upsampler": "bicubic"},
        ["upsampler is 'bicubic'", "'nearest+conv', ''"],
    ),
    (SwinIRSpec, {"resi_connection": "2conv"}, ["resi_connection is '2conv'", "'1conv', '3conv'"]),
    (SwinIRSpec, {"input_stats": "std"}, ["input_stats is 'std'", "'none', 'mean', 'mean+std'"]),
    (SwinIRSpec, {"norm": "iln"}, ["norm is 'iln'", *map(repr, NORMS)]),
    (SwinIRSpec, {"scale": 1}, ["upsampler 'pixelshuffle'", "scale 1, which has upsampler ''"]),
    (SwinIRSpec, {"upsampler": "nearest+conv", "scale": 3}, ["nearest+conv", "2 or 4, not 3"]),
    (SwinIRSpec, {"depths": (6, 6)}, ["depths (6, 6)", "num_heads", "one entry per group"]),
    (SwinIRSpec, {"depths": (), "num_heads": ()}, ["depths ()", "one entry per group"]),
    (SwinIRSpec, {"embed_dim": 0}, ["embed_dim is 0", "above 0"]),
    (SwinIRSpec, {"window": -8}, ["window is -8", "above 0"]),
    (SwinIRSpec, {"mlp_ratio": 0.0}, ["mlp_ratio is 0.0", "above 0"]),
    (SwinIRSpec, {"img_range": float("nan")}, ["img_range is nan", "finite"]),
    (SwinIRSpec, {"eps": 0.0}, ["eps is 0.0", "above 0"]),
    (SwinIRSpec, {"drop_path": 1.0}, ["drop_path is 1.0", "[0, 1)"]),
    (SwinIRSpec, {"drop_path": -0.1}, ["drop_path is -0.1", "[0, 1)"]),
    (SwinIRSpec, {"num_heads": (6, 6, 6, 6, 6, 7)}, ["embed_dim 180", "multiple of 7 heads"]),
    (SwinIRSpec, {"num_heads": (6, 6, 6, 6, 6, 0)}, ["num_heads", "at least 1"]),
    (SwinIRSpec, {"embed_dim": "180"}, ["embed_dim is '180'", "whole number"]),
    (SwinIRSpec, {"depths": 6}, ["depths is 6", "whole numbers"]),
    (SwinIRSpec, {"qkv_bias": 1}, ["qkv_bias is 1", "true or false"]),
    (SwinIRSpec, {"eps": float("inf")}, ["eps is inf", "finite"]),
    (SwinIRSpec, {"mlp_ratio": 0.001}, ["mlp_ratio 0.001", "too narrow"]),
    (HATSpec, {"compress_ratio": 0}, ["compress_ratio is 0", "between 1 and embed_dim"]),
    (HATSpec, {"squeeze_factor": 181}, ["squeeze_factor is 181", "between 1 and embed_dim"]),
    (HATSpec, {"overlap_ratio": 0.2}, ["overlap_ratio 0.2", "window 16", "even"]),
    (HATSpec, {"overlap_ratio": -0.5}, ["overlap_ratio -0.5", "even"]),
    (DRCTSpec, {"growth": 0}, ["growth is 0", "at least 1"]),
    (DRCTSpec, {"growth": 13}, ["channels are no multiple"]),
]


@pytest.mark.parametrize(("kind", "values", "says"), REFUSED)
def test_refused_values(kind: type[Spec], values: dict[str, Any], says: list[str]) -> None:
    with pytest.raises(InputError) as error:
        kind(**values)
    message = str(error.value)
    assert "\n" not in message
    for part in says:
        assert part in message


@pytest.mark.parametrize(
    "values", [{"embed_dim": "180"}, {"depths": 6}, {"drop_path": None}, {"eps": [1e-5]}]
)
def test_refused_types(values: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        SwinIRSpec.from_dict(values)


@pytest.mark.parametrize("preset", PRESETS)
def test_specs_survive_json(preset: str) -> None:
    wanted = PRESETS[preset]
    assert type(wanted).from_dict(json.loads(json.dumps(asdict(wanted)))) == wanted


def test_unknown_fields_of_a_stored_spec() -> None:
    with pytest.raises(InputError, match=r"SwinIRSpec has no ape, growth; it has .*depths"):
        SwinIRSpec.from_dict({"growth": 32, "ape": False})


@pytest.mark.parametrize("backbone", TINY)
def test_each_spec_makes_its_backbone(backbone: str) -> None:
    kind, model = BACKBONES[backbone]
    assert type(TINY[backbone]) is kind
    assert type(from_spec(TINY[backbone])) is model
    with pytest.raises(InputError, match="known: swinir, hat, drct"):
        from_spec(Spec())


SMALL: dict[str, Any] = {"embed_dim": 12, "depths": (1,), "num_heads": (2,)}


def test_unknown_names_get_a_hint() -> None:
    with pytest.raises(InputError, match=r"no preset 'swinir-ligth-x2'; did you mean swinir-l"):
        build("swinir-ligth-x2")
    with pytest.raises(InputError, match=r"no preset 'qqq'; known: .*drct-x2.*swinir-x8"):
        build("qqq")
    with pytest.raises(InputError, match=r"no norm 'iln'; known: ln, rms, .*ln\*, i-ln"):
        build("hat-x4", "iln")
    with pytest.raises(InputError, match=r"hat-x4 has no 'embed_dims'; did you mean embed_dim\?"):
        build("hat-x4", embed_dims=12)
    with pytest.raises(InputError, match=r"hat-x4 has no 'zzz'; known: .*compress_ratio"):
        build("hat-x4", zzz=12)
    with pytest.raises(InputError, match="'growth'"):
        build("hat-x4", growth=12)


@pytest.mark.parametrize("norm", NORMS)
def test_defaults_follow_the_norm(norm: str) -> None:
    holistic = norm in ("ln*", "i-ln")
    model = build("swinir-light-x2", norm, **SMALL)
    assert model.spec.norm == norm
    assert model.spec.eps == (1e-4 if holistic else 1e-5)
    assert model.spec.input_stats == ("mean+std" if holistic else "mean")
    assert {m.eps for n, m in model.named_modules() if n.endswith("norm1")} == {model.spec.eps}
    assert model.std == ((0.2842, 0.2701, 0.2920) if holistic else (1.0, 1.0, 1.0))


def test_given_values_win_over_defaults() -> None:
    model = build("swinir-light-x2", "i-ln", eps=1e-6, input_stats="none", **SMALL)
    assert model.spec.eps == 1e-6
    assert model.spec.input_stats == "none"
    assert model.mean == (0.0, 0.0, 0.0)
    assert build("swinir-light-x2", **SMALL).spec.norm == "i-ln"


def test_gray_input_keeps_its_mean() -> None:
    model = build("swinir-denoise-gray", **SMALL)
    assert model.mean == (0.0,)
    assert model.std == (1.0,)


def test_presets_are_ln_as_published() -> None:
    for name, preset in PRESETS.items():
        assert (preset.norm, preset.eps, preset.input_stats) == ("ln", 1e-5, "mean"), name
        assert preset.img_range == (255 if "jpeg" in name else 1)
        assert preset.window == (7 if "jpeg" in name else 8 if "swinir" in name else 16)
        if "-x" in name:
            assert preset.scale == int(name.rpartition("-x")[2])
    assert PRESETS["hat-mini-x4"] == HATSpec(
        scale=4, embed_dim=96, compress_ratio=24, squeeze_factor=24
    )


def test_start_of_the_weights() -> None:
    """Linear weights and position tables truncated normal 0.02, Linear biases 0."""
    torch.manual_seed(0)
    model = from_spec(spec("hat", embed_dim=24, num_heads=(4,)))
    linear = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
    weights = torch.cat([m.weight.flatten() for m in linear])
    tables = torch.cat(
        [p.flatten() for n, p in model.named_parameters() if n.endswith("bias_table")]
    )
    for values in (weights, tables):
        assert values.std().item() == pytest.approx(0.02, rel=0.1)
        assert abs(values.mean().item()) < 0.002
    assert all((m.bias == 0).all() for m in linear)


def test_a_spec_is_frozen_and_hashable() -> None:
    tiny = TINY["swinir"]
    with pytest.raises(AttributeError):
        tiny.scale = 3  # type: ignore[misc]
    assert hash(tiny) == hash(replace(tiny))
    assert {f.name for f in fields(HATSpec)} > {f.name for f in fields(Spec)}


def test_the_network_tells_its_spec() -> None:
    tiny = spec("drct", "i-ln")
    model = network(tiny)
    assert model.spec == tiny
    assert model(picture(tiny, 4, 4)).shape == (1, 3, 8, 8)
