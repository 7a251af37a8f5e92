"""A probe finds what is there, the same by every way through the network, and leaves no trace."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn
from watched import SMALL, picture, small

from iln.backbones import Backbone
from iln.errors import InputError
from iln.lab.dynamics import Probe
from iln.layers.forward_pass import WHOLE, Checkpointed, Strips
from iln.norm import NORMS


def traces(model: Backbone) -> int:
    """Hooks, and attributes of norms that shadow their class's."""
    modules = list(model.modules())
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules)
    return hooks + sum(name in vars(m) for m in modules for name in ("statistics", "residual"))


def channels_by_hand() -> Backbone:
    """No norms, no branches: every block's output is the first convolution's bias."""
    model = small(norm="none")
    for parameter in model.parameters():
        parameter.data.zero_()
    model.conv_first.bias.data.copy_(torch.tensor([1.0] * 11 + [5.0]))
    return model


def test_a_known_dominating_channel() -> None:
    with Probe(channels_by_hand()) as probe:
        probe.model(picture())
    assert len(probe.measures) == 3
    for found in probe.measures.values():
        assert found.top_channel == 11
        assert found.top_share == pytest.approx(25 / 36, rel=1e-14)
        p = [1 / 36] * 11 + [25 / 36]
        assert found.entropy == pytest.approx(-sum(q * math.log(q) for q in p), rel=1e-14)
        assert found.mean_square == pytest.approx(3, rel=1e-14)
        assert found.token_sigma == pytest.approx(math.sqrt(3 - (16 / 12) ** 2), rel=1e-14)
        assert found.token_sigma_cv == pytest.approx(0, abs=1e-7)
        assert found.tokens == 16 * 20  # with the padding
    energy = next(iter(probe.energies.values()))
    assert torch.equal(energy, torch.tensor([1.0] * 11 + [25.0], dtype=torch.float64))


@pytest.mark.parametrize("preset", SMALL)
def test_every_block_in_order(preset: str) -> None:
    model = small(preset)
    outputs = {}
    for name, block in model.blocks().items():
        block.register_forward_hook(lambda m, i, y, name=name: outputs.update({name: y.double()}))
    with torch.no_grad(), Probe(model) as probe:
        model(picture(2))
    assert list(probe.measures) == list(model.blocks())
    for name, found in probe.measures.items():
        assert found.channels == outputs[name].shape[3]
        mean_square = outputs[name].square().mean().item()
        assert found.mean_square == pytest.approx(mean_square, rel=1e-12)


@pytest.mark.parametrize("norm", NORMS)
def test_sigma_where_there_is_one_per_picture(norm: str) -> None:
    model, image = small(norm=norm), picture(2)
    stream = []
    model.layers[0].register_forward_pre_hook(lambda m, inputs: stream.append(inputs[0]))
    with Probe(model) as learning:
        model(image)
    with torch.no_grad(), Probe(model) as resting:
        model(image)
    first = next(iter(model.blocks()))
    if norm not in ("ln*", "i-ln"):
        assert all(m.sigma1 is m.sigma2 is None for m in learning.measures.values())
        return
    variance = stream[0].double().var((1, 2, 3), correction=0)
    expected = (variance + model.spec.eps).sqrt().mean().item()
    for probe in (learning, resting):
        assert probe.measures[first].sigma1 == pytest.approx(expected, rel=1e-6)
    for name, found in learning.measures.items():
        assert found.sigma2 is not None
        assert found.sigma2 == pytest.approx(resting.measures[name].sigma2, rel=1e-4)


@pytest.mark.parametrize("preset", SMALL)
@pytest.mark.parametrize("norm", ["i-ln", "ln"])
def test_strips_give_the_numbers_of_the_whole(preset: str, norm: str) -> None:
    model, image = small(preset, norm).double().eval(), picture(1, 29, 18).double()
    found = []
    with torch.inference_mode():
        for walk in (WHOLE, Strips(8)):
            with Probe(model) as probe:
                model(image, walk)
            found.append(probe.measures)
    for name, whole in found[0].items():
        for measure, value in vars(whole).items():
            same = getattr(found[1][name], measure)
            assert same == (value and pytest.approx(value, rel=1e-9)), (name, measure)


def step(
    model: Backbone, walk: Any = WHOLE, amp: bool = False, probe: Probe | None = None
) -> list[torch.Tensor]:
    """What a training step computes, bit for bit, and the random numbers that follow it."""
    torch.manual_seed(3)
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=amp):
        output = model(picture(2), walk)
    output.float().square().mean().backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return [output, *gradients, *model.state_dict().values(), torch.get_rng_state()]


@pytest.mark.parametrize("preset", SMALL)
@pytest.mark.parametrize("norm", ["i-ln", "ln", "bn"])
@pytest.mark.parametrize("way", ["plain", "recompute", "bf16"])
def test_no_bit_changes(preset: str, norm: str, way: str) -> None:
    walk, amp = (Checkpointed() if way == "recompute" else WHOLE), way == "bf16"
    plain = step(small(preset, norm, drop_path=0.3).train(), walk, amp)
    model = small(preset, norm, drop_path=0.3).train()
    with Probe(model) as probe:
        watched = step(model, walk, amp)
    assert len(plain) == len(watched)
    assert all(torch.equal(a, b) for a, b in zip(plain, watched, strict=True))
    assert probe.measures
    assert traces(model) == 0


def test_nothing_stays_behind_after_an_error() -> None:
    model = small()
    with pytest.raises(InputError), Probe(model):
        model(torch.zeros(1, 2, 8, 8))
    assert traces(model) == 0


def test_several_passes_are_one_over_all_pictures() -> None:
    model, images = small(), picture(3)
    with torch.no_grad():
        with Probe(model) as parts:
            model(images[:1])
            model(images[1:])
        with Probe(model) as whole:
            model(images)
    for name, found in whole.measures.items():
        for measure, value in vars(found).items():
            same = getattr(parts.measures[name], measure)
            assert same == (value and pytest.approx(value, rel=1e-5)), (name, measure)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.compile's own
@pytest.mark.parametrize("by_block", [False, True])
def test_a_compiled_network(by_block: bool) -> None:
    model, image = small(), picture()
    with torch.no_grad():
        with Probe(model) as plain:
            model(image)
        for part in model.blocks().values() if by_block else [model]:
            part.compile(backend="eager")
        model(image)
        with Probe(model) as probe:
            model(image)
    assert probe.measures == plain.measures


class Wrapper(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


def test_wrappers_and_strangers() -> None:
    model = small()
    assert Probe(Wrapper(model)).model is model
    for stranger in (nn.Linear(2, 2), Wrapper(nn.Linear(2, 2))):
        with pytest.raises(InputError, match="none of our backbones"):
            Probe(stranger)
