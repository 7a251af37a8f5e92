"""Every option that a published network uses, at a tiny size."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tiny_networks import TINY, agree, network, picture, shared, spec
from torch import Tensor

from iln.backbones import DRCT, HATSpec, Spec
from iln.backbones.backbone import RGB_MEAN
from iln.errors import InputError
from iln.layers.conv import Conv2d
from iln.layers.forward_pass import Strips

HEADS = [
    *(("pixelshuffle", s) for s in (2, 3, 4, 8)),
    *(("pixelshuffledirect", s) for s in (2, 3, 4)),
    *(("nearest+conv", s) for s in (2, 4)),
    ("", 1),
]


def runs(spec: Spec, height: int = 9, width: int = 6) -> Tensor:
    """Runs it in both ways, checks shape and strips, and returns the output."""
    model, image = shared(spec), picture(spec, height, width)
    with torch.no_grad():
        y = model(image)
        assert y.shape == (1, spec.in_chans, height * spec.scale, width * spec.scale)
        assert y.isfinite().all()
        for rows in (1, 5):
            agree(model(image, Strips(rows)), y)
    return y


@pytest.mark.parametrize(("upsampler", "scale"), HEADS)
@pytest.mark.parametrize("in_chans", [1, 3])
def test_swinir_heads(upsampler: Any, scale: int, in_chans: int) -> None:
    runs(spec("swinir", upsampler=upsampler, scale=scale, in_chans=in_chans))


@pytest.mark.parametrize(("upsampler", "scale"), HEADS)
def test_head_and_strips_in_float64(upsampler: Any, scale: int) -> None:
    """So exactly that no row of context can be missing."""
    tiny = spec("swinir", upsampler=upsampler, scale=scale, depths=(1,), num_heads=(2,))
    model, image = network(tiny).double(), picture(tiny, 11, 3).double()
    with torch.no_grad():
        y = model(image)
        for rows in (1, 3):
            agree(model(image, Strips(rows)), y, 1e-12)


@pytest.mark.parametrize("side", [2, 4])
@pytest.mark.parametrize("backbone", TINY)
def test_cells_of_pixels(backbone: str, side: int) -> None:
    same_size: Any = {"upsampler": "", "scale": 1, "unshuffle": side}
    tiny = spec(backbone, "i-ln", depths=(1,), num_heads=(2,), **same_size)
    model, image = network(tiny).double(), picture(tiny, 19, 21, batch=2).double()
    with torch.no_grad():
        y = model(image)
        assert not torch.allclose(y, image, atol=0.01)
        for rows in (1, 3):
            agree(model(image, Strips(rows)), y, 1e-12)
        for parameter in model.conv_last.parameters():
            parameter.zero_()
        before = image.clone()
        agree(model(image), image, 1e-15)  # the pixels that go in at a place come out there
        agree(model(image, Strips(1)), image, 1e-15)
        assert torch.equal(image, before)
    assert sum(p.numel() for p in model.conv_first.parameters()) == 12 * (27 * side**2 + 1)


@pytest.mark.parametrize(("scale", "side"), [(2, 2), (3, 2), (4, 4)])
@pytest.mark.parametrize("backbone", TINY)
def test_cells_that_are_enlarged(backbone: str, scale: int, side: int) -> None:
    larger: Any = {"upsampler": "pixelshuffledirect", "scale": scale, "unshuffle": side}
    tiny = spec(backbone, "i-ln", depths=(1,), num_heads=(2,), **larger)
    model, image = network(tiny).double(), picture(tiny, 19, 21, batch=2).double()
    with torch.no_grad():
        y = model(image)
        assert y.shape == (2, 3, 19 * scale, 21 * scale)
        for rows in (1, 3):
            agree(model(image, Strips(rows)), y, 1e-12)
        convolution = model.get_submodule("upsample.0")
        assert isinstance(convolution, Conv2d)
        convolution.weight.zero_()
        convolution.bias.zero_()
        agree(model(image).mean((0, 2, 3)), torch.tensor(RGB_MEAN).double(), 1e-7)
        # A pixel of a cell that alone is bright comes out at its own place.
        bias = convolution.bias.view(3, scale * side, scale * side)
        bias[1, scale : 2 * scale, :scale] = 1
        found = model(image)[0, 1] > RGB_MEAN[1] + 0.01
    places = found.nonzero().double() / scale
    assert (places[:, 0].floor() % side == 1).all() and (places[:, 1].floor() % side == 0).all()
    assert found.sum() == scale**2 * ((19 + side - 2) // side) * ((21 + side - 1) // side)


@pytest.mark.parametrize(("scale", "side"), [(2, 1), (2, 2), (3, 2)])
@pytest.mark.parametrize("backbone", TINY)
def test_a_correction_of_the_enlarged_picture(backbone: str, scale: int, side: int) -> None:
    larger: Any = {"upsampler": "", "scale": scale, "unshuffle": side}
    tiny = spec(backbone, "i-ln", depths=(1,), num_heads=(2,), **larger)
    model, image = network(tiny).double(), picture(tiny, 19, 21, batch=2).double()
    enlarged = image.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    with torch.no_grad():
        y = model(image)
        assert y.shape == enlarged.shape and not torch.allclose(y, enlarged, atol=0.01)
        for rows in (1, 3):
            agree(model(image, Strips(rows)), y, 1e-12)
        assert isinstance(model.conv_last, Conv2d)
        model.conv_last.weight.zero_()
        model.conv_last.bias.zero_()
        agree(model(image), enlarged, 1e-15)
        # What is added at a place of every cell comes out there, in that colour alone.
        model.conv_last.bias.view(side * scale, side * scale, 3)[1, 0, 2] = tiny.img_range
        found = (model(image) - enlarged).abs() > 1e-3
        assert torch.equal(found, model(image, Strips(1)) - enlarged > 1e-3)
    assert found[:, 2, 1 :: side * scale, :: side * scale].all()
    assert found.sum() == found[:, 2, 1 :: side * scale, :: side * scale].sum()


@pytest.mark.parametrize("upsampler", ["pixelshuffle", "nearest+conv"])
def test_cells_need_a_head_that_spreads_them(upsampler: Any) -> None:
    with pytest.raises(InputError, match="unshuffle 2 does not go with upsampler"):
        spec("swinir", upsampler=upsampler, scale=2, unshuffle=2)


@pytest.mark.parametrize(("upsampler", "scale"), HEADS)
def test_head_as_published(upsampler: Any, scale: int) -> None:
    """SwinIR's forward from conv_after_body on, by the names in its files, on (B, C, H, W)."""
    model = shared(spec("swinir", upsampler=upsampler, scale=scale))
    state = model.state_dict()

    def conv(x: Tensor, name: str) -> Tensor:
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)

    x = torch.randn(1, 12, 4, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        head = model._head(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    if upsampler == "pixelshuffledirect":
        expected = F.pixel_shuffle(conv(x, "upsample.0"), scale)
    elif upsampler == "":
        expected = conv(x, "conv_last")
    else:
        x = F.leaky_relu(conv(x, "conv_before_upsample.0"), 0.01)
        if upsampler == "pixelshuffle":
            for stage in range({2: 1, 3: 1, 4: 2, 8: 3}[scale]):
                x = F.pixel_shuffle(conv(x, f"upsample.{2 * stage}"), 3 if scale == 3 else 2)
        else:
            for stage in range({2: 1, 4: 2}[scale]):
                x = F.interpolate(x, scale_factor=2, mode="nearest")
                x = F.leaky_relu(conv(x, f"conv_up{stage + 1}"), 0.2)
            x = F.leaky_relu(conv(x, "conv_hr"), 0.2)
        expected = conv(x, "conv_last")
    agree(head, expected, 1e-5)


@pytest.mark.parametrize("backbone", TINY)
@pytest.mark.parametrize("resi_connection", ["1conv", "3conv"])
def test_residual_connections(backbone: str, resi_connection: Any) -> None:
    runs(spec(backbone, resi_connection=resi_connection))


@pytest.mark.parametrize("backbone", TINY)
@pytest.mark.parametrize("window", [7, 8, 16])
def test_windows(backbone: str, window: int) -> None:
    changes = {"overlap_ratio": 0.3} if backbone == "hat" and window == 7 else {}  # 2 pixels
    runs(spec(backbone, window=window, **changes), height=window + 2)


@pytest.mark.parametrize("backbone", TINY)
@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("qkv_bias", [False, True])
def test_scale_1_and_qkv_bias(backbone: str, scale: int, qkv_bias: bool) -> None:
    upsampler: Any = "" if scale == 1 else "pixelshuffle"
    tiny = spec(backbone, scale=scale, upsampler=upsampler, qkv_bias=qkv_bias)
    runs(tiny)
    keys = shared(tiny).state_dict().keys()
    assert any(k.endswith("qkv.bias") for k in keys) == qkv_bias


@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0, 2.0])
def test_hat_overlaps(ratio: float) -> None:
    runs(spec("hat", overlap_ratio=ratio), height=21)


