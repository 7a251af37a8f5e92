"""i-LN with its backward by hand against the same formula left to autograd."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from feature_maps import DIM, MAPS, Block, scheme
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from iln.kernels import moments as moments_module
from iln.kernels.residual_norm import close_branch, open_branch, pieces
from iln.norm import ILN


@pytest.fixture(params=[1, 64, 1 << 21], autouse=True)
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of an image, whole images, everything at once."""
    monkeypatch.setattr(moments_module, "PIECE", request.param)


def plainly(block: Block, x: Tensor) -> Tensor:
    norm = block.norm
    gamma, beta = norm.get_parameter("gamma"), norm.get_parameter("beta")
    centred = x - x.mean((1, 2, 3), keepdim=True)
    sigma = (centred.square().mean((1, 2, 3), keepdim=True) + norm.eps).sqrt()
    return x + sigma * block.f(gamma * centred / sigma + beta)


def by_hand(block: Block, x: Tensor) -> Tensor:
    return block.norm.residual(x, block.f)


def gradients(
    f: Callable[[Block, Tensor], Tensor], block: Block, x: Tensor
) -> tuple[Tensor, list[Tensor]]:
    x = x.clone().requires_grad_()
    y = f(block, x)
    weight = torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    loss = (y.double() * weight).sum()
    return y.detach(), list(torch.autograd.grad(loss, [x, *block.parameters()]))


@pytest.mark.parametrize("case", MAPS)
def test_equals_the_plain_formula(case: str) -> None:
    block, x = Block(scheme("i-ln")), MAPS[case]
    y, found = gradients(by_hand, block, x)
    expected, wanted = gradients(plainly, block, x)
    torch.testing.assert_close(y, expected, rtol=1e-9, atol=1e-9)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7 * b.abs().max().item() + 1e-9)


@pytest.mark.parametrize("case", ["ordinary", "one channel dominates", "constant"])
def test_float32_keeps_its_digits(case: str) -> None:
    block, x = Block(scheme("i-ln")), MAPS[case]
    _, wanted = gradients(plainly, block, x)
    _, found = gradients(by_hand, copy.deepcopy(block).float(), x.float())
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == torch.float32
        assert (a.double() - b).norm() <= 1e-5 * b.norm() + 1e-6


def test_float32_beside_a_large_mean() -> None:
    """Compared on the same, rounded, input: its last digit is 1e-3 of sigma here."""
    block, x = Block(scheme("i-ln")), MAPS["mean 1e4"].float()
    _, wanted = gradients(plainly, block, x.double())
    _, found = gradients(by_hand, copy.deepcopy(block).float(), x)
    for a, b in zip(found, wanted, strict=True):
        assert (a.double() - b).norm() <= 2e-3 * b.norm()


def test_gradcheck_through_sigma() -> None:
    block = Block(scheme("i-ln"))
    norm = block.norm
    assert isinstance(norm, ILN)
    x = (MAPS["ordinary"][:, :2, :2] * 3 + 1).clone().requires_grad_()
    gamma, beta = (p.detach().clone().requires_grad_() for p in (norm.gamma, norm.beta))

    def forward(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        x, normal, sigma = open_branch(x, gamma, beta, norm.eps)
        return close_branch(x, torch.tanh(normal), sigma) * (1 + sigma)

    assert torch.autograd.gradcheck(forward, (x, gamma, beta))
    assert torch.autograd.gradgradcheck(forward, (x, gamma, beta))


@pytest.mark.parametrize("learning", ["input", "parameters", "branch", "nothing"])
def test_only_what_learns_gets_a_gradient(learning: str) -> None:
    block, x = Block(scheme("i-ln")), MAPS["ordinary"].clone()
    x.requires_grad_(learning == "input")
    block.norm.requires_grad_(learning == "parameters")
    block.f.requires_grad_(learning == "branch")
    y = by_hand(block, x)
    assert y.requires_grad == (learning != "nothing")
    if learning == "nothing":
        return
    y.sum().backward()
    wanted = copy.deepcopy(block)
    other = x.detach().clone().requires_grad_(learning == "input")
    plainly(wanted, other).sum().backward()
    pairs = [(x, other), *zip(block.parameters(), wanted.parameters(), strict=True)]
    for a, b in pairs:
        assert (a.grad is None) == (b.grad is None or not b.requires_grad)
        if a.grad is not None:
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("learning", ["input", "parameters", "branch"])
def test_gradients_of_gradients_where_something_is_frozen(learning: str) -> None:
    results = []
    for f in (by_hand, plainly):
        block, x = Block(scheme("i-ln")), MAPS["ordinary"].clone()
        x.requires_grad_(learning == "input")
        block.norm.requires_grad_(learning == "parameters")
        block.f.requires_grad_(learning == "branch")
        learns = [t for t in (x, *block.parameters()) if t.requires_grad]
        first = torch.autograd.grad(f(block, x).square().sum(), learns, create_graph=True)
        norm = torch.stack([g.square().sum() for g in first]).sum()
        results.append(torch.autograd.grad(norm, learns))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-8 * b.abs().max().item())


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients(mode: Callable[[], torch.no_grad]) -> None:
    block, x = Block(scheme("i-ln")), MAPS["mean 1e4"]
    with mode():
        y = by_hand(block, x)
    assert not y.requires_grad
    torch.testing.assert_close(y, plainly(block, x).detach())


