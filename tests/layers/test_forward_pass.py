"""Strips of rows give what the whole map gives, whatever a branch looks at."""

from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from iln.layers.forward_pass import WHOLE, ForwardPass, Rows, Strips
from iln.layers.pad import reflect_pad
from iln.norm import ILN, Norm

ROWS = [1, 3, 4, 5, 1000]
HEIGHTS = [4, 8, 20]


def noise(height: int, seed: int = 0, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, height, 6, channels, generator=generator, dtype=torch.float64)


def blur(halo: int) -> Callable[[Tensor], Tensor]:
    """A same-size convolution that reaches `halo` rows, zeros outside."""
    kernel = torch.linspace(1, 2, 2 * halo + 1, dtype=torch.float64).view(1, 1, -1, 1)

    def f(x: Tensor) -> Tensor:
        b, h, w, c = x.shape
        y = F.conv2d(x.permute(0, 3, 1, 2).reshape(-1, 1, h, w), kernel, padding=(halo, 0))
        return y.view(b, c, h, w).permute(0, 2, 3, 1)

    return f


def same(x: Tensor, y: Tensor) -> None:
    torch.testing.assert_close(x, y, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("halo", [0, 1, 2, 5])
@pytest.mark.parametrize("scale", [1, 3])
def test_map(rows: int, halo: int, scale: int) -> None:
    x = noise(11)

    def f(rows: Tensor) -> Tensor:
        return blur(halo)(rows).repeat_interleave(scale, 1).repeat_interleave(scale, 2)[..., :2]

    before = x.clone()
    y = Strips(rows).map(f, x, halo, scale)
    assert y.shape == (2, 11 * scale, 6 * scale, 2)
    same(y, WHOLE.map(f, x, halo, scale))
    assert torch.equal(x, before)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("halo", [0, 1, 2, 5])
def test_add(rows: int, halo: int) -> None:
    onto, x = noise(11), noise(11, seed=1)
    before = x.clone()
    expected = WHOLE.add(onto, blur(halo), x, halo)
    same(expected, onto + blur(halo)(x))
    same(Strips(rows).add(onto.clone(), blur(halo), x, halo), expected)
    assert torch.equal(x, before)


def windowed(window: int, halo: int) -> Callable[[Rows], Tensor]:
    """A branch that mixes all rows of a window, and the rows of context, and the bottom flag."""

    def branch(rows: Rows) -> Tensor:
        if rows.shift:
            return rows.roll_back(branch(rows.roll()))
        assert rows.above <= halo
        assert rows.below <= halo
        middle = rows.crop(rows.pixels)
        b, h, w, c = middle.shape
        assert h % window == 0
        windows = middle.view(b, h // window, window, w, c)
        mixed = windows + windows.flip(2) * windows.mean(2, keepdim=True)
        if rows.bottom:
            mixed[:, -1] *= 3  # in a new tensor: the map's own rows stay as they are
        return mixed.view(b, h, w, c) + rows.crop(blur(halo)(rows.pixels))

    return branch


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("height", HEIGHTS)
@pytest.mark.parametrize(("window", "halo"), [(1, 0), (1, 1), (4, 0), (4, 1), (4, 2), (4, 4)])
@pytest.mark.parametrize("norm", [Norm(3), ILN(3).double()], ids=["none", "i-ln"])
def test_residual(rows: int, height: int, window: int, halo: int, norm: Norm) -> None:
    x, branch = noise(height), windowed(window, halo)
    before = x.clone()
    expected = WHOLE.residual(x, norm, branch, window=window, halo=halo)
    assert torch.equal(x, before)
    with torch.no_grad():
        found = Strips(rows).residual(x.clone(), norm, branch, window=window, halo=halo)
    same(found, expected)


def test_residual_with_a_halo_longer_than_the_strip() -> None:
    x, branch = noise(8), windowed(1, 2)
    expected = WHOLE.residual(x, Norm(3), branch, halo=2)
    same(Strips(1).residual(x.clone(), Norm(3), branch, halo=2), expected)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("height", HEIGHTS)
@pytest.mark.parametrize("shift", [0, 1, 2])
def test_shifted_residual(rows: int, height: int, shift: int) -> None:
    x, inner, norm = noise(height), windowed(4, 0), ILN(3).double()

    def branch(rows: Rows) -> Tensor:
        if rows.shift:
            return rows.roll_back(branch(rows.roll()))
        assert rows.rolled == shift
        y = inner(rows)
        y[:, :, -1] *= 5  # the last column of the rolled map is the seam
        return y

    before = x.clone()
    expected = WHOLE.residual(x, norm, branch, window=4, shift=shift)
    assert torch.equal(x, before)
    stats = norm.statistics(x)
    rolled = torch.roll(norm.normalize(x, stats), (-shift, -shift), (1, 2))
    y = torch.roll(branch(Rows(rolled, rolled=shift)), (shift, shift), (1, 2))
    same(expected, x + norm.rescale(y, stats))
    with torch.no_grad():
        found = Strips(rows).residual(x.clone(), norm, branch, window=4, shift=shift)
    same(found, expected)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("shift", [0, 2])
def test_convolutions_beside_a_branch(rows: int, shift: int) -> None:
    """They see the map as it was before the branch changed it, and their gate sees all of it."""

    class Beside:
        halo = 2

        def convolve(self, x: Tensor) -> Tensor:
            return blur(2)(x)

        def gate(self, convolved: Tensor) -> Tensor:
            return convolved.mean((1, 2), keepdim=True)

    x, norm, branch, beside = noise(20), ILN(3).double(), windowed(4, 0), Beside()
    expected = WHOLE.residual(x, norm, branch, window=4, shift=shift, beside=beside)
    alone = WHOLE.residual(x, norm, branch, window=4, shift=shift)
    stats = norm.statistics(x)
    convolved = blur(2)(norm.normalize(x, stats))
    same(expected, alone + norm.rescale(convolved * beside.gate(convolved), stats))
    with torch.no_grad():
        found = Strips(rows).residual(x.clone(), norm, branch, window=4, shift=shift, beside=beside)
    same(found, expected)


@pytest.mark.parametrize("count", [1, 3])
def test_concatenate_makes_a_map_that_may_change(count: int) -> None:
    maps = [noise(5, seed=i, channels=i + 1) for i in range(count)]
    expected = torch.cat(maps, -1)
    assert torch.equal(WHOLE.concatenate(maps), expected)
    out = Strips(2).concatenate(maps)
    assert torch.equal(out, expected)
    out.zero_()
    assert torch.equal(torch.cat(maps, -1), expected)
    assert WHOLE.copy(maps[0]) is maps[0]
    assert Strips(2).copy(maps[0]) is not maps[0]


@pytest.mark.parametrize("size", [(11, 6), (12, 8), (11, 8), (12, 6), (40, 31)])
def test_pad(size: tuple[int, int]) -> None:
    x = noise(11)
    before = x.clone()
    expected = reflect_pad(x, *size)
    for run in (WHOLE, Strips(3)):
        assert torch.equal(run.pad(x, *size), expected)
    assert torch.equal(x, before)
    assert torch.equal(Strips(1).pad(x[:, :1, :1], *size), reflect_pad(x[:, :1, :1], *size))


@pytest.mark.parametrize("rows", ROWS)
def test_ticks_of_a_pass_add_up_to_one(rows: int) -> None:
    for over_a_map in (
        lambda run, x: run.map(blur(1), x, 1),
        lambda run, x: run.add(x, blur(1), x.clone(), 1),
        lambda run, x: run.residual(x, Norm(3), windowed(4, 1), window=4, halo=1),
        lambda run, x: run.residual(x, Norm(3), windowed(4, 0), window=4, shift=2),
    ):
        ticks: list[float] = []
        over_a_map(Strips(rows, tick=ticks.append), noise(20))
        assert sum(ticks) == pytest.approx(1)
        assert min(ticks) > 0


def test_maps_lie_where_the_caller_wants_them() -> None:
    made: list[Tensor] = []

    def allocate(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        made.append(torch.full(tuple(shape), torch.nan, dtype=dtype, device=device))
        return made[-1]

    x, run = noise(11), Strips(4, allocate)
    maps = [run.map(blur(1), x, 1), run.copy(x), run.concatenate([x, x]), run.pad(x, 12, 20)]
    for y, place in zip(maps, made, strict=True):
        assert y.data_ptr() == place.data_ptr()
        assert y.isfinite().all()  # every element has been written


@torch.no_grad()
@pytest.mark.parametrize("run", [WHOLE, Strips(4)])
def test_the_stream_keeps_its_dtype(run: ForwardPass) -> None:
    """i-LN's sigma is float32, and so is what it multiplies; the stream stays half."""
    x = noise(8).half()
    for shift in (0, 2):
        y = run.residual(x.clone(), ILN(3), lambda r: r.pixels.float(), window=4, shift=shift)
        assert y.dtype == torch.float16
    assert run.add(x.clone(), lambda rows: rows.float(), x).dtype == torch.float16


def test_a_strip_has_a_row() -> None:
    with pytest.raises(ValueError, match="at least 1 row, not 0"):
        Strips(0)
