"""Fake quantisation and its noise, against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from iln.deploy.quantization import quantize_asymmetric, quantize_symmetric, sqnr
from iln.errors import InputError
from iln.lab.dynamics.layer_sqnr import InputRanges, NoiseMeter


def test_symmetric_by_hand() -> None:
    weight = torch.tensor([[7.0, 3.4, -2.6], [0.0, 0.0, 0.0], [-0.7, 0.24, 0.05]])
    rough = quantize_symmetric(weight, 4)  # steps 1, none, 0.1
    wanted = torch.tensor([[7.0, 3.0, -3.0], [0.0, 0.0, 0.0], [-0.7, 0.2, 0.0]])
    torch.testing.assert_close(rough, wanted)
    assert quantize_symmetric(torch.tensor([[1.0, math.inf]]), 8).isnan().all()


def test_asymmetric_by_hand() -> None:
    x = torch.tensor([-1.0, -0.2, 0.0, 0.49, 2.0, 3.0])
    rough = quantize_asymmetric(x, 2, -1.0, 2.0)  # step 1, zero point 1
    assert rough.tolist() == [-1, 0, 0, 0, 2, 2]
    assert quantize_asymmetric(x, 8, 0.0, 0.0).tolist() == [0] * 6
    assert quantize_asymmetric(x, 8, 0.0, math.inf).isnan().all()
    # The range is stretched to 0, which stays exact.
    assert quantize_asymmetric(torch.tensor([0.0, 5.0, 6.0]), 8, 5.0, 6.0)[0] == 0


def test_error_is_half_a_step_at_most() -> None:
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    for bits in (3, 4, 8):
        low, high = x.min().item(), x.max().item()
        off = (quantize_asymmetric(x, bits, low, high) - x).abs().max().item()
        # At the ends the zero point's rounding may cost another half.
        assert off <= (high - low) / (2**bits - 1) * 1.001


def test_decibels() -> None:
    assert sqnr(100.0, 1.0) == pytest.approx(20)
    assert sqnr(1.0, 0.0) == math.inf
    assert math.isnan(sqnr(0.0, 0.0)) and math.isnan(sqnr(math.nan, 1.0))


@pytest.mark.parametrize("bits", [1, 17])
def test_bits(bits: int) -> None:
    with pytest.raises(InputError, match="accepted: 2 to 16"):
        quantize_symmetric(torch.ones(2, 2), bits)


def test_a_layer_is_measured_and_left_alone() -> None:
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.data = torch.tensor([[7.0, 3.4]])
    x = torch.tensor([[15.0, 0.0], [0.0, 10.4]])
    with torch.no_grad():
        with InputRanges(layer) as ranges:
            layer(x)
        with NoiseMeter(layer, ranges.ranges) as meter:
            y = layer(x)
    found = meter.noise[""]
    assert (found.kind, found.low, found.high) == ("linear", 0.0, 15.0)
    # W4A4: weights 7, 3; inputs 15, 10: 105 and 30 instead of 105 and 35.36.
    signal = 105.0**2 + 35.36**2
    assert found.w4a4 == pytest.approx(10 * math.log10(signal / 5.36**2), abs=1e-4)
    weight = 7 / 127 * round(3.4 / (7 / 127))
    value = 15 / 255 * round(10.4 / (15 / 255))
    noise = (35.36 - weight * value) ** 2
    assert found.w8a8 == pytest.approx(10 * math.log10(signal / noise), abs=0.01)
    assert torch.equal(layer(x), y)
    assert not layer._forward_hooks


def test_a_convolution_too() -> None:
    layer = nn.Conv2d(2, 3, 3, padding=1)
    x = torch.rand(1, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        with InputRanges(layer) as ranges:
            layer(x)
        with NoiseMeter(layer, ranges.ranges) as meter:
            layer(x[:, :, :4])
            layer(x[:, :, 4:])
    found = meter.noise[""]
    assert found.kind == "convolution"
    assert 30 < found.w8a8 < 60 and found.w8a8 - found.w4a4 == pytest.approx(24, abs=6)
