"""i-LN around a branch f, forward and backward by hand: B(x) = x + sigma f(LN*(x)).

Lee et al. (ICLR 2026), the equations of LN* and of i-LN, on a map x (B, H, W, C), for each image
over its n = H W C values:

    mu = E[x]    sigma = sqrt(E[(x - mu)^2] + eps)
    u = gamma (x - mu) / sigma + beta                                       `open_branch`
    z = x + sigma y,  y = f(u)                                              `close_branch`

Written with PyTorch's operations, autograd would walk the map about twenty times and keep several
copies of it. Here the backward of each half goes over the map in pieces that stay in cache, and x,
y and two numbers per image are all that is kept. With G the gradient of z,

    d y = sigma G            d sigma = sum(G y)                             `close_branch`
    a_c = sum_l d u_lc (x_lc - mu)      b_c = sum_l d u_lc                  `open_branch`
    d gamma_c = a_c / sigma             d beta_c = b_c
    d x = G + d u gamma / sigma + s (x - mu) + t
    s = (d sigma - sum_c gamma_c a_c / sigma^2) / (n sigma)      t = -sum_c gamma_c b_c / (n sigma)

and `open_branch` hands x through, so that G + ... is one pass instead of three sums of maps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from iln.kernels.moments import accumulate, piece_of, wide_type


def open_branch(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> tuple[Tensor, ...]:
    """(B, H, W, C) -> x itself, LN*(x), and sigma (B, 1, 1, 1), float32 or wider.

    `x itself` is what the branch's output must be added to. LN*(x) has x's dtype; under autocast
    the autocast dtype, which the branch's first layer would cast it to.
    """
    device, dtype = x.device.type, x.dtype
    # Autocast leaves float64 alone, and some devices, as `meta`, have none.
    if x.dtype != torch.float64 and torch.amp.is_autocast_available(device):
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
    out: tuple[Tensor, ...] = _Open.apply(x, gamma, beta, eps, dtype)  # type: ignore[no-untyped-call]
    return out


def close_branch(x: Tensor, y: Tensor, sigma: Tensor) -> Tensor:
    """x + sigma y in x's dtype; y (B, H, W, C) of any dtype."""
    z: Tensor = _Close.apply(x, y, sigma)  # type: ignore[no-untyped-call]
    return z


