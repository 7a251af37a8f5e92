"""What is measured of a block's output x: definitions, and sums that pieces add up to.

x is a map (B, H, W, C): tokens l = 1..L are all pixels of all B pictures, c the channels. E is a
mean, over what its index says.

    mean_square       E_{l,c}[x^2]                        the paper's feature magnitude (Sec. 3)
    max_abs           max_{l,c} |x|                       the paper's, in its table of remedies
    entropy           H = -sum_c p_c ln p_c, in nats      the paper's channel-wise entropy (Sec. 3)
                      p_c = E_l[x_c^2] / sum_k E_l[x_k^2]
    relative_entropy  H / ln C                            1: all channels alike, 0: one is all
    top_share         max_c p_c, of channel top_channel
    kurtosis          E[(x - E[x])^4] / E[(x - E[x])^2]^2, over l and c; 3 for a Gaussian
    token_sigma       E_l[sigma_l],  sigma_l^2 = E_c[(x_lc - E_c[x_lc])^2]
    token_sigma_cv    the standard deviation of sigma_l over l, divided by token_sigma
    sigma1, sigma2    what norm1 and norm2 of the block divide by, where that is one number per
                      picture (ln*, i-ln): sqrt(Var_{l,c}[x] + eps), mean over pictures
    gradient_norm     Euclidean norm of the loss's gradient with respect to the block's parameters
    update_ratio      |w' - w| / |w|: w all the block's parameters, w' after the optimiser's step

token_sigma_cv is what per-token LayerNorm divides away and i-LN keeps: the differences of scale
between pixels. "The paper" is Lee et al., "Analyzing the Training Dynamics of Image Restoration
Transformers" (ICLR 2026); what it does not name is ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor

from iln.lab.dynamics.central import Central

PIECE = 1 << 18
"""Values per piece on a CPU: 2 MiB of float64, so that all passes over it stay in cache."""
LARGE_PIECE = 1 << 22
"""Values per piece on an accelerator, where starting a kernel costs more than memory does."""


@dataclass(frozen=True)
class BlockMeasures:
    """Of one block; the module says what each number is.

    All are over the finite values; `nonfinite` says how many were not. NaN: not defined (nothing
    finite, or nothing that varies). None: not to be had (per-token norms have no sigma1; outside
    training there is no gradient).
    """

    tokens: int
    channels: int
    nonfinite: int
    mean_square: float
    max_abs: float
    entropy: float
    relative_entropy: float
    top_share: float
    top_channel: int
    kurtosis: float
    token_sigma: float
    token_sigma_cv: float
    sigma1: float | None = None
    sigma2: float | None = None
    gradient_norm: float | None = None
    update_ratio: float | None = None

    def as_json(self) -> dict[str, float | None]:
        """For `json.dumps`: None also where a number is not finite, which JSON cannot say."""
        return {k: v if v is None or math.isfinite(v) else None for k, v in asdict(self).items()}


@dataclass(frozen=True)
class MapSums:
    """Sums over maps of one block, in float64; those of two sets of pictures join to one.

    Attributes:
        values: of all finite values.
        sigmas: of sigma_l, of tokens that are finite throughout.
        squares: per channel (C,), the sum of x^2 over finite values.
        counts: per channel (C,), how many values are finite.
        largest: the largest |x|.
        tokens: how many pixels all maps have.
    """

    values: Central
    sigmas: Central
    squares: Tensor
    counts: Tensor
    largest: float
    tokens: int

    @classmethod
    def of(cls, x: Tensor) -> MapSums:
        """Of a map (B, H, W, C) of any floating dtype and size, in bounded memory."""
        total: MapSums | None = None
        for tokens in token_pieces(x.detach()):
            part = cls._of_piece(tokens)
            total = part if total is None else total.join(part)
        assert total is not None
        return total

    @classmethod
    def _of_piece(cls, x: Tensor) -> MapSums:
        """Of float64 tokens (n, C)."""
        values, whole, counts = x, x, x.new_full((x.shape[1],), x.shape[0])
        # Sums of float32 do not overflow float64, so one number tells whether all are finite.
        if not math.isfinite(x.sum().item()):
            finite = torch.isfinite(x)
            values, whole, counts = x[finite], x[finite.all(1)], finite.sum(0)
            x = torch.where(finite, x, 0)
        centred = whole - whole.mean(1, keepdim=True)
        return cls(
            Central.of(values),
            Central.of(centred.square_().mean(1).sqrt_()),
            x.square().sum(0).cpu(),
            counts.to("cpu", torch.float64),
            x.abs().max().item(),
            x.shape[0],
        )

    def join(self, other: MapSums) -> MapSums:
        """Of the maps of both."""
        return MapSums(
            self.values.join(other.values),
            self.sigmas.join(other.sigmas),
            self.squares + other.squares,
            self.counts + other.counts,
            max(self.largest, other.largest),
            self.tokens + other.tokens,
        )

    @property
    def energy(self) -> Tensor:
        """E_l[x_c^2] (C,) float64; 0 for a channel without a finite value."""
        return self.squares / self.counts.clamp(min=1)


@dataclass(frozen=True)
class BlockSums:
    """A block's maps, and the sigmas of its two norms where they have one per picture."""

    maps: MapSums
    sigma1: Central = field(default_factory=Central)
    sigma2: Central = field(default_factory=Central)

    def join(self, other: BlockSums) -> BlockSums:
        """Of the pictures of both."""
        return BlockSums(
            self.maps.join(other.maps),
            self.sigma1.join(other.sigma1),
            self.sigma2.join(other.sigma2),
        )

    def measures(
        self, gradient_norm: float | None = None, update_ratio: float | None = None
    ) -> BlockMeasures:
        """The numbers, with the two that the map does not tell."""
        maps = self.maps
        finite = int(maps.counts.sum())
        channels = len(maps.counts)
        share = shares(maps.energy)
        entropy = torch.special.entr(share).sum().item()
        sigmas = maps.sigmas
        return BlockMeasures(
            tokens=maps.tokens,
            channels=channels,
            nonfinite=maps.tokens * channels - finite,
            mean_square=maps.squares.sum().item() / finite if finite else math.nan,
            max_abs=maps.largest if finite else math.nan,
            entropy=entropy,
            relative_entropy=entropy / math.log(channels) if channels > 1 else math.nan,
            top_share=share.max().item(),
            top_channel=int(share.argmax()),
            kurtosis=maps.values.kurtosis,
            token_sigma=sigmas.mean if sigmas.values else math.nan,
            token_sigma_cv=sigmas.deviation / sigmas.mean if sigmas.mean else math.nan,
            sigma1=self.sigma1.mean if self.sigma1.values else None,
            sigma2=self.sigma2.mean if self.sigma2.values else None,
            gradient_norm=gradient_norm,
            update_ratio=update_ratio,
        )


def shares(energy: Tensor) -> Tensor:
    """p_c (C,) of E_l[x_c^2] (C,), summing to 1; NaN where all energy is 0."""
    return energy / energy.sum()


def token_pieces(x: Tensor) -> Iterator[Tensor]:
    """All tokens of x (B, H, W, C), some at a time, as (n, C) in float64."""
    size = PIECE if x.device.type == "cpu" else LARGE_PIECE
    channels = x.shape[3]
    for images in torch.split(x, max(1, size // max(1, x[0].numel()))):
        for rows in torch.split(images, max(1, size // max(1, images[:, :1].numel())), dim=1):
            for tokens in torch.split(rows.reshape(-1, channels), max(1, size // channels)):
                # Metal has no float64.
                yield (tokens.cpu() if x.device.type == "mps" else tokens).to(torch.float64)
