"""Dividing the residual stream leaves the function as it is."""

import copy
from dataclasses import replace

import pytest
import torch
from wild_networks import SMALL, network, picture, wild

from iln.backbones import from_spec
from iln.backbones.residual_stream import divide_stream, stream_powers
from iln.deploy.quantization import calibrate
from iln.errors import InputError
from iln.layers.forward_pass import Strips
from iln.norm import NORMS

NORMALISING = [norm for norm in NORMS if norm not in ("none", "rezero")]


@pytest.mark.parametrize("norm", NORMALISING)
@pytest.mark.parametrize("preset", SMALL)
@pytest.mark.parametrize("powers", [(12, 12), (3, 17)])
@torch.no_grad()
def test_the_function_stays(preset: str, norm: str, powers: tuple[int, int]) -> None:
    model = network(preset, norm, eps=1e-30).double()
    image = picture().double()
    expected = model(image)
    divide_stream(model, powers)
    assert (model(image) - expected).abs().max() < 1e-12 * expected.abs().max()
    assert (model(image, Strips(4)) - expected).abs().max() < 1e-12 * expected.abs().max()


@pytest.mark.parametrize("preset", SMALL)
@pytest.mark.parametrize("norm", NORMALISING)
@torch.no_grad()
def test_the_stream_is_smaller(preset: str, norm: str) -> None:
    model = network(preset, norm, eps=1e-30).double()
    seen: list[torch.Tensor] = []
    for block in model.blocks().values():
        block.register_forward_hook(lambda module, inputs, output: seen.append(output))
    model(picture().double())
    divide_stream(model, (5, 5))
    model(picture().double())
    half = len(seen) // 2
    for before, after in zip(seen[:half], seen[half:], strict=True):
        assert torch.allclose(after * 32, before, rtol=1e-9)


@torch.no_grad()
def test_every_rule_counts() -> None:
    """Leaving out any parameter of the list changes the function: none is there for nothing."""
    for preset in SMALL:
        whole = network(preset, "ln", eps=1e-30).double()
        image = picture().double()
        expected = whole(image)
        divided = copy.deepcopy(whole)
        divide_stream(divided, (6, 6))
        original = whole.state_dict()
        tensors = divided.state_dict()
        for name in stream_powers(whole):
            if name.endswith("0.conv_block.cab.2.bias") or name not in tensors:
                continue
            kept = tensors[name].clone()
            tensors[name].copy_(original[name])
            changed = (divided(image) - expected).abs().max()
            tensors[name].copy_(kept)
            assert changed > 1e-9, (preset, name)


def test_hats_gate_is_no_forgotten_factor() -> None:
    names = stream_powers(network("hat-x2"))
    gates = {name: power for name, power in names.items() if "attention" in name}
    assert set(gates.values()) == {1}
    assert all(name.endswith("attention.1.weight") for name in gates)
    assert len(gates) == 3


@pytest.mark.parametrize("norm", ["none", "rezero"])
def test_what_cannot_be_divided(norm: str) -> None:
    with pytest.raises(InputError, match="nothing normalises"):
        stream_powers(network(norm=norm))


def test_there_and_back() -> None:
    model = network()
    before = copy.deepcopy(model.state_dict())
    wild(model, 4, 9)
    assert model.spec.stream_steps == (0, -5)
    divide_stream(model, (4, 9))
    assert model.spec.stream_steps == ()
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_steps_are_part_of_the_spec() -> None:
    spec = network().spec
    with pytest.raises(InputError, match="stream_steps"):
        replace(spec, stream_steps=(1,))
    for step in (-2000, 101):
        with pytest.raises(InputError, match=r"stream_steps .*each is from -100 to 100"):
            replace(spec, stream_steps=(0, step))
    model = from_spec(replace(spec, stream_steps=(0, 3)))
    out = model(picture())
    out.mean().backward()  # and training goes through them
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("powers", [(4, 4), (3, 9)])
@pytest.mark.parametrize("preset", SMALL)
@torch.no_grad()
def test_ranges_for_int8_are_those_of_the_divided_stream(
    preset: str, powers: tuple[int, int]
) -> None:
    model = network(preset, "ln", eps=1e-30).double()
    model.ranges = calibrate(model, [picture().double()], 100.0)
    divide_stream(model, powers)
    measured = calibrate(model, [picture().double()], 100.0)
    assert model.ranges.keys() == measured.keys()
    for name, limits in measured.items():
        assert model.ranges[name] == pytest.approx(limits, rel=1e-6, abs=1e-12), name
