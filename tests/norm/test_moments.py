import pytest
import torch
from feature_maps import MAPS
from torch import Tensor

from iln.kernels import moments as module
from iln.kernels.moments import moments

DIMS = [(1, 2, 3), (1, 2), (0, 1, 2)]


def reference(x: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    variance, mean = torch.var_mean(x.double(), dims, correction=0, keepdim=True)
    return mean, variance


def check(x: Tensor, dims: tuple[int, ...], rtol: float = 2e-6) -> None:
    mean, variance = moments(x, dims)
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    assert mean.dtype == variance.dtype == wide
    assert mean.shape == variance.shape
    expected_mean, expected = reference(x, dims)
    # the mean to the last digit of float32; what is left of it is small beside sigma
    atol = 2e-7 * expected.max().sqrt().item() + 1e-30
    torch.testing.assert_close(mean.double(), expected_mean, rtol=1e-7, atol=atol)
    torch.testing.assert_close(variance.double(), expected, rtol=rtol, atol=1e-30)


@pytest.fixture(params=[1, 7, 64, None])
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param is not None:
        monkeypatch.setattr(module, "PIECE", request.param)


@pytest.mark.usefixtures("piece")
@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("name", MAPS)
def test_agrees_with_float64(name: str, dims: tuple[int, ...]) -> None:
    check(MAPS[name].float(), dims)
    check(MAPS[name], dims, rtol=1e-9)


@pytest.mark.usefixtures("piece")
@pytest.mark.parametrize("dims", DIMS)
def test_layouts(dims: tuple[int, ...]) -> None:
    x = torch.randn(3, 6, 8, 10, generator=torch.Generator().manual_seed(0)) + 5
    check(x.permute(0, 3, 1, 2), dims)
    check(x[:, 2:5], dims)
    check(x[..., ::2], dims)
    check(x[1:2], dims)
    check(x[:1].expand(3, -1, -1, -1), dims)


@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("pieces", [1, 50])
def test_large_mean(dims: tuple[int, ...], pieces: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mean 1e4, sigma 1 over many pixels: the plain E[x^2] - E[x]^2 loses everything here."""
    x = torch.randn(2, 40, 40, 16, generator=torch.Generator().manual_seed(1)) + 1e4
    monkeypatch.setattr(module, "PIECE", x.numel() // pieces)
    check(x, dims)
    naive = x.square().mean(dims) - x.mean(dims).square()
    assert (naive - 1).abs().max() > 0.1


def test_parts_of_very_different_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE", 30)
    x = torch.randn(1, 12, 5, 6, generator=torch.Generator().manual_seed(2))
    x[:, 6:] += 1e3
    check(x, (1, 2, 3))
    check(x, (1, 2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("dims", DIMS)
def test_half_precision(dims: tuple[int, ...], dtype: torch.dtype) -> None:
    """Sums of squares of 6e4 pass float16's largest number a million times over."""
    noise = torch.rand(2, 16, 16, 8, generator=torch.Generator().manual_seed(3))
    for x in (6e4 * noise, 6e4 * (noise - 0.5), 6e4 + 0 * noise, 1e-3 * noise):
        check(x.to(dtype), dims)


@pytest.mark.usefixtures("piece")
@pytest.mark.parametrize("dims", DIMS)
def test_gradients(dims: tuple[int, ...]) -> None:
    x = MAPS["ordinary"][:, :2, :2, :3].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: moments(x, dims), (x,))
    assert torch.autograd.gradgradcheck(lambda x: moments(x, dims), (x,))
    assert torch.autograd.gradcheck(lambda x: moments(x.permute(0, 3, 1, 2), dims)[1], (x,))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_gradient_dtype_and_value(dtype: torch.dtype) -> None:
    x = MAPS["ordinary"].to(dtype).requires_grad_()
    mean, variance = moments(x, (1, 2, 3))
    (mean.sum() + 3 * variance.sum()).backward()
    wide = x.detach().double().requires_grad_()
    mean, variance = reference(wide, (1, 2, 3))
    (mean.sum() + 3 * variance.sum()).backward()
    assert x.grad is not None
    assert wide.grad is not None
    assert x.grad.dtype == dtype
    torch.testing.assert_close(x.grad, wide.grad.to(dtype), rtol=1e-2, atol=1e-4)
