"""The paper: nine ways to normalise a residual branch, behind one protocol.

    stats = norm.statistics(x)                     # None where a token needs only itself
    x = x + norm.rescale(f(norm.normalize(x, stats)), stats)

Feature maps are (B, H, W, C) everywhere. Lee et al., "Analyzing the Training Dynamics of
Image Restoration Transformers: A Revisit to Layer Normalization" (ICLR 2026), compares:

    ln          per token      y = gamma (x_l - mu_l) / sigma_l + beta          Ba et al. 2016
    rms         per token      y = gamma x_l / rms(x_l)                 Zhang & Sennrich 2019
    layerscale  per token      ln before the branch, a learned factor per channel after it
                                                                          Touvron et al. 2021
    rezero      none           a learned scalar, 0 at first, after it   Bachlechner et al. 2021
    none        none
    in          per channel    mu, sigma over H, W of one image           Ulyanov et al. 2016
    bn          per channel    mu, sigma over B, H, W; running averages in eval mode
                                                                         Ioffe & Szegedy 2015
    ln*         whole image    mu, sigma over H, W, C of one image         the paper, eq. of LN*
    i-ln        whole image    ln*, and the branch multiplied by sigma           the paper, i-LN

The protocol is split in three so that a caller may hold the map in strips: statistics look at
the whole map, the other two only at the rows they are given. No call leaves anything behind in
the module (BatchNorm's running averages excepted), so threads may share it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iln.errors import InputError
from iln.kernels.moments import moments, over_processes
from iln.kernels.residual_norm import close_branch, open_branch

LN_EPS = 1e-5
"""What the SwinIR, HAT and DRCT files trained with LayerNorm assume."""
HOLISTIC_EPS = 1e-4
"""What the paper's own code uses inside the square root of i-LN."""


class Statistics(NamedTuple):
    """Mean and sigma = sqrt(variance + eps), float32 or wider, broadcasting over (B, H, W, C)."""

    mean: Tensor
    sigma: Tensor


class PerChannel(NamedTuple):
    """A normalisation that is the same for all pixels: y = gain (x - mean) + shift."""

    mean: Tensor
    gain: Tensor
    shift: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """(B, h, W, C), computed no narrower than float32 -> the same in x's dtype."""
        return torch.addcmul(self.shift, x - self.mean, self.gain).to(x.dtype)


