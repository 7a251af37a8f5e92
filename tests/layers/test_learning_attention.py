"""Attention with its backward by hand against the same formula left to autograd."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from iln.kernels import moments as moments_module
from iln.kernels.window_attention import Seams, attend_learning, heads_of
from iln.layers.position_bias import overlapping_position_index, position_bias
from iln.layers.windows import seam_masks

HEADS, D = 2, 3


@pytest.fixture(params=[1, 1000, 1 << 21], autouse=True)
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row of windows, some, all pictures at once."""
    monkeypatch.setattr(moments_module, "PIECE", request.param)


def noise(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def plainly(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, seams: Seams | None) -> Tensor:
    scores = torch.einsum("brchnd,brchmd->brchnm", q, k) / D**0.5 + bias
    if seams is not None:
        below, right = seams
        rows, columns = (torch.zeros(size) for size in q.shape[1:3])
        rows[-1], columns[-1] = 1, 1
        scores = scores + rows.view(-1, 1, 1, 1, 1) * below
        scores = scores + columns.view(-1, 1, 1, 1) * right
    return torch.einsum("brchnm,brchmd->brcnhd", scores.softmax(-1), v).flatten(4)


def inputs(keys: int) -> list[Tensor]:
    q, k, v = noise(3, 2, 2, HEADS, 4, D), noise(3, 2, 2, HEADS, keys, D, seed=1), None
    v = noise(3, 2, 2, HEADS, keys, D, seed=2)
    return [t.requires_grad_() for t in (q, k, v, noise(HEADS, 4, keys, seed=3))]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("keys", [4, 9])
def test_equals_the_plain_formula(keys: int, masked: bool) -> None:
    if masked and keys != 4:
        return
    tensors = inputs(keys)
    seams = seam_masks(2, 1, tensors[3]) if masked else None
    out = attend_learning(*tensors, seams, bottom=True)
    expected = plainly(*tensors, seams)
    torch.testing.assert_close(out, expected)
    weight = noise(*out.shape, seed=4)
    found = torch.autograd.grad((out * weight).sum(), tensors)
    wanted = torch.autograd.grad((expected * weight).sum(), tensors)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b)


def test_gradcheck() -> None:
    tensors = [t[:1, :1, :1].detach().requires_grad_() for t in inputs(4)[:3]]
    bias = inputs(4)[3]
    assert torch.autograd.gradcheck(attend_learning, (*tensors, bias))
    assert torch.autograd.gradgradcheck(attend_learning, (*tensors, bias))


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_heads(parts: int) -> None:
    packed = noise(2, 1, 2, 5, parts * HEADS * D).requires_grad_()
    out = heads_of(packed, parts, HEADS)
    split = packed.view(2, 1, 2, 5, parts, HEADS, D).unbind(4)
    for a, b in zip(out, split, strict=True):
        assert a.is_contiguous()
        assert torch.equal(a, b.transpose(3, 4))
    assert torch.autograd.gradcheck(lambda x: heads_of(x, parts, HEADS), (packed,))


@pytest.mark.parametrize("frozen", range(4))
def test_a_frozen_input(frozen: int) -> None:
    tensors = inputs(4)
    tensors[frozen].requires_grad_(False)
    attend_learning(*tensors).sum().backward()
    assert [t.grad is None for t in tensors] == [i == frozen for i in range(4)]


def test_gradient_of_the_position_bias() -> None:
    """HAT's index: the sums are those of PyTorch's own indexing, each time."""
    index = overlapping_position_index(4, 6)
    table = noise(81, HEADS).requires_grad_()
    weight = noise(HEADS, 16, 36, seed=1)
    bias = position_bias(table, index)
    expected = table[index.flatten()].view(16, 36, HEADS).permute(2, 0, 1)
    assert torch.equal(bias, expected)
    found = torch.autograd.grad((bias * weight).sum(), table)[0]
    torch.testing.assert_close(found, torch.autograd.grad((expected * weight).sum(), table)[0])
    again = torch.autograd.grad((position_bias(table, index) * weight).sum(), table)[0]
    assert torch.equal(found, again)
    assert torch.autograd.gradgradcheck(lambda t: position_bias(t, index).square(), (table,))


def test_autocast_that_widens_softmax(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it does on a GPU, where bfloat16 is the default of training."""
    plain = Tensor.softmax

    def widened(self: Tensor, dim: int) -> Tensor:
        return plain(self.float(), dim)

    monkeypatch.setattr(Tensor, "softmax", widened)
    tensors = [t.detach().bfloat16().requires_grad_() for t in inputs(4)]
    out = attend_learning(*tensors, None, bottom=True)
    assert out.dtype == torch.bfloat16
    out.sum().backward()
    assert all(t.grad is not None and t.grad.dtype == torch.bfloat16 for t in tensors)
