"""Weights of 4 bits in files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from published import SPECS, network, run

import iln
from iln.checkpoints.native import describe
from iln.checkpoints.packing import GROUP, pack, packed, unpack, unpacked
from iln.errors import InputError


def test_known_codes() -> None:
    weight = torch.zeros(1, 4)
    weight[0] = torch.tensor([7.0, -3.0, 0.0, 1.0])
    codes, steps = pack(weight)
    assert steps.tolist() == [[1.0]]
    assert codes.shape == (1, 1, 16)
    assert codes[0, 0, :3].tolist() == [15 | 5 << 4, 8 | 9 << 4, 8 | 8 << 4]
    assert torch.equal(unpack(codes, steps, weight.shape), weight)


@pytest.mark.parametrize("shape", [(5, 7), (3, 64), (6, 4, 3, 3), (1, 1)])
def test_no_weight_moves_far(shape: tuple[int, ...]) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    codes, steps = pack(weight)
    back = unpack(codes, steps, weight.shape)
    assert back.shape == weight.shape
    assert back.dtype == torch.float32
    error = (back - weight).flatten(1)
    bound = steps.float().repeat_interleave(GROUP, 1)[:, : error.shape[1]]
    clipped = weight.flatten(1).abs() > 7.5 * bound
    assert (error.abs() <= 0.501 * bound)[~clipped].all()
    plain = weight.flatten(1)
    naive = plain.abs().amax(1, keepdim=True) / 7
    assert error.square().sum() <= ((plain / naive).round() * naive - plain).square().sum() + 1e-6


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_not_finite_is_refused(value: float) -> None:
    weight = torch.ones(3, 40)
    weight[1, 2] = value
    with pytest.raises(InputError, match="infinite or NaN"):
        pack(weight)


def test_zeros_stay_zeros() -> None:
    weight = torch.zeros(2, 40)
    assert torch.equal(unpack(*pack(weight), weight.shape), weight)


@pytest.mark.parametrize("backbone", SPECS)
def test_a_packed_file(backbone: str, tmp_path: Path) -> None:
    model = network(SPECS[backbone])
    full, small = tmp_path / "full.safetensors", tmp_path / "small.safetensors"
    iln.save(model, full, dtype=torch.float16)
    iln.save(model, small, bits=4, task="sr")
    assert small.stat().st_size < full.stat().st_size
    said = describe(small)
    assert (said["dtype"], said["task"]) == ("int4", "sr")
    assert said["parameters"] == describe(full)["parameters"]
    loaded = iln.load(small)
    body = {f"{name}.weight" for name in model.body_layers()}
    for name, tensor in loaded.state_dict().items():
        before = model.state_dict()[name]
        if name in body:
            assert torch.equal(tensor, unpack(*pack(before), before.shape))
        else:
            assert torch.equal(tensor, before.half().float())
    error = (run(loaded) - run(model)).square().mean()
    assert 0 < error < 0.05 * run(model).square().mean()
    again = tmp_path / "again.safetensors"
    iln.save(loaded, again, bits=4)  # packing what was packed loses next to nothing more
    assert torch.allclose(run(iln.load(again)), run(loaded), atol=1e-2)


def test_what_cannot_be_saved(tmp_path: Path) -> None:
    model = network(SPECS["swinir"])
    with pytest.raises(InputError, match="bits is 3; accepted: 4"):
        iln.save(model, tmp_path / "m.safetensors", bits=3)
    with pytest.raises(InputError, match="without a dtype"):
        iln.save(model, tmp_path / "m.safetensors", bits=4, dtype=torch.float16)
    assert not list(tmp_path.iterdir())


def test_damaged_packing(tmp_path: Path) -> None:
    model = network(SPECS["swinir"])
    file = tmp_path / "m.safetensors"
    iln.save(model, file, bits=4)
    with safetensors.safe_open(file, "pt") as opened:
        metadata = opened.metadata()
        weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    card = json.loads(metadata["iln"])
    del card["checksum"], card["card_checksum"]
    metadata["iln"] = json.dumps(card)
    codes = next(name for name in weights if name.endswith(".q4"))
    step = codes.removesuffix(".q4") + ".step"
    for change in (
        {step: None},
        {codes: weights[codes][:-1]},
        {"x.weight.q4": weights[codes].clone()},
    ):
        broken = {k: v for k, v in {**weights, **change}.items() if v is not None}
        safetensors.torch.save_file(broken, file, metadata)
        with pytest.raises(InputError, match=r"4-bit weights"):
            iln.load(file)


def test_dictionaries() -> None:
    weights = {"a.weight": torch.randn(4, 5), "b": torch.ones(3)}
    both = packed(weights, ["a.weight"])
    assert sorted(both) == ["a.weight.q4", "a.weight.step", "b"]
    shapes = {name: tensor.shape for name, tensor in weights.items()}
    assert unpacked(both, shapes)["a.weight"].shape == (4, 5)