class Norm(nn.Module):
    """No normalisation at all (`none`), and the protocol that the other schemes fill in."""

    title: ClassVar[str] = "norm-free"
    """In tables and on pages."""
    default_eps: ClassVar[float] = LN_EPS
    per_token: ClassVar[bool] = False
    """Every pixel by itself, which is no homothety (Proposition 1); with such norms the paper finds
    features that grow while a network trains."""
    holistic: ClassVar[bool] = False
    """As the paper's own two: one mean and one sigma for the whole image, parameters called gamma
    and beta, and networks that take mean and standard deviation from their input (`mean+std`)."""
    outside: ClassVar[type[Norm] | None] = None
    """What stands outside residual branches (after the patch embedding, at the end) instead."""
    removes_scale: ClassVar[bool] = True
    """normalize(x / K) = normalize(x) but for eps, so a branch sees nothing of a smaller stream."""
    carries_scale: ClassVar[bool] = False
    """rescale() divides a branch's output by K where the stream is, with `stream_powers`."""
    stream_powers: ClassVar[Mapping[str, int]] = {}
    """By the name of a parameter or buffer: the power of K it is multiplied by, where the stream is
    divided by K."""

    def __init__(self, dim: int, eps: float | None = None) -> None:
        super().__init__()
        self.dim, self.eps = dim, self.default_eps if eps is None else eps

    def statistics(self, x: Tensor) -> Statistics | None:
        """What `normalize` must know of the whole map x (B, H, W, C); None if nothing."""
        return None

    def normalize(self, x: Tensor, stats: Statistics | None) -> Tensor:
        """Normalised rows (B, h, W, C) of the map that `stats` describes, in x's dtype."""
        return x

    def per_channel(self, stats: Statistics | None) -> PerChannel | None:
        """What `normalize` does to each channel; None where it is more than that.

        Engines take it instead of `normalize`: who overrides one overrides the other.
        """
        return None

    def rescale(self, y: Tensor, stats: Statistics | None) -> Tensor:
        """The branch's output y (B, h, W, C), scaled before it joins the residual stream."""
        return y

    def residual(self, x: Tensor, branch: Callable[[Tensor], Tensor]) -> Tensor:
        """x + rescale(branch(normalize(x))), for a map held in one piece, in x's dtype."""
        stats = self.statistics(x)
        return (x + self.rescale(branch(self.normalize(x, stats)), stats)).to(x.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise a map held in one piece."""
        return self.normalize(x, self.statistics(x))

    def extra_repr(self) -> str:
        return f"{self.dim}, eps={self.eps:g}"


class NoNorm(Norm):
    """`none`: the branch reads the stream as it is."""

    removes_scale = False


class LayerNorm(Norm):
    """`ln`: every pixel by its own mean and sigma over channels (Proposition 1's culprit)."""

    title, per_token = "LayerNorm", True

    def __init__(self, dim: int, eps: float | None = None) -> None:
        super().__init__(dim, eps)
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def normalize(self, x: Tensor, stats: Statistics | None) -> Tensor:
        return F.layer_norm(x, (self.dim,), self.weight, self.bias, self.eps)


class RMSNorm(Norm):
    """`rms`: every pixel by its own root mean square over channels; no mean, no bias."""

    title, per_token = "RMSNorm", True

    def __init__(self, dim: int, eps: float | None = None) -> None:
        super().__init__(dim, eps)
        self.weight = nn.Parameter(torch.ones(dim))

    def normalize(self, x: Tensor, stats: Statistics | None) -> Tensor:
        wide = x if x.dtype == torch.float64 else x.float()
        return F.rms_norm(wide, (self.dim,), self.weight.to(wide.dtype), self.eps).to(x.dtype)


class LayerScale(LayerNorm):
    """`layerscale`: LayerNorm before the branch, a factor per channel (1e-5 at first) after it.

    The paper names the scheme and no initial value; 1e-5 is CaiT's for deep networks.
    """

    title, outside = "LayerScale", LayerNorm  # there is no branch whose output it could scale
    carries_scale, stream_powers = True, {"scale": -1}

    def __init__(self, dim: int, eps: float | None = None) -> None:
        super().__init__(dim, eps)
        self.scale = nn.Parameter(torch.full((dim,), 1e-5))

    def rescale(self, y: Tensor, stats: Statistics | None) -> Tensor:
        return y * self.scale


class ReZero(NoNorm):
    """`rezero`: no norm; the branch enters through one learned scalar that starts at 0."""

    title, outside = "ReZero", NoNorm

    def __init__(self, dim: int, eps: float | None = None) -> None:
        super().__init__(dim, eps)
        self.alpha = nn.Parameter(torch.zeros(()))

    def rescale(self, y: Tensor, stats: Statistics | None) -> Tensor:
        return y * self.alpha


class InstanceNorm(Norm):
    """`in`: mean and sigma per image and channel, over all pixels; affine per channel."""

    title = "InstanceNorm"
    dims: tuple[int, ...] = (1, 2)

    def __init__(self, dim: int, eps: float | None = None) -> None:
        super().__init__(dim, eps)
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def statistics(self, x: Tensor) -> Statistics | None:
        mean, variance = moments(x, self.dims)
        return Statistics(mean, torch.sqrt(variance + self.eps))

    def per_channel(self, stats: Statistics | None) -> PerChannel:
        return standardizing(stats, self.weight, self.bias)

    def normalize(self, x: Tensor, stats: Statistics | None) -> Tensor:
        return self.per_channel(stats)(x)


class BatchNorm(InstanceNorm):
    """`bn`: mean and sigma per channel, over all pixels of the batch, in all processes together.

    In eval mode the running averages stand in for them. These are updated in the backward pass:
    it runs once per step, also where gradient checkpointing runs the forward twice. Where nothing
    before the norm learns, no gradient comes back, and the forward updates them.
    """

    title = "BatchNorm"
    stream_powers: ClassVar[Mapping[str, int]] = {"running_mean": -1, "running_var": -2}
    dims = (0, 1, 2)
    momentum = 0.1
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, dim: int, eps: float | None = None) -> None:
        super().__init__(dim, eps)
        self.register_buffer("running_mean", torch.zeros(dim))
        self.register_buffer("running_var", torch.ones(dim))

    def statistics(self, x: Tensor) -> Statistics | None:
        if not self.training:
            return Statistics(self.running_mean, torch.sqrt(self.running_var + self.eps))
        mean, variance, processes = over_processes(*moments(x, self.dims))
        if torch.is_grad_enabled():
            count = x.numel() // self.dim * processes
            unbiased = variance.detach() * (count / max(count - 1, 1))
            seen = mean.detach()
            if mean.requires_grad:
                mean.register_hook(  # type: ignore[no-untyped-call]
                    lambda gradient: self._update(seen, unbiased)
                )
            else:  # nothing before this norm learns
                self._update(seen, unbiased)
        return Statistics(mean, torch.sqrt(variance + self.eps))

    def _apply(self, fn: Any, recurse: bool = True) -> BatchNorm:
        """Moves the averages along, but never to half precision, which would overflow."""
        wide = self.running_mean, self.running_var
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.running_mean.dtype.itemsize < 4:
            self.running_mean, self.running_var = (t.to(self.running_mean.device) for t in wide)
        return self

    @torch.no_grad()
    def _update(self, mean: Tensor, variance: Tensor) -> None:
        self.running_mean.lerp_(mean.flatten().to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(variance.flatten().to(self.running_var.dtype), self.momentum)


class LNStar(Norm):
    """`ln*`: spatially holistic LayerNorm. One mean and one sigma for the whole image:

        mu = E_{l,c}[x]    sigma^2 = E_{l,c}[(x - mu)^2]    y = gamma (x - mu) / sigma + beta

    with eps inside sigma's root. Before gamma and beta it maps every difference x_l - x_k to
    (x_l - x_k) / sigma: a homothety, so the picture's structure stays (Proposition 2).
    """

    title, default_eps, holistic = "LN*", HOLISTIC_EPS, True

    def __init__(self, dim: int, eps: float | None = None) -> None:
        super().__init__(dim, eps)
        self.gamma = nn.Parameter(torch.ones(dim))
        self.beta = nn.Parameter(torch.zeros(dim))

    def statistics(self, x: Tensor) -> Statistics | None:
        mean, variance = moments(x, (1, 2, 3))
        return Statistics(mean, torch.sqrt(variance + self.eps))

    def per_channel(self, stats: Statistics | None) -> PerChannel:
        return standardizing(stats, self.gamma, self.beta)

    def normalize(self, x: Tensor, stats: Statistics | None) -> Tensor:
        return self.per_channel(stats)(x)


class Affine(Norm):
    """Where i-LN would stand outside a residual branch: y = gamma x + beta, per channel.

    Normalising and multiplying by the same sigma at once would be the identity anyway.
    """

    default_eps, stream_powers = HOLISTIC_EPS, {"gamma": 1}

    def __init__(self, dim: int, eps: float | None = None) -> None:
        super().__init__(dim, eps)
        self.gamma = nn.Parameter(torch.ones(dim))
        self.beta = nn.Parameter(torch.zeros(dim))

    def normalize(self, x: Tensor, stats: Statistics | None) -> Tensor:
        return torch.addcmul(self.beta, x, self.gamma).to(x.dtype)


class ILN(LNStar):
    """`i-ln`: LN*, and the branch multiplied by the sigma that was divided out:

        B(x) = x + sigma f(LN*(x))

    so what a block adds grows in proportion to what it reads. No parameter is added; sigma is
    neither detached nor clamped.
    """

    title, outside, carries_scale = "i-LN", Affine, True

    def rescale(self, y: Tensor, stats: Statistics | None) -> Tensor:
        assert stats is not None
        return y * stats.sigma

    def residual(self, x: Tensor, branch: Callable[[Tensor], Tensor]) -> Tensor:
        """The same as every norm's, with a backward by hand: training asks for little memory."""
        if not torch.is_grad_enabled():
            return super().residual(x, branch)
        x, normal, sigma = open_branch(x, self.gamma, self.beta, self.eps)
        return close_branch(x, branch(normal), sigma)


def standardizing(stats: Statistics | None, gain: Tensor, shift: Tensor) -> PerChannel:
    """gain (x - mean) / sigma + shift."""
    assert stats is not None
    wide = stats.sigma.dtype
    return PerChannel(stats.mean, gain.to(wide) / stats.sigma, shift.to(wide))


NORMS: dict[str, type[Norm]] = {
    "ln": LayerNorm,
    "rms": RMSNorm,
    "layerscale": LayerScale,
    "rezero": ReZero,
    "none": NoNorm,
    "in": InstanceNorm,
    "bn": BatchNorm,
    "ln*": LNStar,
    "i-ln": ILN,
}
"""The nine schemes, to be placed before a residual branch."""


def kind_inside(norm: str) -> type[Norm]:
    """The scheme of that name.

    Raises:
        InputError: for a name that is not in `NORMS`.
    """
    if norm not in NORMS:
        raise InputError(f"no norm {norm!r}; known: {', '.join(NORMS)}")
    return NORMS[norm]


def kind_outside(norm: str) -> type[Norm]:
    """What takes a scheme's place outside residual branches.

    Raises:
        InputError: for a name that is not in `NORMS`.
    """
    kind = kind_inside(norm)
    return kind.outside or kind
