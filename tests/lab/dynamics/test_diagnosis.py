"""What is measured of a network: broken, overflowing, dominated and healthy ones."""

from __future__ import annotations

import json
import math
import re
from contextlib import nullcontext

import pytest
import torch
from watched import SMALL, blown, dominated, picture, small

import iln
from iln.backbones import Backbone
from iln.cpu import slow_here
from iln.errors import InputError
from iln.lab.dynamics import Probe, alignment, diagnose, judge
from iln.lab.dynamics.verdict import compare
from iln.restoration.half_precision import PrecisionTrial, WideProducts


def test_a_network_with_a_stream_that_grew() -> None:
    model = small(norm="ln")
    before = model(picture()).detach()
    blown(model, 18)
    torch.testing.assert_close(model(picture()).detach(), before, atol=1e-4, rtol=1e-4)
    found = diagnose(model, [picture()])
    assert not found.float32.nonfinite and found.float16.nonfinite > 0
    assert found.float16.weights[0] == "patch_embed.norm.weight"
    assert found.float16.first_block == "layers.0.residual_group.blocks.0"
    assert found.bfloat16.nonfinite == 0
    verdict = judge(found)
    assert verdict.level == "bad"
    assert verdict.headline.startswith("This LayerNorm network overflows fp16 at layers.0.")
    assert "`iln rescue`" in verdict.headline and "Use float32 (bf16 keeps " in verdict.headline


def test_where_it_overflows() -> None:
    model = blown(small(norm="ln"), 10)
    block = model.get_submodule("layers.0.residual_group.blocks.1")
    with torch.no_grad():
        block.get_submodule("mlp.fc2").bias.fill_(60000)  # type: ignore[operator, union-attr]
        block.get_submodule("attn.proj").bias.fill_(40000)  # type: ignore[operator, union-attr]
    found = diagnose(model, [picture()])
    assert found.float16.weights == ()
    assert found.float16.first_module == "layers.0.residual_group.blocks.1"
    assert found.float16.first_block == "layers.0.residual_group.blocks.1"
    assert found.blocks["layers.0.residual_group.blocks.1"].max_abs > 65504
    assert "overflows fp16 at layers.0.residual_group.blocks.1 (" in judge(found).headline
    assert "`iln rescue`" in judge(found).headline


@pytest.mark.parametrize(("norm", "where"), [("ln", "upsample"), ("i-ln", "patch_embed")])
def test_rescue_is_not_advised_where_it_is_no_help(norm: str, where: str) -> None:
    model = small(norm=norm)
    for name, parameter in model.named_parameters():
        if name.startswith(where):
            parameter.data.mul_(2.0**22)
    headline = judge(diagnose(model, [picture()])).headline
    assert "overflows fp16" in headline and "rescue" not in headline


@pytest.mark.parametrize("preset", SMALL)
def test_healthy_ones(preset: str) -> None:
    model = small(preset)
    found = diagnose(model, [picture(), picture(2, 9, 8, seed=2)])
    verdict = judge(found)
    assert found.float16.nonfinite == 0 and (found.float16.psnr or 0) > 50
    assert {finding.topic for finding in verdict.findings} >= {"fp16", "bf16", "int8, int4"}
    assert all("rescue" not in finding.text for finding in verdict.findings)
    assert found.float32.values == 3 * 4 * (13 * 17 + 2 * 9 * 8)
    layers = {
        name
        for name, module in model.named_modules()
        if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d))
    }
    assert set(found.layers) == layers
    assert not any(module._forward_hooks for module in model.modules())


def test_the_words_of_a_healthy_one() -> None:
    found = diagnose(iln.load("sr-x2"), [picture(1, 24, 24)])
    verdict = judge(found)
    assert verdict.level == "good"
    opening = r"Healthy: features stay at mean square \d\.\d+, fp16 differs"
    assert re.match(opening, verdict.headline)


def test_the_dominating_channel_is_named() -> None:
    found = diagnose(dominated(small(), 7), [picture()])
    texts = {finding.topic: finding.text for finding in judge(found).findings}
    assert texts["channels"].startswith("Channel 7 carries ")
    assert found.shares["layers.0.residual_group.blocks.0"].argmax() == 7