def pieces(x: Tensor) -> Iterator[tuple[slice, list[slice]]]:
    """Images of x (B, H, W, C), each time with their rows in strips that stay in cache.

    Several whole images with one strip of all rows, or one image with several strips.
    """
    count, height = x.shape[:2]
    size = piece_of(x.device)
    row = max(1, x[:1, :1].numel())
    images, rows = max(1, size // (row * height)), max(1, size // row)
    strips = [slice(top, top + rows) for top in range(0, height, rows)]
    for i in range(0, count, images):
        yield slice(i, i + images), strips


def places(x: Tensor) -> Iterator[tuple[slice, slice]]:
    """The same, for what looks at every strip once."""
    for images, strips in pieces(x):
        for rows in strips:
            yield images, rows


class _Open(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor, eps: float, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor, Tensor]:
        wide = wide_type(x)
        exact, variance = accumulate(x, (1, 2, 3))
        mean = exact.to(wide)
        sigma = torch.sqrt(variance + eps).to(wide)
        gain, shift = gamma.to(wide) / sigma, beta.to(wide)
        u = torch.empty(x.shape, dtype=dtype, device=x.device)
        for place in places(x):
            image = place[0]
            centred = x[place] - mean[image]
            u[place] = torch.addcmul(shift, centred, gain[image], out=centred)
        ctx.save_for_backward(x, gamma, beta, mean, sigma, (exact - mean).to(wide))
        ctx.eps = eps
        return x.view_as(x), u, sigma

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, gamma, beta, mean, sigma, rounding = ctx.saved_tensors
        if torch.is_grad_enabled():  # a gradient of this gradient is wanted
            return (*_again(_open_plainly, (x, gamma, beta), gradients, ctx.eps), None, None)
        wide, wide_gamma, gain = sigma.dtype, gamma.to(sigma.dtype), gamma.to(sigma.dtype) / sigma
        grad_x, grad_u, grad_sigma = gradients
        a = torch.zeros(x.shape[0], 1, 1, x.shape[3], dtype=wide, device=x.device)
        b = torch.zeros_like(a)
        out = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        for images, strips in pieces(x):
            for rows in strips:
                slopes = grad_u[images, rows].to(wide)
                centred = x[images, rows] - mean[images]
                b[images] += slopes.sum((1, 2), keepdim=True)
                a[images] += (centred * slopes).sum((1, 2), keepdim=True)
            if out is None:
                continue
            count = x[0].numel() * sigma[images]
            pull = (wide_gamma * a[images]).sum(3, keepdim=True) / sigma[images].square()
            slope = (grad_sigma[images] - pull) / count
            # What the mean lost when it was rounded is given back here.
            shift = -(wide_gamma * b[images]).sum(3, keepdim=True) / count
            shift -= slope * rounding[images]
            for rows in strips:
                if len(strips) > 1:  # else they are still at hand
                    slopes = grad_u[images, rows].to(wide)
                    centred = x[images, rows] - mean[images]
                # x - mean first: beside a large mean, x s - mean s would lose all digits.
                total = centred.mul_(slope).add_(shift).addcmul_(slopes, gain[images])
                torch.add(total, grad_x[images, rows], out=out[images, rows])
        _, needs_gamma, needs_beta, *_ = ctx.needs_input_grad
        grad_gamma = (a / sigma).sum((0, 1, 2)).to(gamma.dtype) if needs_gamma else None
        grad_beta = b.sum((0, 1, 2)).to(beta.dtype) if needs_beta else None
        return out, grad_gamma, grad_beta, None, None


class _Close(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, sigma: Tensor) -> Tensor:
        out = torch.empty_like(x)
        for place in places(x):
            part = y[place].to(sigma.dtype)
            out[place] = torch.addcmul(x[place].to(sigma.dtype), part, sigma[place[0]])
        # The norms before and after keep x and z anyway, and y = (z - x) / sigma; in half
        # precision that difference would have no digits left.
        ctx.keeps_y, ctx.dtype = x.dtype != sigma.dtype, y.dtype
        ctx.save_for_backward(*((y,) if ctx.keeps_y else (x, out)), sigma)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        *maps, sigma = ctx.saved_tensors
        if torch.is_grad_enabled():  # a gradient of this gradient is wanted
            y = maps[0] if ctx.keeps_y else (maps[1] - maps[0]) / sigma
            product = gradient.to(sigma.dtype) * y
            grad_sigma = product.sum((1, 2, 3), keepdim=True)
            return gradient, (gradient * sigma).to(ctx.dtype), grad_sigma
        _, needs_y, needs_sigma = ctx.needs_input_grad
        grad_y = torch.empty_like(gradient, dtype=ctx.dtype) if needs_y else None
        grad_sigma = torch.zeros_like(sigma) if needs_sigma else None
        for place in places(gradient):
            image = place[0]
            part = gradient[place].to(sigma.dtype)
            if grad_y is not None:
                grad_y[place] = part * sigma[image]
            if grad_sigma is not None:
                y = maps[0][place] if ctx.keeps_y else maps[1][place] - maps[0][place]
                grad_sigma[image] += (part * y).sum((1, 2, 3), keepdim=True)
        if grad_sigma is not None and not ctx.keeps_y:
            grad_sigma /= sigma
        return gradient, grad_y, grad_sigma


def _open_plainly(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> tuple[Tensor, ...]:
    """`open_branch` in PyTorch's operations, for gradients of gradients."""
    centred = x.to(wide_type(x))
    centred = centred - centred.mean((1, 2, 3), keepdim=True)
    sigma = torch.sqrt(centred.square().mean((1, 2, 3), keepdim=True) + eps)
    return x.view_as(x), gamma * centred / sigma + beta, sigma


def _again(
    plainly: Any, inputs: tuple[Tensor, ...], gradients: tuple[Tensor, ...], *rest: Any
) -> tuple[Tensor | None, ...]:
    """Gradients of `plainly(*inputs)` that can themselves be differentiated."""
    learning = [t for t in inputs if t.requires_grad]
    if not learning:
        return (None,) * len(inputs)
    pairs = zip(plainly(*inputs, *rest), gradients, strict=True)
    outputs, weights = zip(*((o, g.to(o.dtype)) for o, g in pairs if o.requires_grad), strict=True)
    found = iter(torch.autograd.grad(outputs, learning, weights, create_graph=True))
    return tuple(next(found) if t.requires_grad else None for t in inputs)