def test_hat_overlap_beyond_the_neighbouring_window() -> None:
    runs(spec("hat", overlap_ratio=3.0), height=21)


@pytest.mark.parametrize("upsampler", ["pixelshuffledirect", ""])
@pytest.mark.parametrize("input_stats", ["none", "mean", "mean+std"])
@pytest.mark.parametrize("in_chans", [1, 3])
def test_value_range_and_statistics_of_the_input(
    upsampler: Any, input_stats: Any, in_chans: int
) -> None:
    """The network itself sees (image - mean) / std * img_range, and its output goes back."""
    scale = 2 if upsampler else 1
    plain = spec("swinir", upsampler=upsampler, scale=scale, input_stats="none", in_chans=in_chans)
    changed = spec(
        "swinir",
        upsampler=upsampler,
        scale=scale,
        input_stats=input_stats,
        in_chans=in_chans,
        img_range=255.0,
    )
    mean, std = torch.zeros(in_chans), torch.ones(in_chans)
    if in_chans == 3 and input_stats != "none":
        mean = torch.tensor([0.4488, 0.4371, 0.4040])
    if in_chans == 3 and input_stats == "mean+std":
        std = torch.tensor([0.2842, 0.2701, 0.2920])
    mean, std = mean.view(-1, 1, 1).double(), std.view(-1, 1, 1).double()
    image = picture(plain, 8, 8).double()
    model = network(plain).double()
    model.load_state_dict(network(changed).double().state_dict())
    inner = model((image - mean) / std * 255)
    expected = inner / 255 * std + mean
    torch.testing.assert_close(
        network(changed).double()(image), expected, rtol=0, atol=1e-6
    )  # the means are float32's nearest to the published digits


