"""The penalty on features that the paper's Table 8 compares with i-LN."""

from pathlib import Path

import pytest
import torch
from running import log, quiet
from torch.distributions import Normal, kl_divergence

from iln.errors import InputError
from iln.lab.dynamics import read_history
from iln.lab.training import Recipe, train
from iln.lab.training.penalty import gaussian_divergence
from iln.lab.training.recipe import Dynamics
from iln.lab.training.recipes import derive


def test_it_is_the_divergence_of_gaussians() -> None:
    generator = torch.Generator().manual_seed(0)
    x = 3 * torch.randn(2, 4, 5, 6, dtype=torch.float64, generator=generator) + 2
    expected = [
        kl_divergence(Normal(p.mean(), p.std(correction=0)), Normal(0.0, 1.0)).item() for p in x
    ]
    assert gaussian_divergence(x).item() == pytest.approx(sum(expected) / 2)
    standard = (x - x.mean((1, 2, 3), keepdim=True)) / x.std((1, 2, 3), correction=0, keepdim=True)
    assert gaussian_divergence(standard).item() == pytest.approx(0, abs=1e-12)
    assert torch.isfinite(gaussian_divergence(torch.zeros(1, 2, 2, 2)))


def test_it_pulls_features_towards_a_variance_of_one(made: Recipe, tmp_path: Path) -> None:
    plain = derive(made, {"norm": "ln", "dynamics": Dynamics(every=10).model_dump()})
    sizes = {}
    for kld in (0.0, 1.0):
        run = tmp_path / str(kld)
        train(derive(plain, {"kld": kld}), run, say=quiet)
        sizes[kld] = read_history(run).values["mean_square"][-1].max()
    assert abs(sizes[1.0] - 1) < 0.5 * abs(sizes[0.0] - 1)
    first = [
        next(line["loss"] for line in log(tmp_path / n) if "loss" in line) for n in ("0.0", "1.0")
    ]
    assert first[1] > first[0]


def test_it_cannot_be_compiled(made: Recipe) -> None:
    with pytest.raises(InputError, match="kld"):
        derive(made, {"kld": 0.1, "compile": True})
