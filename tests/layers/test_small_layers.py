import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iln.layers.channel_attention import ChannelAttention
from iln.layers.conv import Conv2d, PixelShuffle, residual_conv
from iln.layers.drop_path import DropPath
from iln.layers.feedforward import FeedForward
from iln.layers.forward_pass import WHOLE, Rows
from iln.layers.pad import reflect_pad
from iln.layers.pixel_unshuffle import pixel_repeat, pixel_shuffle, pixel_unshuffle
from iln.norm import ILN


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_pixel_shuffle(factor: int) -> None:
    x = noise(2, 4, 5, 3 * factor**2)
    expected = F.pixel_shuffle(x.permute(0, 3, 1, 2), factor).permute(0, 2, 3, 1)
    assert torch.equal(PixelShuffle(factor)(x), expected)
    strided = x.transpose(1, 2)
    expected = F.pixel_shuffle(strided.permute(0, 3, 1, 2), factor).permute(0, 2, 3, 1)
    assert torch.equal(PixelShuffle(factor)(strided), expected)


@pytest.mark.parametrize("side", [1, 2, 3])
def test_cells_and_back(side: int) -> None:
    x = noise(2, 4 * side, 5 * side, 3)
    parts = pixel_unshuffle(x, side)
    assert all(part.shape == (2, 4, 5, 3) for part in parts)
    assert torch.equal(parts[-1][:, 1, 2], x[:, 2 * side - 1, 3 * side - 1])
    assert torch.equal(pixel_shuffle(torch.cat(parts, -1), side), x)
    repeated = pixel_shuffle(pixel_repeat(torch.cat(parts, -1), side, 2), 2 * side)
    assert torch.equal(repeated, x.repeat_interleave(2, 1).repeat_interleave(2, 2))


