"""What the paper proves, and what it rests its argument on."""

import pytest
import torch
from feature_maps import DIM, MAPS, Block, scheme
from torch import Tensor

from iln.norm import ILN, LayerNorm, LNStar


def differences(x: Tensor) -> Tensor:
    """x_l - x_k for all pairs of pixels of each image: (B, L, L, C)."""
    tokens = x.flatten(1, 2)
    return tokens[:, :, None] - tokens[:, None, :]


def angles(x: Tensor) -> Tensor:
    """At each pixel k, the angles between x_l - x_k and x_m - x_k, in radians (B, K, L, M)."""
    away = torch.nn.functional.normalize(differences(x), dim=-1)
    angle = (away @ away.transpose(-1, -2)).clamp(-1, 1).arccos()
    count = angle.shape[1]
    k, l, m = torch.meshgrid(*[torch.arange(count)] * 3, indexing="ij")  # noqa: E741
    return angle[:, (k != l) & (k != m) & (l < m)]


@pytest.mark.parametrize("name", MAPS)
def test_proposition_2_holistic_norm_is_a_homothety(name: str) -> None:
    x = MAPS[name]
    norm = LNStar(DIM).double()
    sigma = torch.sqrt(x.var(dim=(1, 2, 3), unbiased=False, keepdim=True) + norm.eps)
    before, after = differences(x), differences(norm(x))
    torch.testing.assert_close(after * sigma, before, rtol=1e-8, atol=1e-9 * x.abs().max().item())
    # the same in float32, up to what subtracting two neighbours of x in float32 loses
    narrow = differences(norm.float()(x.float()))
    tolerance = (4e-7 * x.abs().max() / sigma.min()).item()
    torch.testing.assert_close(narrow.double(), before / sigma, rtol=1e-5, atol=tolerance)


def test_proposition_2_keeps_angles() -> None:
    x = MAPS["one channel dominates"]
    norm = LNStar(DIM).double()
    torch.testing.assert_close(angles(norm(x)), angles(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("norm", [LayerNorm(3, eps=1e-12).double()])
def test_proposition_1_counterexample(norm: LayerNorm) -> None:
    """b = 2 a becomes the same point as a: a distance vanishes, and with it the angle at c."""
    a, b, c = (1.0, 0.0, -1.0), (2.0, 0.0, -2.0), (0.0, 1.0, -1.0)
    x = torch.tensor([a, b, c], dtype=torch.float64).view(1, 1, 3, 3)
    y = norm(x)
    before, after = differences(x)[0], differences(y)[0]
    ratio = after.norm(dim=-1) / before.norm(dim=-1)
    assert ratio[0, 1] < 1e-9  # not the same factor for every pair: no homothety
    assert ratio[0, 2] > 0.5
    angle_at_c = angles(x)[0, -1], angles(y)[0, -1]
    assert angle_at_c[0] > 0.5  # not the same angle: not conformal
    assert angle_at_c[1] < 1e-4


@pytest.mark.parametrize("name", ["ln", "rms", "layerscale"])
def test_proposition_1_on_random_features(name: str) -> None:
    x = MAPS["ordinary"]
    norm = scheme(name)
    with torch.no_grad():
        norm.get_parameter("weight").fill_(1)
    change = (angles(norm(x)) - angles(x)).abs()
    assert change.median() > 0.02
    assert change.max() > 0.3
    ratio = differences(norm(x)).norm(dim=-1) / differences(x).norm(dim=-1)
    ratio = ratio[~ratio.isnan()]
    assert ratio.max() / ratio.min() > 1.5


@pytest.mark.parametrize(
    "name", ["ordinary", "mean 1e4", "one channel dominates", "outlier of 1e6"]
)
@pytest.mark.parametrize("s", [1e-3, 7.0, 1e3])
@pytest.mark.parametrize("shift", [0.0, -2.5])
def test_iln_block_follows_brightness(name: str, s: float, shift: float) -> None:
    """B(s x + c) = s B(x) + c for any branch f, c one number for all pixels and channels."""
    x = MAPS[name]
    block = Block(ILN(DIM, eps=1e-15).double())
    expected = s * block(x) + shift
    tolerance = 1e-9 * expected.abs().max().item()
    torch.testing.assert_close(block(s * x + shift), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", ["ln", "rms", "layerscale", "none", "in", "bn", "ln*"])
def test_other_blocks_do_not(name: str) -> None:
    x = MAPS["ordinary"]
    norm = scheme(name, training=True)
    norm.eps = 1e-15
    block = Block(norm)
    branch = block(7 * x) - 7 * x
    expected = 7 * (block(x) - x)
    assert (branch - expected).norm() > 0.1 * expected.norm()


def test_iln_needs_no_parameter_more() -> None:
    assert sum(p.numel() for p in ILN(DIM).parameters()) == 2 * DIM
    assert set(dict(ILN(DIM).named_parameters())) == {"gamma", "beta"}
