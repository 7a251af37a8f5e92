"""Every measure against its definition, in pieces, beside large numbers and broken ones."""

import json
import math

import pytest
import torch
from torch import Tensor

from iln.lab.dynamics import measures
from iln.lab.dynamics.central import Central
from iln.lab.dynamics.measures import BlockMeasures, BlockSums, MapSums

NAN = math.nan


def measured(x: Tensor) -> BlockMeasures:
    return BlockSums(MapSums.of(x)).measures()


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_by_hand() -> None:
    # Two tokens, two channels: channel 0 holds 1 and 3, channel 1 holds -1 and 1.
    found = measured(torch.tensor([[[[1.0, -1.0], [3.0, 1.0]]]]))
    assert found.tokens == 2
    assert found.channels == 2
    assert found.mean_square == (1 + 9 + 1 + 1) / 4
    assert found.max_abs == 3
    p = (5 / 6, 1 / 6)
    entropy = -sum(q * math.log(q) for q in p)
    assert found.top_share == pytest.approx(p[0], rel=1e-15)
    assert found.top_channel == 0
    assert found.entropy == pytest.approx(entropy, rel=1e-15)
    assert found.relative_entropy == pytest.approx(entropy / math.log(2), rel=1e-15)
    # Mean 1, deviations 0, -2, 2, 0: variance 2, fourth moment 8.
    assert found.kurtosis == 8 / 2**2
    # Both tokens have channels 1 off their mean.
    assert found.token_sigma == 1
    assert found.token_sigma_cv == 0
    assert found.nonfinite == 0
    assert found.sigma1 is found.gradient_norm is None


def test_spread_of_sigma_by_hand() -> None:
    found = measured(torch.tensor([[[[1.0, -1.0], [5.0, -1.0]]]]))  # sigmas 1 and 3
    assert found.token_sigma == 2
    assert found.token_sigma_cv == 0.5


@pytest.mark.parametrize("piece", [1, 7, 40, 1000])
def test_definitions_in_pieces(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "PIECE", piece)
    x = noise(3, 4, 5, 6) * torch.arange(1, 7) + 2
    found = measured(x)
    energy = x.square().mean((0, 1, 2))
    p = energy / energy.sum()
    sigma = x.std(3, correction=0)
    expected = {
        "mean_square": x.square().mean(),
        "max_abs": x.abs().max(),
        "entropy": -(p * p.log()).sum(),
        "top_share": p.max(),
        "kurtosis": (x - x.mean()).pow(4).mean() / x.var(correction=0).square(),
        "token_sigma": sigma.mean(),
        "token_sigma_cv": sigma.std(correction=0) / sigma.mean(),
    }
    for name, value in expected.items():
        assert getattr(found, name) == pytest.approx(value.item(), rel=1e-12), name


def test_a_view_that_is_not_contiguous() -> None:
    x = noise(2, 6, 5, 4)
    assert measured(x.permute(0, 2, 1, 3)).entropy == pytest.approx(measured(x).entropy, rel=1e-13)


def test_maps_join_as_if_they_were_one() -> None:
    x = noise(5, 4, 4, 6).exp()
    whole = BlockSums(MapSums.of(x), Central.of(x[:, 0, 0, 0]))
    parts = [BlockSums(MapSums.of(p), Central.of(p[:, 0, 0, 0])) for p in (x[:1], x[1:3], x[3:])]
    joined = parts[0].join(parts[1]).join(parts[2]).measures()
    for name, value in vars(whole.measures()).items():
        assert getattr(joined, name) == (value and pytest.approx(value, rel=1e-12)), name


def test_a_large_mean_costs_no_digits() -> None:
    x = noise(1, 16, 16, 8)
    near, far = measured(x), measured(x + 1e6)
    assert far.kurtosis == pytest.approx(near.kurtosis, rel=1e-8)
    assert far.token_sigma == pytest.approx(near.token_sigma, rel=1e-8)


@pytest.mark.parametrize(
    ("dtype", "large"), [(torch.float32, 1e20), (torch.float16, 6e4), (torch.bfloat16, 1e38)]
)
def test_large_values_do_not_overflow(dtype: torch.dtype, large: float) -> None:
    x = noise(2, 8, 8, 4).clamp(-2, 2) / 2
    x[..., 2] = 1
    narrow = (x * large).to(dtype)
    found, expected = measured(narrow), measured(narrow.double() / large)
    for name in ("mean_square", "max_abs", "token_sigma"):
        power = 2 if name == "mean_square" else 1
        value = getattr(expected, name) * large**power
        assert getattr(found, name) == pytest.approx(value, rel=1e-10), name
    for name in ("entropy", "top_share", "kurtosis", "token_sigma_cv"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-10), name
    assert found.nonfinite == 0


def test_what_is_not_finite_is_counted_and_left_out() -> None:
    x = noise(1, 8, 8, 4).float()
    clean = measured(x[:, 1:])
    x[0, 0, :, 0], x[0, 0, 3, 1], x[0, 0, :, 2] = math.inf, math.nan, -math.inf
    found = measured(x)
    assert found.nonfinite == 17
    rest = x[torch.isfinite(x)].double()
    assert found.mean_square == pytest.approx(rest.square().mean().item(), rel=1e-12)
    assert found.max_abs == rest.abs().max().item()
    assert found.kurtosis == pytest.approx(
        ((rest - rest.mean()).pow(4).mean() / rest.var(correction=0).square()).item(), rel=1e-12
    )
    # Tokens that are not finite have no sigma: those of the first row are left out.
    assert found.token_sigma == pytest.approx(clean.token_sigma, rel=1e-12)


def test_where_nothing_is_defined_json_says_null() -> None:
    for x in (torch.full((1, 2, 2, 4), NAN), torch.zeros(1, 2, 2, 4)):
        text = json.dumps(measured(x).as_json(), allow_nan=False)
        assert json.loads(text)["kurtosis"] is None
    assert json.loads(text)["mean_square"] == 0
    assert measured(torch.full((1, 2, 2, 4), NAN)).nonfinite == 16


def test_float64_beyond_its_fourth_power() -> None:
    found = measured(noise(1, 4, 4, 4) * 1e100)
    assert math.isfinite(found.mean_square)
    assert not math.isfinite(found.kurtosis)