def test_the_numbers_are_those_of_the_parts() -> None:
    model = small()
    images = [picture(), picture(1, 8, 9, seed=3)]
    found = diagnose(model, images)
    with torch.no_grad(), Probe(model) as probe:
        for image in images:
            model(image)
    assert found.blocks == probe.measures
    one = diagnose(model, images[:1]).alignment
    assert one is not None
    assert one.magnitude == pytest.approx(alignment(model, images[0]).magnitude)
    with torch.no_grad():
        half = iln.convert(model, "i-ln").half()
        wide_outputs = [model(image).clamp(0, 1) for image in images]
        with WideProducts(torch.float16) if slow_here("fp16") else nullcontext():
            pairs = [(y, half(x).clamp(0, 1)) for x, y in zip(images, wide_outputs, strict=True)]
    errors = torch.cat([(wide - narrow).flatten() for wide, narrow in pairs])
    error = errors.double().square().mean().item()
    assert found.float16.psnr == pytest.approx(-10 * math.log10(error), abs=1e-6)


def broken() -> Backbone:
    model = small(norm="ln")
    model.get_submodule("layers.0.residual_group.blocks.1.mlp.fc1").weight.data[0, 0] = math.nan  # type: ignore[operator, union-attr, index]
    return model


def test_a_broken_one_gets_a_report() -> None:
    found = diagnose(broken(), [picture()])
    headline = judge(found).headline
    assert headline.startswith("Broken even in float32: ")
    assert "the weight layers.0.residual_group.blocks.1.mlp.fc1.weight" in headline
    assert found.float32.first_module == "layers.0.residual_group.blocks.1.mlp.fc1"
    assert found.float16.psnr is None
    assert compare(["A", "B"], [found, diagnose(small(), [picture()])]) == (
        "A is broken even in float32, so there is little to compare.",
    )
    json.dumps(found.as_json(), allow_nan=False)


def test_two_are_compared() -> None:
    ln, iln_ = (diagnose(m, [picture()]) for m in (blown(small(norm="ln")), small()))
    sentences = compare(["A", "B"], [ln, iln_])
    assert sentences[0].startswith("In fp16 A loses 100 % of its output")
    assert "times larger in A" in sentences[1]
    assert "Broken" not in "".join(sentences)


def test_the_network_stays_as_it_was() -> None:
    model = small().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    told: list[float] = []
    diagnose(model, [picture()], progress=told.append)
    assert model.training and told == sorted(told) and told[-1] == 1
    assert all(torch.equal(before[n], v) for n, v in model.state_dict().items())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.compile's own
def test_compiled_ones_run_uncompiled() -> None:
    model = small()
    plain = diagnose(model, [picture()])
    model.compile(backend="eager")
    assert diagnose(model, [picture()]).as_json() == plain.as_json()


def test_what_is_refused() -> None:
    with pytest.raises(InputError, match="needs a list of one picture"):
        diagnose(small(), [])
    with pytest.raises(InputError, match=r"torch\.float16"):
        diagnose(small().half(), [picture()])
    with pytest.raises(InputError, match="none of our backbones"):
        diagnose(torch.nn.Linear(1, 1), [picture()])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_products_summed_in_float32_give_what_instructions_would(dtype: torch.dtype) -> None:
    network, image = small(), picture()
    with torch.no_grad():
        reference = network(image)
        errors = []
        for products in (nullcontext(), WideProducts(dtype)):
            run = PrecisionTrial(network, dtype)
            run._products = products
            run(image, reference)
            errors.append(run.result().psnr)
    plain, wide = errors
    assert plain is not None and wide is not None
    assert plain == pytest.approx(wide, abs=1.0)


def test_products_that_overflow_in_float16_are_infinite() -> None:
    large = torch.full((8, 8), 300.0, dtype=torch.float16)
    with WideProducts(torch.float16):
        assert torch.isinf(large @ large).all()
        assert (large.float() @ large.float()).dtype == torch.float32
