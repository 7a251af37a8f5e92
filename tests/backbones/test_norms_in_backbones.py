"""Every norm in every backbone: any size, forward and backward, whole or in strips."""

from __future__ import annotations

import copy
import pickle
import threading

import pytest
import torch
from tiny_networks import TINY, agree, network, picture, shared, spec
from torch import Tensor

from iln.layers.forward_pass import Strips
from iln.norm import NORMS, BatchNorm

EVERY = [(backbone, norm) for backbone in TINY for norm in NORMS]
every = pytest.mark.parametrize(("backbone", "norm"), EVERY)


@every
def test_strips_equal_the_whole(backbone: str, norm: str) -> None:
    tiny = spec(backbone, norm)
    model = shared(tiny)
    with torch.no_grad():
        for size in ((1, 1), (1, 7), (13, 17)):
            image = picture(tiny, *size)
            before = image.clone()
            y = model(image)
            assert y.shape == (1, 3, 2 * size[0], 2 * size[1])
            assert y.isfinite().all()
            for rows in (1, 6) if size[0] > 1 else (3,):
                agree(model(image, Strips(rows)), y)
            assert torch.equal(image, before)


@every
def test_strips_equal_the_whole_to_rounding(backbone: str, norm: str) -> None:
    """In float64, where 2e-5 cannot hide a forgotten row; BatchNorm on the batch's statistics."""
    tiny = spec(backbone, norm)
    model, image = network(tiny).double(), picture(tiny, 19, 5, batch=2).double()
    if norm == "bn":
        model.train()
    with torch.no_grad():
        y = model(image)
        agree(model(image, Strips(5)), y, 1e-11)


@every
def test_backward_reaches_every_parameter(backbone: str, norm: str) -> None:
    tiny = spec(backbone, norm)
    model = network(tiny).train()
    image = picture(tiny, 9, 8, batch=2).requires_grad_()
    # not the mean square of the output: some last layers have gradient 0 where that is flat
    weight = torch.randn(2, 3, 18, 16, generator=torch.Generator().manual_seed(0))
    (model(image) * weight).sum().backward()
    assert image.grad is not None
    assert image.grad.isfinite().all()
    for name, p in model.named_parameters():
        assert p.grad is not None, name
        assert p.grad.isfinite().all(), name
        assert p.grad.abs().max() > 0, name


@every
def test_a_batch_equals_its_pictures(backbone: str, norm: str) -> None:
    tiny = spec(backbone, norm)
    model, image = network(tiny).double(), picture(tiny, 9, 7, batch=2).double()
    image[1] *= 0.3
    with torch.no_grad():
        for training in (False, True):
            model.train(training)
            single = torch.cat([model(image[:1]), model(image[1:])])
            same = torch.allclose(model(image), single, rtol=0, atol=1e-11)
            assert same != (norm == "bn" and training)


@every
def test_explicit_and_fused_attention_agree(backbone: str, norm: str) -> None:
    tiny = spec(backbone, norm)
    model, image = network(tiny).double(), picture(tiny, 9, 7).double()
    with torch.no_grad():
        fused = model(image)
    explicit = model(image)
    assert explicit.dtype == torch.float64
    agree(explicit.detach(), fused, 1e-11)


@every
def test_scale_1_leaves_the_callers_picture_alone(backbone: str, norm: str) -> None:
    tiny = spec(backbone, norm, scale=1, upsampler="", input_stats="none")
    model, image = shared(tiny), picture(tiny, 8, 4)  # whole windows: nothing is padded
    before = image.clone()
    with torch.no_grad():
        y = model(image, Strips(3))
        assert torch.equal(image, before)
        agree(y, model(image))
    assert torch.equal(image, before)


@pytest.mark.parametrize("backbone", TINY)
def test_ticks_add_up_to_the_same_whatever_the_rows(backbone: str) -> None:
    model, image = shared(spec(backbone)), picture(spec(backbone), 23, 5)
    totals = []
    for rows in (1, 3, 8, 1000):
        ticks: list[float] = []
        with torch.no_grad():
            model(image, Strips(rows, tick=ticks.append))
        totals.append(sum(ticks))
    assert totals == pytest.approx([round(totals[0])] * 4)


