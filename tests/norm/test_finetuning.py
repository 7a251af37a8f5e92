"""Norms where the features are extreme, or where nothing before them learns."""

import torch

from iln.kernels.moments import moments
from iln.norm import BatchNorm


def test_running_averages_move_where_nothing_before_the_norm_learns() -> None:
    norm = BatchNorm(3).train()
    x = torch.randn(2, 4, 5, 3) + 7
    norm(x).sum().backward()
    assert torch.allclose(norm.running_mean, 0.1 * x.mean((0, 1, 2)), atol=1e-5)


def test_gradients_keep_their_digits_beside_a_large_mean() -> None:
    x = (torch.randn(1, 8, 8, 4, dtype=torch.float64) + 1e5).float().requires_grad_()
    _, variance = moments(x, (1, 2, 3))
    variance.sum().backward()
    wide = x.detach().double()
    expected = 2 * (wide - wide.mean()) / wide.numel()
    assert x.grad is not None
    error = (x.grad - expected).norm() / expected.norm()
    assert error < 1e-3
