from __future__ import annotations

import pytest
import torch
from tiny_networks import TINY, agree, network, picture, shared, spec
from torch import nn

from iln.backbones import Backbone, convert
from iln.errors import InputError
from iln.layers.forward_pass import Strips
from iln.norm import NORMS, Norm, kind_outside

CASES = [
    *(("swinir", source, target) for source in NORMS for target in NORMS),
    *((backbone, "ln", target) for backbone in ("hat", "drct") for target in NORMS),
    *((backbone, source, "i-ln") for backbone in ("hat", "drct") for source in NORMS),
]
GAINS = {"weight": "gain", "gamma": "gain", "bias": "shift", "beta": "shift"}


def gains(model: Backbone) -> dict[str, torch.Tensor]:
    """By norm and role (gain or shift), whatever a scheme calls it."""
    found = {}
    for path, module in model.named_modules():
        if isinstance(module, Norm):
            for name, value in module.named_parameters():
                if name in GAINS:
                    found[f"{path} {GAINS[name]}"] = value
    return found


@pytest.mark.parametrize(("backbone", "source", "target"), CASES)
def test_every_norm_to_every_norm(backbone: str, source: str, target: str) -> None:
    original = shared(spec(backbone, source))
    before = {k: v.clone() for k, v in original.state_dict().items()}
    model = convert(original, target)

    assert original.spec == spec(backbone, source)
    assert original.state_dict().keys() == before.keys()
    assert all(torch.equal(v, before[k]) for k, v in original.state_dict().items())
    ours = {p.data_ptr() for p in model.parameters()}
    assert ours.isdisjoint(p.data_ptr() for p in original.parameters())

    assert model.spec == spec(backbone, target)
    assert model.state_dict().keys() == shared(model.spec).state_dict().keys()
    for path, module in model.named_modules():
        if isinstance(module, Norm):
            outside = path in ("norm", "patch_embed.norm")
            assert type(module) is (kind_outside(target) if outside else NORMS[target]), path
            assert module.eps == NORMS[target].default_eps
            assert not module.training
    carried = gains(original)
    for key, value in gains(model).items():
        if key in carried:
            assert torch.equal(value, carried[key]), key
    for key, value in model.state_dict().items():
        if "norm" not in key:
            assert torch.equal(value, before[key]), key


@pytest.mark.parametrize("target", NORMS)
@pytest.mark.parametrize("backbone", TINY)
def test_a_converted_network_runs(backbone: str, target: str) -> None:
    model = convert(shared(spec(backbone, "ln")), target)
    image = picture(model.spec, 9, 6)
    with torch.no_grad():
        y = model(image)
        agree(model(image, Strips(3)), y)
    model.train()(image).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("backbone", TINY)
def test_to_the_same_norm_changes_nothing(backbone: str, norm: str) -> None:
    model = shared(spec(backbone, norm))
    image = picture(model.spec, 5, 6)
    with torch.no_grad():
        assert torch.equal(convert(model, norm)(image), model(image))


def test_there_and_back() -> None:
    model = shared(spec("hat", "ln"))
    image = picture(model.spec, 5, 6)
    with torch.no_grad():
        calm = convert(model, "i-ln")
        assert not torch.allclose(calm(image), model(image), atol=1e-3)
        assert torch.equal(convert(calm, "ln")(image), model(image))


def test_eps_mode_and_input_statistics() -> None:
    model = convert(network(spec("swinir", "ln")).train(), "i-ln", eps=1e-6)
    assert model.spec.eps == 1e-6
    assert model.spec.input_stats == "mean"  # the weights were trained for it
    assert all(m.training for m in model.modules())
    assert {m.eps for m in model.modules() if isinstance(m, Norm)} == {1e-6}


def carries_dtype(source: str, target: str, dtype: torch.dtype) -> None:
    model = convert(network(spec("swinir", source)).to(dtype), target)
    assert {p.dtype for p in model.parameters()} == {dtype}
    image = picture(model.spec, 4, 4).to(torch.promote_types(dtype, torch.float32))
    with torch.no_grad():
        assert model(image).dtype == image.dtype


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("target", NORMS)
@pytest.mark.parametrize("source", ["ln", "i-ln", "layerscale"])
def test_dtype_is_kept(source: str, target: str, dtype: torch.dtype) -> None:
    carries_dtype(source, target, dtype)


@pytest.mark.parametrize("source", ["none", "rezero"])
def test_dtype_is_kept_by_norms_without_parameters(source: str) -> None:
    carries_dtype(source, "ln", torch.float64)


def test_refusals() -> None:
    with pytest.raises(InputError, match=r"no norm 'iln'; known: ln, .*i-ln"):
        convert(network(spec("swinir")), "iln")
    with pytest.raises(InputError, match=r"Linear is none of our backbones; docs/norms.md"):
        convert(nn.Linear(2, 2), "i-ln")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="eps is -1"):
        convert(network(spec("swinir")), "i-ln", eps=-1)


def test_ranges_for_int8_are_not_those_of_other_features() -> None:
    model = network(spec("swinir", "i-ln"))
    model.ranges = dict.fromkeys(model.body_layers(), (-1.0, 1.0))
    assert convert(model, "ln").ranges == {}
    assert model.ranges  # the original stays as it is