def test_under_checkpointing() -> None:
    block, x = Block(scheme("i-ln")), MAPS["ordinary"]

    def checked(block: Block, x: Tensor) -> Tensor:
        out: Tensor = checkpoint(by_hand, block, x, use_reentrant=False)
        return out

    _, found = gradients(checked, block, x)
    _, wanted = gradients(by_hand, block, x)
    for a, b in zip(found, wanted, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_maps(dtype: torch.dtype) -> None:
    """Sums are float32: neither they nor the gradients overflow, and dtypes stay."""
    norm = ILN(DIM).to(dtype)
    x = (MAPS["ordinary"] * 1e3).to(dtype).requires_grad_()
    y = norm.residual(x, lambda u: u * 2)
    y.backward(torch.ones_like(y))
    assert y.dtype == x.dtype == dtype
    assert x.grad is not None
    assert x.grad.dtype == dtype
    exact = ILN(DIM).double()
    wide = x.detach().double().requires_grad_()
    expected = exact.residual(wide, lambda u: u * 2)
    expected.backward(torch.ones_like(expected))
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(y.double(), expected, rtol=4 * eps, atol=4e3 * eps)
    assert wide.grad is not None
    torch.testing.assert_close(x.grad.double(), wide.grad, rtol=8 * eps, atol=8 * eps)


def test_autocast_hands_the_branch_what_it_would_cast_to() -> None:
    block = Block(scheme("i-ln")).float()
    x = MAPS["ordinary"].float().requires_grad_()
    seen = []

    def branch(u: Tensor) -> Tensor:
        seen.append(u.dtype)
        out: Tensor = block.f(u)
        return out

    with torch.autocast("cpu", torch.bfloat16):
        y = block.norm.residual(x, branch)
    assert seen == [torch.bfloat16]
    assert y.dtype == torch.float32  # the stream
    y.square().sum().backward()
    exact, wide = copy.deepcopy(block).double(), x.detach().double().requires_grad_()
    plainly(exact, wide).square().sum().backward()
    assert x.grad is not None
    assert wide.grad is not None
    assert (x.grad.double() - wide.grad).norm() < 0.02 * wide.grad.norm()
    for p, wanted in zip(block.parameters(), exact.parameters(), strict=True):
        assert p.grad is not None
        assert wanted.grad is not None
        assert p.grad.dtype == torch.float32
        assert (p.grad.double() - wanted.grad).norm() < 0.03 * wanted.grad.norm()


def test_in_data_parallel_training(tmp_path: Path) -> None:
    import torch.distributed as dist

    dist.init_process_group(
        "gloo", store=dist.FileStore(str(tmp_path / "s"), 1), rank=0, world_size=1
    )
    try:

        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.block = Block(scheme("i-ln"))

            def forward(self, x: Tensor) -> Tensor:
                return by_hand(self.block, x)

        net = Net()
        _, wanted = gradients(by_hand, net.block, MAPS["ordinary"])
        parallel = nn.parallel.DistributedDataParallel(net)
        weight = torch.randn(
            MAPS["ordinary"].shape,
            dtype=torch.float64,
            generator=torch.Generator().manual_seed(0),
        )
        (parallel(MAPS["ordinary"]) * weight).sum().backward()
        for p, expected in zip(net.block.parameters(), wanted[1:], strict=True):
            torch.testing.assert_close(p.grad, expected)
        # Before the group: as its last owner it would wait for threads that wait for Python.
        del parallel
    finally:
        dist.destroy_process_group()


def test_pieces_cover_the_map_once() -> None:
    seen = torch.zeros(3, 7, 2, 4)
    for images, strips in pieces(seen):
        for rows in strips:
            seen[images, rows] += 1
    assert (seen == 1).all()


def test_gradients_where_autocast_has_nothing_to_say() -> None:
    block = Block(scheme("i-ln"))
    x = MAPS["ordinary"].double().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        assert block.double().norm.residual(x, lambda u: u).dtype == torch.float64
    shape = (
        block.to("meta").norm.residual(x.detach().to("meta").requires_grad_(), lambda u: u).shape
    )
    assert shape == x.shape
