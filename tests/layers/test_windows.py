import pytest
import torch
from torch import Tensor

from iln.layers.attention import WindowAttention, attend
from iln.layers.forward_pass import Rows
from iln.layers.position_bias import (
    overlapping_position_index,
    position_bias,
    relative_position_index,
)
from iln.layers.windows import MASKED, from_windows, seam_masks, to_windows


def noise(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("window", [1, 3, 4])
def test_windows_hold_their_pixels_and_go_back(window: int) -> None:
    rows, columns = 2, 3
    x = noise(2, rows * window, columns * window, 5)
    windows = to_windows(x, window)
    assert windows.shape == (2, rows, columns, window * window, 5)
    for r in range(rows):
        for c in range(columns):
            tile = x[:, r * window : (r + 1) * window, c * window : (c + 1) * window]
            assert torch.equal(windows[:, r, c], tile.flatten(1, 2))
    assert torch.equal(from_windows(windows, window), x)


@pytest.mark.parametrize("window", [1, 2, 7, 8])
def test_relative_position_index(window: int) -> None:
    cells = [(y, x) for y in range(window) for x in range(window)]
    expected = [
        [(qy - ky + window - 1) * (2 * window - 1) + qx - kx + window - 1 for ky, kx in cells]
        for qy, qx in cells
    ]
    assert relative_position_index(window).tolist() == expected


@pytest.mark.parametrize(("window", "extended"), [(4, 6), (8, 12), (16, 24), (3, 3)])
def test_overlapping_position_index(window: int, extended: int) -> None:
    """As in HAT's calculate_rpi_oca: rows counted from window - extended + 1, not from 0."""
    queries = [(y, x) for y in range(window) for x in range(window)]
    keys = [(y, x) for y in range(extended) for x in range(extended)]
    offset, width = window - extended + 1, window + extended - 1
    expected = [
        [(ky - qy + offset) * width + kx - qx + offset for ky, kx in keys] for qy, qx in queries
    ]
    table = torch.arange(width**2)  # negative ones count from its end
    assert torch.equal(overlapping_position_index(window, extended), table[torch.tensor(expected)])


def test_position_bias() -> None:
    table = noise(9, 2)
    index = torch.tensor([[0, 8, 4], [8, 3, 7]])
    bias = position_bias(table, index)
    assert bias.shape == (2, 2, 3)
    for q in range(2):
        for k in range(3):
            assert torch.equal(bias[:, q, k], table[index[q, k]])


def classical_mask(height: int, width: int, window: int, shift: int) -> Tensor:
    """Swin's own recipe: number nine regions, compare the numbers within each window."""
    numbers = torch.zeros(1, height, width, 1, dtype=torch.float64)
    edges = (slice(0, -window), slice(-window, -shift), slice(-shift, None))
    count = 0
    for rows in edges:
        for columns in edges:
            numbers[:, rows, columns] = count
            count += 1
    regions = to_windows(numbers, window)[0, ..., 0]  # (rows, columns, N)
    apart = regions[..., None, :] != regions[..., :, None]
    return torch.where(apart, torch.tensor(-100.0, dtype=torch.float64), 0.0)


def literal(attention: WindowAttention, x: Tensor, shift: int) -> Tensor:
    """Swin's window attention as published: roll, cut, one window and head after another."""
    window, heads = attention.window, attention.num_heads
    b, height, width, dim = x.shape
    d = dim // heads
    rolled = torch.roll(x, (-shift, -shift), (1, 2)) if shift else x
    mask = classical_mask(height, width, window, shift) if shift else None
    table, index = attention.relative_position_bias_table, attention.relative_position_index
    out = torch.empty_like(rolled)
    for i in range(b):
        for r in range(height // window):
            for c in range(width // window):
                here = (
                    i,
                    slice(r * window, (r + 1) * window),
                    slice(c * window, (c + 1) * window),
                )
                q, k, v = attention.qkv(rolled[here].reshape(-1, dim)).chunk(3, -1)
                parts = []
                for h in range(heads):
                    head = slice(h * d, (h + 1) * d)
                    scores = q[:, head] @ k[:, head].T / d**0.5 + table[index, h]
                    if mask is not None:
                        scores = scores + mask[r, c]
                    parts.append(scores.softmax(-1) @ v[:, head])
                y = attention.proj(torch.cat(parts, -1))
                out[here] = y.view(window, window, dim)
    return torch.roll(out, (shift, shift), (1, 2)) if shift else out


def window_attention(window: int, dim: int = 6, heads: int = 3) -> WindowAttention:
    attention = WindowAttention(dim, window, heads).double()
    for i, p in enumerate(attention.parameters()):
        p.data = noise(*p.shape, seed=i) * 0.7
    return attention


SIZES = [(4, 4), (12, 4), (4, 12), (8, 12)]
"""One window, one column, one row, several."""


@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize("size", SIZES)
def test_both_paths_equal_swin(size: tuple[int, int], shift: int) -> None:
    attention = window_attention(4)
    x = noise(2, *size, 6, seed=9)
    expected = literal(attention, x, shift).detach()

    def forward() -> Tensor:
        y = attention(Rows(torch.roll(x, (-shift, -shift), (1, 2)), rolled=shift))
        return torch.roll(y, (shift, shift), (1, 2))

    explicit = forward()
    assert explicit.requires_grad
    torch.testing.assert_close(explicit.detach(), expected, rtol=0, atol=1e-12)
    with torch.no_grad():
        torch.testing.assert_close(forward(), expected, rtol=0, atol=1e-12)
    for p in attention.parameters():
        p.requires_grad_(False)
    torch.testing.assert_close(forward(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("window", [7, 5])
def test_odd_windows(window: int) -> None:
    attention = window_attention(window, dim=4, heads=2)
    x, shift = noise(1, window * 2, window, 4), window // 2
    expected = literal(attention, x, shift)
    y = attention(Rows(torch.roll(x, (-shift, -shift), (1, 2)), rolled=shift))
    torch.testing.assert_close(torch.roll(y, (shift, shift), (1, 2)), expected)


@pytest.mark.parametrize("gradients", [False, True])
def test_only_the_bottom_strip_is_masked_at_the_bottom(gradients: bool) -> None:
    attention = window_attention(4)
    x = noise(1, 12, 8, 6)
    with torch.set_grad_enabled(gradients):
        whole = attention(Rows(x, rolled=2))
        upper = attention(Rows(x[:, :8], bottom=False, rolled=2))
        lower = attention(Rows(x[:, 8:], bottom=True, rolled=2))
        wrongly = attention(Rows(x[:, :8], bottom=True, rolled=2))
    torch.testing.assert_close(torch.cat((upper, lower), 1), whole)
    assert (wrongly - upper).abs().max() > 1e-3


def test_nothing_crosses_the_seam() -> None:
    """A pixel of the first row, rolled below the last, reaches no pixel that stayed there."""
    attention = window_attention(4)
    x = noise(1, 8, 8, 6)
    shift = 2
    changed = x.clone()
    changed[:, :2, :] += 1.0

    def forward(x: Tensor) -> Tensor:
        y = attention(Rows(torch.roll(x, (-shift, -shift), (1, 2)), rolled=shift))
        return torch.roll(y, (shift, shift), (1, 2))

    for gradients in (False, True):
        with torch.set_grad_enabled(gradients):
            difference = (forward(changed) - forward(x)).abs().amax((0, 2, 3))
        assert (difference[2:] < 1e-12).all()
        assert (difference[:2] > 1e-3).all()


def test_seam_masks() -> None:
    below, right = seam_masks(4, 1, torch.zeros((), dtype=torch.float32))
    assert below.dtype == torch.float32
    assert below.unique().tolist() == [MASKED, 0.0]
    assert below[0, 15] == MASKED  # first row, last row
    assert below[12, 15] == 0
    assert right[0, 3] == MASKED  # first column, last column
    assert right[0, 12] == 0


@pytest.mark.parametrize("gradients", [False, True])
def test_more_keys_than_queries(gradients: bool) -> None:
    """What HAT's overlapping windows need."""
    q, k, v = noise(1, 2, 3, 4, 2, 5), noise(1, 2, 3, 9, 2, 5, seed=1), noise(1, 2, 3, 9, 2, 5)
    bias = noise(2, 4, 9, seed=2)
    scores = torch.einsum("brcnhd,brcmhd->brchnm", q, k) / 5**0.5 + bias
    expected = torch.einsum("brchnm,brcmhd->brcnhd", scores.softmax(-1), v).flatten(4)
    with torch.set_grad_enabled(gradients):
        out = attend([t.flatten(4) for t in (q.requires_grad_(), k, v)], 2, bias)
    assert out.requires_grad == gradients
    torch.testing.assert_close(out.detach(), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shift", [0, 2])
def test_half_precision_paths_agree(dtype: torch.dtype, shift: int) -> None:
    attention, x = window_attention(4), noise(1, 8, 8, 6)
    with torch.no_grad():
        expected = attention(Rows(x, rolled=shift))
    attention.to(dtype)
    for gradients in (False, True):
        with torch.set_grad_enabled(gradients):
            y = attention(Rows(x.to(dtype), rolled=shift))
        assert y.dtype == dtype
        error = (y.double() - expected).abs().max() / expected.abs().max()
        assert error < 8 * torch.finfo(dtype).eps
