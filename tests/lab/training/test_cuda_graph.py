"""Passes as CUDA graphs do what the network does."""

import pytest
import torch

import iln
from iln.lab.training.cuda_graph import CUDAGraphPass
from iln.lab.training.recipes import override, recipe


@pytest.mark.parametrize(
    ("changes", "alike"),
    [
        ([], True),
        (["accumulate=2"], False),
        (["recompute=true"], False),
        (["progressive=[[5, 48, 8]]"], False),
    ],
)
def test_which_steps_are_all_alike(changes: list[str], alike: bool) -> None:
    assert override(recipe("sr-x2"), changes).always_same() is alike


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("norm", ["i-ln", "bn"])
def test_gradients_are_the_networks_own(norm: str) -> None:
    torch.manual_seed(0)
    model = iln.build("swinir-light-x2", norm=norm, depths=(2,), num_heads=(6,))
    model = model.cuda().train()
    images = [torch.rand(2, 3, 64, 48, device="cuda") for _ in range(3)]
    amp = torch.autocast("cuda", torch.bfloat16, cache_enabled=False)
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    recorded = CUDAGraphPass(model, torch.zeros_like(images[0]), amp)
    for name, value in model.named_buffers():
        assert torch.equal(value, buffers[name]), name
    for image in images[1:]:
        found = []
        for network in (model, recorded):
            for name, value in model.named_buffers():
                value.copy_(buffers[name])
            model.zero_grad()
            with amp:
                output = network(image)
            output.square().mean().backward()
            found.append([output.detach().clone(), *(p.grad.clone() for p in model.parameters())])
        for own, graph in zip(*found, strict=True):
            assert (own - graph).norm() <= 1e-4 * own.norm()
        with torch.no_grad():  # parameters are read anew each time
            for parameter in model.parameters():
                parameter.mul_(1.1)