@pytest.mark.parametrize("kernel", [1, 3])
def test_conv_is_pytorchs_on_channels_last(kernel: int) -> None:
    conv, x = Conv2d(3, 4, kernel), noise(2, 5, 6, 3)
    expected = F.conv2d(x.permute(0, 3, 1, 2), conv.weight, conv.bias, padding=kernel // 2)
    y = conv(x)
    torch.testing.assert_close(y, expected.permute(0, 2, 3, 1))
    assert y.is_contiguous()  # what the next layer copies nothing of


@pytest.mark.parametrize("kind", ["1conv", "3conv"])
def test_halo_of_a_residual_conv_is_its_reach(kind: str) -> None:
    torch.manual_seed(0)
    conv, halo = residual_conv(8, kind)
    x = noise(1, 11, 4, 8)
    moved = x.clone()
    moved[:, 5] += 1
    reached = ((conv(moved) - conv(x)).abs().amax((0, 2, 3)) > 0).nonzero().flatten()
    assert reached.tolist() == list(range(5 - halo, 5 + halo + 1))


def test_residual_bottleneck() -> None:
    """SwinIR's 3conv: 3x3 to a quarter, 1x1, 3x3 back, leaky ReLUs of slope 0.2 between."""
    torch.manual_seed(0)
    conv, _ = residual_conv(8, "3conv")
    state, x = conv.state_dict(), noise(1, 6, 5, 8)
    assert [tuple(state[f"{i}.weight"].shape) for i in (0, 2, 4)] == [
        (2, 8, 3, 3),
        (2, 2, 1, 1),
        (8, 2, 3, 3),
    ]
    y = F.conv2d(x.permute(0, 3, 1, 2), state["0.weight"], state["0.bias"], padding=1)
    y = F.conv2d(F.leaky_relu(y, 0.2), state["2.weight"], state["2.bias"])
    y = F.conv2d(F.leaky_relu(y, 0.2), state["4.weight"], state["4.bias"], padding=1)
    torch.testing.assert_close(conv(x), y.permute(0, 2, 3, 1))


@pytest.mark.parametrize("size", [(5, 7), (9, 13), (6, 7), (5, 8)])
def test_reflect_pad_is_pytorchs_where_that_is_defined(size: tuple[int, int]) -> None:
    x = noise(2, 5, 7, 3)
    pad = (0, size[1] - 7, 0, size[0] - 5)
    expected = F.pad(x.permute(0, 3, 1, 2), pad, mode="reflect").permute(0, 2, 3, 1)
    assert torch.equal(reflect_pad(x, *size), expected)


@pytest.mark.parametrize("start", [(1, 1), (1, 3), (2, 1), (2, 2), (3, 5)])
@pytest.mark.parametrize("size", [(8, 8), (16, 5), (7, 19)])
def test_reflect_pad_of_tiny_pictures(start: tuple[int, int], size: tuple[int, int]) -> None:
    """Back and forth, as NumPy reflects."""
    x = noise(1, *start, 2)
    pad = ((0, 0), (0, size[0] - start[0]), (0, size[1] - start[1]), (0, 0))
    expected = np.pad(x.numpy(), pad, mode="reflect")
    assert np.array_equal(reflect_pad(x, *size).numpy(), expected)


def test_reflect_pad_leaves_the_right_size_alone() -> None:
    x = noise(1, 4, 4, 2)
    assert reflect_pad(x, 4, 4) is x


def test_drop_path_keeps_the_mean() -> None:
    torch.manual_seed(0)
    y = torch.full((4000, 2, 1, 3), 2.0)
    out = DropPath(0.3)(y)
    assert set(out.unique().tolist()) == {0.0, (y[0, 0, 0, 0] / (1 - 0.3)).item()}
    whole = out.flatten(1)
    assert (whole == whole[:, :1]).all()  # a picture is dropped as a whole
    assert abs(out.mean().item() - 2) < 4 * 2 * (0.3 / 0.7 / 4000) ** 0.5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_drop_path_keeps_the_dtype(dtype: torch.dtype) -> None:
    assert DropPath(0.5)(torch.ones(3, 1, 1, 1, dtype=dtype)).dtype == dtype


def test_drop_path_is_the_identity_in_evaluation() -> None:
    y = noise(2, 3, 3, 4)
    assert DropPath(0.9).eval()(y) is y
    assert DropPath(0.0)(y) is y


def test_feed_forward() -> None:
    torch.manual_seed(0)
    mlp, x = FeedForward(4, 2.5), noise(2, 3, 3, 4)
    assert mlp.fc1.out_features == 10
    expected = F.gelu(x @ mlp.fc1.weight.T + mlp.fc1.bias) @ mlp.fc2.weight.T + mlp.fc2.bias
    torch.testing.assert_close(mlp(Rows(x)), expected)
    norm = ILN(4)
    sigma = torch.sqrt(x.var((1, 2, 3), correction=0, keepdim=True) + 1e-4)
    torch.testing.assert_close(
        WHOLE.residual(x, norm, mlp, DropPath(0.0)), x + sigma * mlp(Rows(norm(x)))
    )


def test_channel_attention() -> None:
    torch.manual_seed(0)
    layer, x = ChannelAttention(6, 3), noise(2, 4, 5, 6)
    pooled = F.adaptive_avg_pool2d(x.permute(0, 3, 1, 2), 1)
    first, last = layer.attention[1], layer.attention[3]
    assert isinstance(first, nn.Conv2d)
    assert isinstance(last, nn.Conv2d)
    hidden = F.relu(F.conv2d(pooled, first.weight, first.bias))
    expected = F.conv2d(hidden, last.weight, last.bias).sigmoid().permute(0, 2, 3, 1)
    torch.testing.assert_close(layer(x), expected)
    assert layer(x).shape == (2, 1, 1, 6)


def test_channel_attention_pools_in_float32() -> None:
    torch.manual_seed(0)
    layer = ChannelAttention(6, 3)
    x = torch.full((1, 64, 64, 6), 500.0)  # the sum passes float16's largest number
    expected = layer(x)
    torch.testing.assert_close(layer.half()(x.half()).float(), expected, rtol=1e-2, atol=1e-3)
