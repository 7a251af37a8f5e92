"""Feature maps (B, H, W, C) in float64, ordinary and unpleasant, and norms to put them through."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from iln.norm import NORMS, Norm

DIM = 6


def _noise(batch: int = 2, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 4, 5, DIM, generator=generator, dtype=torch.float64)


def _one_channel_dominates() -> Tensor:
    x = _noise(seed=1)
    x[..., 2] *= 1e3
    return x


def _outlier() -> Tensor:
    x = _noise(seed=2)
    x[:, 2, 3, 1] = 1e6
    return x


MAPS: dict[str, Tensor] = {
    "ordinary": _noise(),
    "one image": _noise(batch=1, seed=3),
    "one pixel": _noise(seed=4)[:, :1, :1],
    "mean 1e4": _noise(seed=5) + 1e4,
    "one channel dominates": _one_channel_dominates(),
    "constant": torch.full((2, 4, 5, DIM), 3.0, dtype=torch.float64),
    "outlier of 1e6": _outlier(),
    "sigma 1e-6": 1e-6 * _noise(seed=6) + 0.5,
}


def perturbed(norm: Norm, seed: int = 0) -> Norm:
    """The norm with none of its parameters and averages as it started."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in norm.state_dict().values():
            noise = torch.rand(tensor.shape, generator=generator, dtype=torch.float64)
            tensor.add_(0.2 + noise)
    return norm


def scheme(name: str, *, training: bool = False, seed: int = 0) -> Norm:
    """One of the nine schemes in float64, perturbed, in eval mode unless told otherwise."""
    return perturbed(NORMS[name](DIM).double(), seed).train(training)


class Block(nn.Module):
    """x + rescale(f(normalize(x))) with a small MLP, biases and all, as f."""

    def __init__(self, norm: Norm, seed: int = 0) -> None:
        super().__init__()
        self.norm = norm
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.f = nn.Sequential(
                nn.Linear(norm.dim, 5), nn.GELU(), nn.Linear(5, norm.dim)
            ).double()

    def forward(self, x: Tensor) -> Tensor:
        stats = self.norm.statistics(x)
        return x + self.norm.rescale(self.f(self.norm.normalize(x, stats)), stats)
