"""Window attention on a GPU for training: one Triton kernel forward, one backward.

Both read q, k and v of a window straight from where the linear layer put them in the map, rolled by
the shift, and write to such places, so no window is ever copied. Scores stay on the chip; the
backward computes them again (as Dao et al. 2022, FlashAttention, do it). In the names of
`window_attention`, for each window and head,

    S = q k^T / sqrt(d) + B + masks     P = softmax(S)     O = P v
    d v = P^T G     d P = G v^T     d S = P * (d P - rowsum(P * d P))     d B = sum over windows d S
    d q = d S k / sqrt(d)           d k = d S^T q / sqrt(d)

The sums over windows are taken in a fixed order, so a step repeats bit for bit.
Needs Triton, which PyTorch brings along where it has CUDA.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

MASKED = tl.constexpr(-100.0)
"""As `iln.layers.windows.MASKED`."""
PROGRAMS = 128
"""Of the backward, for each head: each sums the gradient of B over its share of the windows."""


def attend_map(qkv: Tensor, bias: Tensor, window: int, shift: int) -> Tensor:
    """Attention of the whole map: (B, H, W, 3 C) -> (B, H, W, C).

    Args:
        qkv: float32, bfloat16 or float16, contiguous, H and W multiples of the window; what
            `WindowAttention.qkv` makes of the map as it lies. bias (heads, N, N) for N = window^2.
    """
    out: Tensor = _attention(qkv.contiguous(), bias.float().contiguous(), window, shift)
    return out


def fits(x: Tensor, window: int, heads: int) -> bool:
    """Whether the scores of a window of x (B, H, W, C) fit on the chip and the matrix units."""
    return window in (4, 8) and x.shape[-1] // heads <= 64 and x.dtype != torch.float64


# Operators of their own, so that torch.compile takes them as they are.
@torch.library.custom_op("iln::window_attention", mutates_args=())
def _attention(qkv: Tensor, bias: Tensor, window: int, shift: int) -> Tensor:
    b, h, w, c = qkv.shape
    heads, dim = bias.shape[0], c // 3
    out = qkv.new_empty(b, h, w, dim)
    windows = b * (h // window) * (w // window)
    _forward[(heads * windows,)](  # the grid's other dimensions end at 65,535
        qkv, bias, out, h, w, shift, (dim // heads) ** -0.5,
        DIM=dim, D=dim // heads, PADDED=_padded(dim // heads), SIDE=window,
        EXACT=qkv.dtype == torch.float32,
    )  # fmt: skip
    return out


@torch.library.custom_op("iln::window_attention_backward", mutates_args=())
def _attention_backward(
    gradient: Tensor, qkv: Tensor, bias: Tensor, window: int, shift: int
) -> tuple[Tensor, Tensor]:
    b, h, w, c = qkv.shape
    heads, dim = bias.shape[0], c // 3
    windows = b * (h // window) * (w // window)
    programs = min(PROGRAMS, windows)
    grad_qkv = torch.empty_like(qkv)
    shares = bias.new_empty(programs, *bias.shape)
    _backward[(heads, programs)](
        qkv, bias, gradient, grad_qkv, shares, h, w, windows, shift, (dim // heads) ** -0.5,
        DIM=dim, D=dim // heads, PADDED=_padded(dim // heads), SIDE=window,
        EXACT=qkv.dtype == torch.float32, TURNS=-(-windows // programs),
    )  # fmt: skip
    return grad_qkv, shares.sum(0)


@_attention.register_fake
def _(qkv: Tensor, bias: Tensor, window: int, shift: int) -> Tensor:
    return qkv.new_empty(*qkv.shape[:3], qkv.shape[3] // 3)


@_attention_backward.register_fake
def _(
    gradient: Tensor, qkv: Tensor, bias: Tensor, window: int, shift: int
) -> tuple[Tensor, Tensor]:
    return torch.empty_like(qkv), torch.empty_like(bias)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    qkv, bias, ctx.window, ctx.shift = inputs
    ctx.save_for_backward(qkv, bias)


def _gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    gradient = gradient.contiguous()
    return (*_attention_backward(gradient, *ctx.saved_tensors, ctx.window, ctx.shift), None, None)


_attention.register_autograd(_gradients, setup_context=_keep)


def _padded(head_dim: int) -> int:
    """The matrix units take powers of two from 16 on."""
    return max(16, 1 << (head_dim - 1).bit_length())


@triton.jit
def _place(number, height, width, shift, SIDE: tl.constexpr):
    """Pixels of a window as rows of the map (N,), and which of them came round each edge."""
    cells = tl.arange(0, SIDE * SIDE)
    across = width // SIDE
    picture = number // (across * (height // SIDE))
    y = (number // across) % (height // SIDE) * SIDE + cells // SIDE
    x = number % across * SIDE + cells % SIDE
    rows = (picture * height + (y + shift) % height) * width + (x + shift) % width
    return rows, y >= height - shift, x >= width - shift


@triton.jit
def _scores(q, k, bias, head, below, right, scale, SIDE: tl.constexpr, EXACT: tl.constexpr):
    """P of one window and head, float32 (N, N)."""
    cells = tl.arange(0, SIDE * SIDE)
    table = (head * SIDE * SIDE + cells[:, None]) * SIDE * SIDE + cells[None, :]
    s = tl.dot(q, tl.trans(k), input_precision="ieee" if EXACT else "tf32") * scale
    s += tl.load(bias + table)
    s += tl.where(below[:, None] != below[None, :], MASKED, 0.0)
    s += tl.where(right[:, None] != right[None, :], MASKED, 0.0)
    p = tl.exp(s - tl.max(s, 1)[:, None])
    return p / tl.sum(p, 1)[:, None]


@triton.jit
def _forward(
    qkv, bias, out, height, width, shift, scale,
    DIM: tl.constexpr, D: tl.constexpr, PADDED: tl.constexpr, SIDE: tl.constexpr,
    EXACT: tl.constexpr,
):  # fmt: skip
    head, window = tl.program_id(0) % (DIM // D), tl.program_id(0) // (DIM // D)
    rows, below, right = _place(window, height, width, shift, SIDE)
    channels = tl.arange(0, PADDED)
    real = (channels < D)[None, :] & (rows >= 0)[:, None]
    at = rows.to(tl.int64)[:, None] * (3 * DIM) + head * D + channels[None, :]
    q = tl.load(qkv + at, mask=real, other=0.0)
    k = tl.load(qkv + at + DIM, mask=real, other=0.0)
    v = tl.load(qkv + at + 2 * DIM, mask=real, other=0.0)
    p = _scores(q, k, bias, head, below, right, scale, SIDE, EXACT)
    o = tl.dot(p.to(v.dtype), v, input_precision="ieee" if EXACT else "tf32")
    to = rows.to(tl.int64)[:, None] * DIM + head * D + channels[None, :]
    tl.store(out + to, o.to(v.dtype), mask=real)


@triton.jit
def _backward(
    qkv, bias, gradient, grad_qkv, shares, height, width, windows, shift, scale,
    DIM: tl.constexpr, D: tl.constexpr, PADDED: tl.constexpr, SIDE: tl.constexpr,
    EXACT: tl.constexpr, TURNS: tl.constexpr,
):  # fmt: skip
    precision: tl.constexpr = "ieee" if EXACT else "tf32"
    head, program, programs = tl.program_id(0), tl.program_id(1), tl.num_programs(1)
    channels = tl.arange(0, PADDED)
    grad_bias = tl.zeros((SIDE * SIDE, SIDE * SIDE), dtype=tl.float32)
    for turn in range(TURNS):
        number = program + turn * programs  # past the last one all is 0, and nothing stored
        rows, below, right = _place(number, height, width, shift, SIDE)
        real = (channels < D)[None, :] & (rows >= 0)[:, None] & (number < windows)
        at = rows.to(tl.int64)[:, None] * (3 * DIM) + head * D + channels[None, :]
        q = tl.load(qkv + at, mask=real, other=0.0)
        k = tl.load(qkv + at + DIM, mask=real, other=0.0)
        v = tl.load(qkv + at + 2 * DIM, mask=real, other=0.0)
        to = rows.to(tl.int64)[:, None] * DIM + head * D + channels[None, :]
        g = tl.load(gradient + to, mask=real, other=0.0)
        p = _scores(q, k, bias, head, below, right, scale, SIDE, EXACT)
        grad_v = tl.dot(tl.trans(p.to(v.dtype)), g, input_precision=precision)
        of_p = tl.dot(g, tl.trans(v), input_precision=precision)
        of_s = p * (of_p - tl.sum(p * of_p, 1)[:, None])
        grad_bias += of_s
        of_s = of_s.to(v.dtype)
        grad_q = tl.dot(of_s, k, input_precision=precision) * scale
        grad_k = tl.dot(tl.trans(of_s), q, input_precision=precision) * scale
        tl.store(grad_qkv + at, grad_q.to(v.dtype), mask=real)
        tl.store(grad_qkv + at + DIM, grad_k.to(v.dtype), mask=real)
        tl.store(grad_qkv + at + 2 * DIM, grad_v.to(v.dtype), mask=real)
    cells = tl.arange(0, SIDE * SIDE)
    table = (head * SIDE * SIDE + cells[:, None]) * SIDE * SIDE + cells[None, :]
    share = program * tl.num_programs(0) * SIDE * SIDE * SIDE * SIDE
    tl.store(shares + share + table, grad_bias)
