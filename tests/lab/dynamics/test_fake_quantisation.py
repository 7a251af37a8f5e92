"""Networks computed in few bits."""

import pytest
import torch
from torch import nn
from watched import picture, small

from iln.deploy.quantization import (
    FORMATS,
    Bits,
    bits_of,
    calibrate,
    fake,
    quantize_asymmetric,
    quantize_symmetric,
    quantized,
)
from iln.deploy.quantization.fake import _sampled
from iln.errors import InputError
from iln.layers.forward_pass import Strips


def test_calibration_keeps_samples_and_not_the_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake, "_SAMPLES", 100)
    sample = fake._sampled(torch.arange(100_000.0).view(10, 100, 100))
    assert torch.equal(sample, torch.arange(101).double() * 999)
    assert sample.untyped_storage().nbytes() == 808


def test_formats() -> None:
    assert bits_of("W4A8") == Bits(4, 8)
    assert bits_of("W8A16") == Bits(8, None)
    for name in FORMATS:
        bits_of(name)
    for bad in ("W1A8", "W8", "w8a8", "W8A17", "int8", "W\uff14A8"):
        with pytest.raises(InputError, match="no format"):
            bits_of(bad)
    for other in ((8, 8), 5, None):
        with pytest.raises(InputError, match="no format"):
            quantized(small("swinir-light-x2"), other)  # type: ignore[arg-type]


@torch.no_grad()
@pytest.mark.parametrize("preset", ["swinir-light-x2", "hat-x2", "drct-x2"])
def test_what_is_quantised(preset: str) -> None:
    model = small(preset)
    layers = model.body_layers()
    outside = {n for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}
    outside -= set(layers)
    assert "conv_first" in outside
    assert all(not name.startswith("layers.") for name in outside)
    rough = quantized(model, Bits(4, None))
    tensors = dict(model.named_parameters())
    for name, tensor in rough.named_parameters():
        layer, _, kind = name.rpartition(".")
        if layer in layers and kind == "weight":
            assert torch.equal(tensor, quantize_symmetric(tensors[name], 4))
            assert len(tensor[0].unique()) <= 15
        else:
            assert torch.equal(tensor, tensors[name])


@torch.no_grad()
def test_one_layer_by_hand() -> None:
    model = small()
    name = "layers.0.residual_group.blocks.0.mlp.fc1"
    x = torch.rand(1, 4, 4, 12, generator=torch.Generator().manual_seed(0)) - 0.3
    layer = model.get_submodule(name)
    assert isinstance(layer, nn.Linear)
    weight = quantize_symmetric(layer.weight, 8)
    low, high = float(x.min()), float(x.max())
    expected = nn.functional.linear(quantize_asymmetric(x, 4, low, high), weight, layer.bias)
    assert torch.equal(quantized(model, Bits(8, 4)).get_submodule(name)(x), expected)
    ranges = dict.fromkeys(model.body_layers(), (-0.1, 0.5))
    expected = nn.functional.linear(quantize_asymmetric(x, 4, -0.1, 0.5), weight, layer.bias)
    assert torch.equal(quantized(model, Bits(8, 4), ranges).get_submodule(name)(x), expected)


@torch.no_grad()
def test_fewer_bits_cost_more_and_the_original_stays() -> None:
    model, image = small(), picture(1, 16, 16)
    expected = model(image)
    errors = [
        float((quantized(model, bits_of(name))(image) - expected).square().mean())
        for name in ("W8A8", "W4A8", "W4A4")
    ]
    assert 0 < errors[0] < errors[1] < errors[2]
    assert torch.equal(model(image), expected)
    ranges = calibrate(model, [image])
    rough = quantized(model, Bits(8, 8), ranges)  # fixed ranges: strips see the same
    assert torch.allclose(rough(image, Strips(4)), rough(image), atol=0.05)


def test_calibration() -> None:
    model = small()
    images = [picture(1, 12, 12, seed) for seed in (1, 2)]
    wide, narrow = calibrate(model, images, 100), calibrate(model, images, 90)
    assert list(wide) == list(model.body_layers())
    assert all(wide[n][0] < narrow[n][0] < narrow[n][1] < wide[n][1] for n in wide)
    low = min(float(seen.min()) for seen in _inputs(model, images))
    assert wide["layers.0.residual_group.blocks.0.attn.qkv"][0] == pytest.approx(low)
    with pytest.raises(InputError, match="at least one picture"):
        calibrate(model, [])
    with pytest.raises(InputError, match="percentile is 20"):
        calibrate(model, images, 20)


@pytest.mark.parametrize("side", [96, 128, 256])
@pytest.mark.parametrize("channels", [16, 48, 60, 120, 180])
def test_calibration_looks_at_every_channel(channels: int, side: int) -> None:
    """They come last: a stride with a factor in common with their number skips some."""
    values = torch.arange(channels).expand(1, side, side, channels)
    counts = torch.bincount(_sampled(values.float()).long(), minlength=channels)
    assert counts.min() > 0.9 * counts.max()
    assert counts.sum() >= min(values.numel(), 2**16)


def test_calibration_at_100_percent_leaves_nothing_out() -> None:
    model, images = small(), [picture(1, 96, 96, seed) for seed in (1, 2)]
    low, high = calibrate(model, images, 100)["layers.0.residual_group.blocks.0.attn.qkv"]
    seen = _inputs(model, images)
    assert (low, high) == (
        min(float(one.min()) for one in seen),
        max(float(one.max()) for one in seen),
    )


def _inputs(model: nn.Module, images: list[torch.Tensor]) -> list[torch.Tensor]:
    seen: list[torch.Tensor] = []
    layer = model.get_submodule("layers.0.residual_group.blocks.0.attn.qkv")
    hook = layer.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach()))
    with torch.no_grad():
        for image in images:
            model(image)
    hook.remove()
    return seen
