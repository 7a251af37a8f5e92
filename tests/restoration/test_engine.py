"""Which engine `auto` means."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
import pytest
import torch
from small_models import photo, small_model, small_spec

import iln
from iln.backbones import PRESETS
from iln.errors import InputError
from iln.restoration import engine as engines
from iln.restoration.engine import choose_engine

CPU = torch.device("cpu")
LIGHT = PRESETS["swinir-light-x2"]


@pytest.fixture(autouse=True)
def a_usual_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(engines, "find_spec", lambda name: object())


@pytest.mark.parametrize(
    ("preset", "device", "precision", "expected"),
    [
        ("swinir-light-x2", "cpu", "auto", "openvino"),
        ("swinir-light-x2", "cpu", "fp32", "openvino"),
        ("swinir-light-x2", "cpu", "bf16", "openvino"),
        ("swinir-light-x2", "cpu", "fp16", "torch"),
        ("swinir-light-x2", "cuda", "auto", "torch"),
        ("hat-mini-x4", "cpu", "auto", "openvino"),
        ("drct-x2", "cpu", "auto", "openvino"),
        ("hat-mini-x4", "cpu", "int8", "openvino"),
    ],
)
def test_the_network_and_the_device_decide(
    preset: str, device: str, precision: str, expected: str
) -> None:
    assert choose_engine(PRESETS[preset], torch.device(device), precision) == expected


def test_what_was_not_measured_is_pytorchs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_engine(small_spec(), CPU, "auto") == "torch"
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert choose_engine(LIGHT, CPU, "auto") == "torch"


def test_without_openvino_it_is_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    assert choose_engine(LIGHT, CPU, "auto") == "torch"


def test_the_result_is_that_of_float32_but_for_rounding() -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    image = np.rint(photo(40, 56, 3) * 255).astype(np.uint8)
    restorer = iln.Restorer("photo", engine="auto", device="cpu")
    assert restorer.engine == "openvino"
    exact = iln.Restorer("photo", engine="torch", precision="fp32", device="cpu")
    floats = (image / 255).astype(np.float32)
    error = np.square(restorer(floats) - exact(floats), dtype=np.float64).mean()
    assert -10 * np.log10(error) > 59  # what rounding to 8 bits costs
    assert np.abs(restorer(image).astype(int) - exact(image)).max() <= 1


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"engine": "tensor"}, "accepted: auto, torch, openvino"),
        ({"engine": "auto", "precision": "int8", "device": "cuda"}, "on a CPU and not on cuda"),
    ],
)
def test_refused(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        iln.Restorer(small_model(small_spec()), **options)
