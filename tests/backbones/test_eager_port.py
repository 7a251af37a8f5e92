"""The benchmark's eager port and the package compute the same function of the same weights."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from tiny_networks import network, picture, spec

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from eager_port import port


@pytest.mark.parametrize("norm", ["ln", "i-ln"])
@pytest.mark.parametrize("backbone", ["swinir", "hat"])
@pytest.mark.parametrize("upsampler", ["pixelshuffle", "pixelshuffledirect"])
def test_the_port_is_the_same_function(backbone: str, norm: str, upsampler: str) -> None:
    tiny = spec(backbone, norm, upsampler=upsampler)
    ours = network(tiny).double().train()
    theirs = port(ours).double()
    image = picture(tiny, 12, 8, batch=2).double()
    outputs = [model(image) for model in (ours, theirs)]
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-9, atol=1e-9)
    for output in outputs:
        (output * torch.linspace(-1, 1, output.numel()).view(output.shape)).sum().backward()
    expected = dict(theirs.named_parameters())
    for name, p in ours.named_parameters():
        torch.testing.assert_close(p.grad, expected[name].grad, rtol=1e-6, atol=1e-9)


def test_no_port_of_other_norms() -> None:
    with pytest.raises(ValueError, match="no eager port of bn"):
        port(network(spec("swinir", "bn")))