def test_scale_1_predicts_a_correction() -> None:
    tiny = spec("swinir", upsampler="", scale=1)
    model, image = network(tiny), picture(tiny)
    with torch.no_grad():
        for p in model.conv_last.parameters():
            p.zero_()
    assert torch.equal(model(image), image)


def test_output_is_not_clamped() -> None:
    tiny = spec("swinir")
    y = network(tiny)(20 * picture(tiny) - 10)
    assert y.min() < 0
    assert y.max() > 1


@pytest.mark.parametrize("backbone", TINY)
def test_padding_is_reflection_to_whole_windows(backbone: str) -> None:
    """A picture and its reflected continuation give the same, whatever the norm looks at."""
    tiny = spec(backbone, "i-ln")
    model, image = network(tiny), picture(tiny, 6, 7)
    padded = F.pad(image, (0, 1, 0, 2), mode="reflect")
    with torch.no_grad():
        y, whole = model(image), model(padded)
    agree(y, whole[..., :12, :14], 3e-6)


def test_shifted_windows_alternate() -> None:
    model = network(spec("swinir"))
    shifts = [block.shift for group in model.layers for block in group.residual_group["blocks"]]
    assert shifts == [0, 2, 0]
    dense = network(spec("drct"))
    assert isinstance(dense, DRCT)
    blocks = [dense.layers[0].get_submodule(f"swin{i}") for i in range(1, 6)]
    assert [b.shift for b in blocks] == [0, 2, 0, 2, 0]
    assert [b.attn.num_heads for b in blocks] == [2, 2, 2, 2, 2]
    assert [b.attn.qkv.in_features for b in blocks] == [12, 16, 20, 24, 28]
    assert [b.mlp.fc1.out_features for b in blocks] == [24, 32, 40, 24, 28]


def test_drct_head_counts_of_a_network() -> None:
    """12 + k 4 channels and 3 heads: 3, 3 - 16 % 3 = 2, 3 - 20 % 3 = 1, 3 - 0, 3 - 28 % 3 = 2."""
    model = network(spec("drct", num_heads=(3,)))
    blocks = [model.layers[0].get_submodule(f"swin{i}") for i in range(1, 6)]
    assert [b.attn.num_heads for b in blocks] == [3, 2, 1, 3, 2]


def test_drop_path_grows_linearly() -> None:
    tiny = spec("swinir", drop_path=0.1)
    rates = [rate for group in tiny.drop_paths() for rate in group]
    assert rates == pytest.approx([0, 0.05, 0.1])
    assert [len(group) for group in tiny.drop_paths()] == [2, 1]
    model, image = network(tiny), picture(tiny, 8, 8)
    assert torch.equal(model(image), network(spec("swinir"))(image))
    model.train()
    torch.manual_seed(0)
    outputs = [model(image) for _ in range(40)]
    assert any(not torch.equal(y, outputs[0]) for y in outputs)


@pytest.mark.parametrize("conv_scale", [0.0, 0.01])
def test_hat_conv_branch_counts_by_its_scale(conv_scale: float) -> None:
    tiny = spec("hat", conv_scale=conv_scale)
    assert isinstance(tiny, HATSpec)
    model, image = network(tiny), picture(tiny, 8, 8)
    with torch.no_grad():
        y = model(image)
        for name, p in model.named_parameters():
            if "cab.2" in name:
                p.mul_(3)
        assert torch.equal(model(image), y) == (conv_scale == 0)


@pytest.mark.parametrize("backbone", TINY)
def test_gradients_of_gradients(backbone: str) -> None:
    tiny = spec(backbone, "i-ln", depths=(1,), num_heads=(2,), scale=2)
    model, image = network(tiny).double(), picture(tiny, 8, 8).double().requires_grad_()
    direction = torch.rand_like(image)

    def slope(x: torch.Tensor) -> torch.Tensor:
        (found,) = torch.autograd.grad(model(x).square().mean(), x, create_graph=True)
        return (found * direction).sum()

    (found,) = torch.autograd.grad(slope(image), image)
    step = 1e-5 * direction
    expected = (slope(image + step) - slope(image - step)) / 2e-5
    torch.testing.assert_close((found * direction).sum(), expected, rtol=1e-5, atol=1e-9)
