"""The nine schemes behind one protocol."""

import threading

import pytest
import torch
import torch.nn.functional as F
from feature_maps import DIM, MAPS, Block, perturbed, scheme
from torch import Tensor

from iln.errors import InputError
from iln.norm import ILN, NORMS, Affine, LayerNorm, NoNorm, Norm, kind_inside, kind_outside

OF_MAPS = ["in", "bn", "ln*", "i-ln"]
PER_TOKEN = ["ln", "rms", "layerscale", "rezero", "none"]


def bhwc(f, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
    return f(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def reference(name: str, norm: Norm, x: Tensor) -> Tensor:
    """What normalize should give, by PyTorch's own functions."""
    p = dict(norm.named_parameters())
    if name in ("ln", "layerscale"):
        return F.layer_norm(x, (DIM,), p["weight"], p["bias"], norm.eps)
    if name == "rms":
        return x / torch.sqrt(x.square().mean(-1, keepdim=True) + norm.eps) * p["weight"]
    if name in ("rezero", "none"):
        return x
    if name == "in":
        mean = x.mean((1, 2), keepdim=True)
        variance = x.var((1, 2), keepdim=True, correction=0)
        return (x - mean) / torch.sqrt(variance + norm.eps) * p["weight"] + p["bias"]
    if name == "bn":
        buffers = dict(norm.named_buffers())
        mean, variance = (buffers[n].clone() for n in ("running_mean", "running_var"))
        args = (mean, variance, p["weight"], p["bias"], norm.training, 0.1, norm.eps)
        return bhwc(lambda x: F.batch_norm(x, *args), x)
    assert name in ("ln*", "i-ln"), f"say here, by PyTorch's own functions, what {name} computes"
    return bhwc(lambda x: F.group_norm(x, 1, p["gamma"], p["beta"], norm.eps), x)


def test_table_1_has_nine_schemes() -> None:
    assert sorted(NORMS) == sorted(PER_TOKEN + OF_MAPS)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("case", MAPS)
@pytest.mark.parametrize("name", NORMS)
def test_normalize_against_pytorch(name: str, case: str, training: bool) -> None:
    x = MAPS[case]
    norm = scheme(name, training=training)
    with torch.no_grad():
        y = norm(x)
        expected = reference(name, norm, x)
        narrow = norm.float()(x.float())
    # a difference of 1e-16 in the mean weighs by 1 / sigma
    tolerance = 1e-12 * (1 + x.abs().max().item() / norm.eps**0.5)
    torch.testing.assert_close(y, expected, rtol=1e-9, atol=tolerance)
    assert narrow.isfinite().all()
    if case not in ("mean 1e4", "sigma 1e-6"):  # there the input itself loses its digits
        torch.testing.assert_close(narrow.double(), expected, rtol=1e-4, atol=1e-4)


def test_instance_norm_is_pytorchs() -> None:
    x, norm = MAPS["ordinary"], scheme("in")
    weight, bias = norm.get_parameter("weight"), norm.get_parameter("bias")
    expected = bhwc(lambda x: F.instance_norm(x, weight=weight, bias=bias, eps=norm.eps), x)
    torch.testing.assert_close(norm(x), expected)


@pytest.mark.parametrize("name", NORMS)
def test_statistics_are_of_the_whole_map_or_none(name: str) -> None:
    x = MAPS["ordinary"]
    stats = scheme(name, training=True).statistics(x)
    if name in PER_TOKEN:
        assert stats is None
    else:
        assert stats is not None
        shape = {"in": (2, 1, 1, DIM), "bn": (1, 1, 1, DIM)}.get(name, (2, 1, 1, 1))
        assert stats.mean.shape == stats.sigma.shape == shape


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", NORMS)
def test_rows_are_normalised_alone(name: str, training: bool) -> None:
    x = MAPS["outlier of 1e6"]
    norm = scheme(name, training=training)
    stats = norm.statistics(x)
    y = norm.normalize(x, stats)
    z = norm.rescale(y, stats)
    for rows in (slice(0, 1), slice(1, 4)):
        part = norm.normalize(x[:, rows], stats)
        torch.testing.assert_close(part, y[:, rows])
        torch.testing.assert_close(norm.rescale(part, stats), z[:, rows])


@pytest.mark.parametrize("name", NORMS)
def test_rescale(name: str) -> None:
    x, y = MAPS["mean 1e4"], MAPS["ordinary"]
    norm = scheme(name, training=True)
    stats = norm.statistics(x)
    z = norm.rescale(y, stats)
    if name == "layerscale":
        torch.testing.assert_close(z, y * norm.get_parameter("scale"))
    elif name == "rezero":
        torch.testing.assert_close(z, y * norm.get_parameter("alpha"))
    elif name == "i-ln":
        variance = x.var((1, 2, 3), correction=0, keepdim=True)
        torch.testing.assert_close(z, y * torch.sqrt(variance + norm.eps))
    else:
        assert z is y


def test_where_they_start() -> None:
    for name, kind in NORMS.items():
        for key, value in kind(DIM).named_parameters():
            start = {"weight": 1, "gamma": 1, "bias": 0, "beta": 0, "scale": 1e-5, "alpha": 0}[key]
            assert (value == torch.tensor(float(start))).all(), (name, key)
            assert value.shape == (() if key == "alpha" else (DIM,))
        assert (
            kind(DIM).eps == NORMS[name].default_eps == (1e-4 if name in ("ln*", "i-ln") else 1e-5)
        )


def test_outside_residual_branches() -> None:
    for name in NORMS:
        kind = kind_outside(name)
        special = {"layerscale": LayerNorm, "rezero": NoNorm, "i-ln": Affine}
        assert kind is special.get(name, NORMS[name])
        y = MAPS["ordinary"]
        norm = perturbed(kind(DIM).double())
        assert norm.rescale(y, norm.statistics(y)) is y


def test_affine_is_iln_with_nothing_in_between() -> None:
    """Normalising and multiplying by the same sigma leaves gamma x plus a constant per channel."""
    x = MAPS["ordinary"][:1]
    iln, affine = perturbed(ILN(DIM).double()), perturbed(Affine(DIM).double())
    stats = iln.statistics(x)
    both = iln.rescale(iln.normalize(x, stats), stats)
    rest = both - affine(x)
    torch.testing.assert_close(rest, rest[:, :1, :1].expand_as(rest))
    gamma, beta = affine.get_parameter("gamma"), affine.get_parameter("beta")
    torch.testing.assert_close(affine(x), x * gamma + beta)
    assert affine.statistics(x) is None


@pytest.mark.parametrize(("name", "training"), [*((n, False) for n in NORMS), ("bn", True)])
def test_gradcheck_of_the_whole_block(name: str, training: bool) -> None:
    """Through sigma as well: it is neither detached nor clamped."""
    block = Block(scheme(name, training=training))
    names = [n for n, _ in block.named_parameters() if n.startswith("norm.")]
    values = [block.get_parameter(n).detach().clone().requires_grad_() for n in names]

    def forward(x: Tensor, *values: Tensor) -> Tensor:
        parameters = dict(zip(names, values, strict=True))
        out: Tensor = torch.func.functional_call(block, parameters, (x,))
        return out

    x = (MAPS["ordinary"][:, :2, :2] * 3 + 1).requires_grad_()
    assert torch.autograd.gradcheck(forward, (x, *values))


@pytest.mark.parametrize("case", ["mean 1e4", "one channel dominates", "sigma 1e-6"])
def test_iln_gradient_equals_the_formula_in_float64(case: str) -> None:
    """eps inside the root, sigma in the graph: the block written out by hand."""
    block = Block(scheme("i-ln"))
    norm = block.norm
    x = MAPS[case].clone().requires_grad_()
    mu = x.mean((1, 2, 3), keepdim=True)
    sigma = ((x - mu).square().mean((1, 2, 3), keepdim=True) + 1e-4).sqrt()
    gamma, beta = norm.get_parameter("gamma"), norm.get_parameter("beta")
    by_hand = x + sigma * block.f(gamma * (x - mu) / sigma + beta)
    weight = torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    (expected,) = torch.autograd.grad((by_hand * weight).sum(), x)
    (gradient,) = torch.autograd.grad((block(x) * weight).sum(), x)
    torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("half_weights", [False, True])
@pytest.mark.parametrize("name", NORMS)
def test_half_precision(name: str, half_weights: bool, dtype: torch.dtype) -> None:
    noise = torch.rand(2, 16, 16, DIM, generator=torch.Generator().manual_seed(0))
    norm = NORMS[name](DIM).train()
    exact = NORMS[name](DIM).double().train()
    if half_weights:
        norm.to(dtype)
    for x in (6e4 * noise, 6e4 * (noise * 2 - 1), noise):
        x = x.to(dtype)
        with torch.no_grad():
            stats, expected = norm.statistics(x), exact.statistics(x.double())
            y, y_expected = norm(x), exact(x.double())
        assert y.dtype == dtype
        assert y.isfinite().all()
        torch.testing.assert_close(y.double(), y_expected, rtol=1e-2, atol=1e-2)
        if stats is not None:
            assert expected is not None
            for value, wanted in zip(stats, expected, strict=True):
                assert value.dtype == torch.float32
                assert value.isfinite().all()
                scale = expected.sigma.max().item()
                torch.testing.assert_close(value.double(), wanted, rtol=1e-3, atol=1e-3 * scale)


def test_running_averages_do_not_overflow_in_half_precision() -> None:
    norm = NORMS["bn"](DIM).eval()
    norm.get_buffer("running_var").fill_(1e6)
    stats = norm.half().statistics(torch.ones(1, 2, 2, DIM).half())
    assert stats is not None
    assert stats.sigma.dtype == torch.float32
    assert stats.sigma.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", NORMS)
def test_outside_keeps_the_dtype(name: str, dtype: torch.dtype) -> None:
    assert kind_outside(name)(DIM)(MAPS["ordinary"].to(dtype)).dtype == dtype


@pytest.mark.parametrize("name", OF_MAPS)
def test_statistics_are_float32_under_autocast(name: str) -> None:
    x = 300 * MAPS["ordinary"].float() + 20
    norm = NORMS[name](DIM).train()
    expected = NORMS[name](DIM).double().train().statistics(x.double())
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        stats = norm.statistics(x)
        y = norm(x)
    assert stats is not None
    assert expected is not None
    assert y.dtype == torch.float32
    for value, wanted in zip(stats, expected, strict=True):
        assert value.dtype == torch.float32
        torch.testing.assert_close(value.double(), wanted, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", NORMS)
def test_a_call_leaves_nothing_behind(name: str, training: bool) -> None:
    norm = scheme(name, training=training)
    before = dict(vars(norm)), {k: v.clone() for k, v in norm.state_dict().items()}
    norm(MAPS["ordinary"].clone().requires_grad_())
    assert vars(norm).keys() == before[0].keys()
    assert all(vars(norm)[key] is value for key, value in before[0].items())
    assert all(torch.equal(norm.state_dict()[key], value) for key, value in before[1].items())


@pytest.mark.parametrize("name", NORMS)
def test_two_threads_share_a_module(name: str) -> None:
    block = Block(scheme(name))
    maps = [MAPS["mean 1e4"], MAPS["sigma 1e-6"]]
    with torch.no_grad():
        alone = [block(x) for x in maps]
    wrong: list[int] = []

    def work(which: int) -> None:
        with torch.no_grad():
            for _ in range(40):
                if not torch.equal(block(maps[which]), alone[which]):
                    wrong.append(which)

    threads = [threading.Thread(target=work, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_name_of_no_scheme_is_refused_with_those_that_there_are() -> None:
    for kind in (kind_inside, kind_outside):
        with pytest.raises(InputError, match="no norm 'layernorm'; known: ln, rms"):
            kind("layernorm")
