import pytest
import torch
from feature_maps import DIM, MAPS
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from iln.norm import BatchNorm


def averages(norm: nn.Module) -> tuple[Tensor, Tensor]:
    return norm.get_buffer("running_mean").clone(), norm.get_buffer("running_var").clone()


def step(norm: BatchNorm, x: Tensor) -> Tensor:
    y = norm(x.clone().requires_grad_())
    y.square().sum().backward()
    return y.detach()


def test_equals_pytorchs_over_steps() -> None:
    ours, theirs = BatchNorm(DIM).double(), nn.BatchNorm2d(DIM).double()
    for name in ("ordinary", "outlier of 1e6", "mean 1e4", "one image"):
        x = MAPS[name].clone().requires_grad_()
        wanted_input = MAPS[name].clone().requires_grad_()
        y = ours(x)
        wanted = theirs(wanted_input.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        torch.testing.assert_close(y, wanted, rtol=1e-6, atol=1e-6)
        weight = torch.linspace(0, 1, x.numel(), dtype=torch.float64).view_as(x)
        (y * weight).sum().backward()
        (wanted * weight).sum().backward()
        torch.testing.assert_close(x.grad, wanted_input.grad)
        torch.testing.assert_close(averages(ours), averages(theirs))
    x = MAPS["sigma 1e-6"]
    wanted = theirs.eval()(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    torch.testing.assert_close(ours.eval()(x), wanted)


def test_evaluation_uses_and_keeps_the_averages() -> None:
    norm = BatchNorm(DIM).double()
    step(norm, MAPS["ordinary"])
    before = averages(norm)
    norm.eval()
    mean, variance = before
    x = MAPS["one image"] + 3
    expected = (x - mean) / torch.sqrt(variance + norm.eps)
    torch.testing.assert_close(step(norm, x), expected)
    torch.testing.assert_close(averages(norm), before, rtol=0, atol=0)


def test_training_mode_without_gradients_leaves_the_averages() -> None:
    norm = BatchNorm(DIM).double()
    before = averages(norm)
    with torch.no_grad():
        y = norm(MAPS["ordinary"])
    norm(MAPS["ordinary"].clone().requires_grad_())  # a forward without its backward
    torch.testing.assert_close(averages(norm), before, rtol=0, atol=0)
    torch.testing.assert_close(y.mean((0, 1, 2)), torch.zeros(DIM, dtype=torch.float64))


@pytest.mark.parametrize("reentrant", [False, True])
def test_one_update_per_step_under_checkpointing(reentrant: bool) -> None:
    plain, checked = BatchNorm(DIM).double(), BatchNorm(DIM).double()
    for name in ("ordinary", "mean 1e4"):
        step(plain, MAPS[name])
        x = MAPS[name].clone().requires_grad_()
        checkpoint(checked, x, use_reentrant=reentrant).square().sum().backward()
        torch.testing.assert_close(averages(checked), averages(plain))


def test_float32_averages_under_half_input() -> None:
    """float16 input near its largest number: neither the update nor the averages overflow."""
    norm = BatchNorm(DIM)
    x = (MAPS["ordinary"] * 1e4).half()
    step(norm, x)
    mean, variance = averages(norm)
    assert mean.dtype == variance.dtype == torch.float32
    expected = x.double().var((0, 1, 2)) * 0.1 + 0.9
    torch.testing.assert_close(variance.double(), expected, rtol=1e-3, atol=0)
