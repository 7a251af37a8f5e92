"""The GPU kernels of window attention, against plain operations; without a GPU, interpreted."""

from __future__ import annotations

import os

import pytest
import torch
from torch import Tensor

GPU = torch.cuda.is_available()
if not GPU:
    os.environ["TRITON_INTERPRET"] = "1"  # read when the kernels are defined
pytest.importorskip("triton", reason="Triton is not installed")

from iln.kernels.window_attention_triton import attend_map, fits  # noqa: E402
from iln.layers.attention import attend  # noqa: E402
from iln.layers.windows import from_windows, seam_masks, to_windows  # noqa: E402

DEVICE = "cuda" if GPU else "cpu"
HALF = torch.bfloat16 if GPU else torch.float16  # the interpreter multiplies no bfloat16


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


def plain(qkv: Tensor, bias: Tensor, window: int, shift: int) -> Tensor:
    """The same in float64, by what the CPU learns with."""
    bias, rolled = bias.double(), torch.roll(qkv.double(), (-shift, -shift), (1, 2))
    seams = seam_masks(window, shift, bias) if shift else None
    out = attend([to_windows(rolled, window)], len(bias), bias, seams, bottom=True)
    return torch.roll(from_windows(out, window), (shift, shift), (1, 2))


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize(("window", "heads", "dim"), [(4, 2, 20), (8, 3, 12), (4, 1, 33)])
def test_forward_and_backward(window: int, heads: int, dim: int, shift: int) -> None:
    shift *= window // 2
    qkv = random(2, 2 * window, 3 * window, 3 * dim, seed=0).requires_grad_()
    bias = random(heads, window**2, window**2, seed=1).requires_grad_()
    weights = random(2, 2 * window, 3 * window, dim, seed=2)
    found = attend_map(qkv, bias, window, shift)
    expected = plain(qkv, bias, window, shift)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)
    ours = torch.autograd.grad((found * weights).sum(), (qkv, bias))
    theirs = torch.autograd.grad((expected * weights).sum(), (qkv, bias))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=3e-5)


def test_half_precision_rounds_no_more_than_it_must() -> None:
    qkv, bias = random(1, 16, 8, 60, seed=3).to(HALF).requires_grad_(), random(2, 64, 64, seed=4)
    bias.requires_grad_()
    weights = random(1, 16, 8, 20, seed=5).to(HALF)
    found, expected = attend_map(qkv, bias, 8, 4), plain(qkv, bias, 8, 4)
    assert found.dtype == HALF
    for one, other in zip(
        (found, *torch.autograd.grad((found * weights).sum(), (qkv, bias))),
        (expected, *torch.autograd.grad((expected * weights).sum(), (qkv, bias))),
        strict=True,
    ):
        assert (one.double() - other.double()).norm() < 0.01 * other.double().norm()


@pytest.mark.timeout(600)
def test_compiled() -> None:
    qkv, bias = random(1, 8, 16, 36, seed=6).requires_grad_(), random(2, 16, 16, seed=7)
    bias.requires_grad_()

    def loss() -> Tensor:
        return attend_map(qkv * 2, bias, 4, 2).square().mean()

    expected = torch.autograd.grad(loss(), (qkv, bias))
    compiled = torch.compile(loss, dynamic=False, fullgraph=True, backend="aot_eager")
    for one, other in zip(torch.autograd.grad(compiled(), (qkv, bias)), expected, strict=True):
        torch.testing.assert_close(one, other)


def test_what_fits() -> None:
    x = torch.zeros(1, 16, 16, 60)
    assert fits(x, 8, 6)
    assert not fits(x, 16, 6)  # 256 x 256 scores
    assert not fits(x, 7, 6)
    assert not fits(x.double(), 8, 6)
    assert not fits(torch.zeros(1, 8, 8, 180), 8, 1)
