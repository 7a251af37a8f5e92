"""Half precision: how close it is, and what `auto` makes of it."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_models import photo, small_model, small_spec, whole

import iln
from iln.backbones import Backbone
from iln.backbones.residual_stream import divide_stream
from iln.checkpoints.native import shipped
from iln.errors import InputError
from iln.images import read
from iln.layers.forward_pass import Strips
from iln.norm import NORMS
from iln.restoration import restorer as module
from iln.restoration.precision import choose, safe_half

CPU = torch.device("cpu")
DEMO = Path(__file__).parents[2] / "demo" / "budgie-small.png"


def wild() -> Backbone:
    """LayerNorm, with a stream that float16 cannot hold."""
    model = copy.deepcopy(small_model(small_spec(norm="ln", input_stats="mean")))
    divide_stream(model, [-18])
    return model


def decibels(one: Any, other: Any) -> float:
    return float(-10 * np.log10(np.mean((np.clip(one, 0, 1) - np.clip(other, 0, 1)) ** 2) + 1e-30))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("backbone", ["swinir", "hat", "drct"])
@pytest.mark.parametrize(("dtype", "least"), [(torch.float16, 55), (torch.bfloat16, 35)])
def test_every_norm_and_strip_size(
    backbone: str, norm: str, dtype: torch.dtype, least: float
) -> None:
    spec = small_spec(backbone, norm, scale=1, upsampler="")
    model, image = small_model(spec), photo(14, 18)
    half = copy.deepcopy(model).to(dtype)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None]
    expected = whole(model, image)
    with torch.inference_mode():
        for strips in (Strips(4), Strips(1000)):
            output = half(tensor, strips)[0].permute(1, 2, 0).float().numpy()
            assert decibels(output, expected) > least


@pytest.mark.parametrize("name", shipped())
def test_shipped_models(name: str) -> None:
    picture = read(DEMO).pixels[30:54, 30:54]
    exact = iln.Restorer(name, device="cpu")(picture.astype(np.float32) / 255)
    for precision, least in (("fp16", 60), ("bf16", 45)):
        found = iln.Restorer(name, device="cpu", precision=precision)
        assert decibels(found(picture.astype(np.float32) / 255), exact) > least


def test_what_is_safe() -> None:
    healthy = small_model(small_spec())
    assert safe_half(healthy, CPU, bf16=True) == ("fp16", "")
    precision, why = safe_half(wild(), CPU, bf16=False)
    assert precision == "fp32"
    assert "overflows fp16 at" in why
    assert "iln rescue" in why
    large = small_model(small_spec("swinir", "none", input_stats="mean"))
    large = copy.deepcopy(large)
    with torch.no_grad():
        large.conv_first.weight.mul_(1e6)
    precision, why = safe_half(large, CPU, bf16=True)
    assert precision != "fp16"
    assert "rescue" not in why  # nothing normalises its stream


def test_auto_is_float32_on_a_cpu() -> None:
    assert choose(wild(), CPU) == "fp32"
    assert iln.Restorer(wild(), device="cpu").dtype == torch.float32


def test_a_picture_that_half_precision_cannot_do_is_done_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "choose", lambda model, device: "fp16")
    model, image = wild(), photo(12, 12)
    restorer = iln.Restorer(model, device="cpu")
    assert restorer.dtype == torch.float16
    with caplog.at_level(logging.INFO, "iln"):
        first = restorer(image)
    assert "done again in fp32" in caplog.text
    assert np.allclose(first, whole(model, image).clip(0, 1), atol=1e-5)
    assert restorer.dtype == torch.float32
    assert np.array_equal(restorer(image), first)


def test_what_was_asked_for_is_not_changed() -> None:
    restorer = iln.Restorer(wild(), device="cpu", precision="fp16")
    with pytest.raises(InputError, match=r"not finite in fp16: .*iln rescue"):
        restorer(photo(12, 12))