@pytest.mark.parametrize("backbone", TINY)
def test_prime_sizes_and_strided_input(backbone: str) -> None:
    tiny = spec(backbone, "i-ln")
    model = shared(tiny)
    with torch.no_grad():
        for size in ((2, 31), (11, 3), (29, 5)):
            image = picture(tiny, *size)
            y = model(image)
            agree(model(image, Strips(2)), y)
            strided = image.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
            agree(model(strided), y, 2e-6)


def close(y: Tensor, exact: Tensor, dtype: torch.dtype) -> None:
    error = (y - exact).square().mean().sqrt() / exact.std()
    assert error < 30 * torch.finfo(dtype).eps


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@every
def test_half_weights_take_and_give_float32(backbone: str, norm: str, dtype: torch.dtype) -> None:
    tiny = spec(backbone, norm)
    model, image = network(tiny), picture(tiny, 9, 8)
    with torch.no_grad():
        exact = model(image)
        y = model.to(dtype)(image)
        assert y.dtype == torch.float32
        close(y, exact, dtype)
        strips = model(image, Strips(4))
    assert strips.dtype == torch.float32
    close(strips, exact, dtype)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_weights_keep_the_pictures_own_digits(dtype: torch.dtype) -> None:
    """Scale 1 adds a correction to the picture: that is not rounded to half on the way."""
    tiny = spec("swinir", scale=1, upsampler="")
    model, image = network(tiny), picture(tiny, 8, 8)
    with torch.no_grad():
        for p in model.conv_last.parameters():
            p.zero_()
    assert torch.equal(model.to(dtype)(image), image)


@every
def test_autocast(backbone: str, norm: str) -> None:
    tiny = spec(backbone, norm)
    model, image = network(tiny).train(), picture(tiny, 8, 8)
    exact = model(image).detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = model(image)
    close(y.detach(), exact, torch.bfloat16)
    y.float().square().mean().backward()
    for name, p in model.named_parameters():
        assert p.grad is not None, name
        assert p.grad.dtype == torch.float32
        assert p.grad.isfinite().all(), name


@every
def test_copies_and_pickles(backbone: str, norm: str) -> None:
    tiny = spec(backbone, norm)
    model, image = shared(tiny), picture(tiny, 5, 6)
    with torch.no_grad():
        y = model(image)
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert other.spec == tiny
            assert torch.equal(other(image), y)
            other.conv_first.weight.zero_()
        assert torch.equal(model(image), y)


@pytest.mark.parametrize(("backbone", "norm"), [("hat", "i-ln"), ("swinir", "bn"), ("drct", "ln*")])
def test_two_threads_share_a_shared(backbone: str, norm: str) -> None:
    tiny = spec(backbone, norm)
    model = network(tiny)
    images = [picture(tiny, 9, 5), 0.2 * picture(tiny, 4, 6, seed=2)]
    with torch.no_grad():
        alone = [model(image) for image in images]
    wrong: list[int] = []

    def work(which: int) -> None:
        with torch.no_grad():
            for turn in range(10):
                walk = [Strips(4)] if turn % 2 else []
                y = model(images[which], *walk)
                if not torch.allclose(y, alone[which], rtol=0, atol=2e-5):
                    wrong.append(which)

    threads = [threading.Thread(target=work, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_running_averages_move_once_per_step() -> None:
    tiny = spec("swinir", "bn")
    model = network(tiny).train()
    norms = [m for m in model.modules() if isinstance(m, BatchNorm)]
    assert len(norms) == 2 * 3 + 2
    before = [m.running_mean.clone() for m in norms]
    with torch.no_grad():
        model(picture(tiny, 8, 8))
    assert all(torch.equal(m.running_mean, b) for m, b in zip(norms, before, strict=True))
    model(picture(tiny, 8, 8)).sum().backward()
    assert all(not torch.equal(m.running_mean, b) for m, b in zip(norms, before, strict=True))
