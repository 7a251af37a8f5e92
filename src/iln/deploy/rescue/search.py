"""Choosing the power of two: by running the network in float16."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from iln.backbones import Backbone
from iln.backbones.residual_stream import divide_stream, group_of, stream_powers
from iln.errors import InputError
from iln.layers.nonfinite import FiniteWatch
from iln.restoration.half_precision import PrecisionRun, PrecisionTrial
from iln.restoration.precision import SAFE

ROOM = 13
"""The largest value seen is brought to 2^13 or below, an eighth of what float16 holds: other
pictures may have larger ones."""
TRIES = 8
"""So many exponents are tried, from the smallest that leaves that room."""
NEARLY = 1.0
"""dB by which float16 may be further from float32 if the stream is divided by less."""


@dataclass(frozen=True)
class Rescued:
    """A network whose stream is divided by powers of two, and what that did.

    Attributes:
        exponents: the power for each residual group; all the same wherever that is enough.
        peak: the largest |value| of the stream before, over all pictures, in float32.
        before: float16 against float32, of the network as it was.
        after: the same of the rescued network.
        difference: the largest |difference| of their float32 outputs, pixels from 0 to 1.
    """

    model: Backbone
    exponents: tuple[int, ...]
    peak: float
    before: PrecisionRun
    after: PrecisionRun
    difference: float

    @property
    def safe(self) -> bool:
        """Whether float16 is within `SAFE` dB of float32 now, and all finite."""
        return _safe(self.after)

    @property
    def in_steps(self) -> bool:
        """Whether groups differ, which only this package can compute."""
        return len(set(self.exponents)) > 1


@torch.no_grad()
def rescue(model: Backbone, images: Sequence[Tensor]) -> Rescued:
    """The network with its stream divided such that float16 holds it; the original stays.

    First one power of two for the whole stream is tried: the smallest that brings its largest value
    to 2^13 or below, or more where that brings float16 closer to float32. If that is not enough,
    because small and large features lie too far apart, each group gets its own.

    Args:
        images: each (1, C, H, W) in [0, 1], of the kind that the network is for; one at least.

    Raises:
        InputError: for a network that float16 holds as it is (within 50 dB), that gives numbers
            which are not finite in float32, or whose branches see the stream's scale.
    """
    given: object = images  # a tensor alone is easily given in place of a list
    if isinstance(given, Tensor) or not images:
        raise InputError("needs a list of one picture at least, each (1, C, H, W)")
    watch = _stream(model)
    with watch:
        outputs = [model(image) for image in images]
    if not all(bool(torch.isfinite(output).all()) for output in outputs):
        raise InputError("gives numbers that are not finite in float32; its weights are broken")
    before = _in_float16(model, images, outputs)
    if _safe(before):
        raise InputError(
            f"needs no rescue: float16 is within {before.psnr:.0f} dB of float32 as it is"
        )
    groups = len(model.layers)
    peaks = [0.0] * groups
    for name, peak in watch.peaks.items():
        group = group_of(name, groups)
        peaks[group] = max(peaks[group], peak)
    needed = [max(0, math.ceil(math.log2(peak)) - ROOM) if peak else 0 for peak in peaks]
    best = _best(model, images, outputs, [[max(needed) + i] * groups for i in range(TRIES)])
    if not _safe(best[1]) and len(set(needed)) > 1:
        stepwise = [[exponent + i for exponent in needed] for i in range(TRIES)]
        best = max(best, _best(model, images, outputs, stepwise), key=lambda b: _quality(b[1]))
    result = _divided(model, best[0])
    difference = max(
        float((result(image) - output).abs().max())
        for image, output in zip(images, outputs, strict=True)
    )
    return Rescued(result, tuple(best[0]), max(peaks), before, best[1], difference)


def _stream(model: Backbone) -> FiniteWatch:
    """Watches all that is part of the stream or is added to it."""
    modules = dict(model.named_modules())
    ends = {name.rpartition(".")[0] for name, power in stream_powers(model).items() if power == -1}
    groups = {f"layers.{name}": group for name, group in model.layers.named_children()}
    known = {name: modules[name] for name in ends if name.startswith("layers.")}
    return FiniteWatch({**model.blocks(), **groups, **known})


def _best(
    model: Backbone,
    images: Sequence[Tensor],
    outputs: Sequence[Tensor],
    candidates: Sequence[Sequence[int]],
) -> tuple[Sequence[int], PrecisionRun]:
    """The first of the candidates, smallest first, that is nearly as good as the best one: the
    smaller the stream, the more eps weighs beside it."""
    runs = [_in_float16(_divided(model, tried), images, outputs) for tried in candidates]
    enough = max(map(_quality, runs)) - NEARLY
    pairs = zip(candidates, runs, strict=True)
    return next(pair for pair in pairs if _quality(pair[1]) >= enough)


def _divided(model: Backbone, totals: Sequence[int]) -> Backbone:
    smaller = copy.deepcopy(model)
    divide_stream(smaller, totals)
    return smaller


def _quality(run: PrecisionRun) -> float:
    """The better, the higher: dB, or below 0 where something is not finite."""
    return -1.0 - run.nonfinite if run.nonfinite else run.psnr or 0.0


def _safe(run: PrecisionRun) -> bool:
    return _quality(run) >= SAFE


def _in_float16(
    model: Backbone, images: Sequence[Tensor], outputs: Sequence[Tensor]
) -> PrecisionRun:
    trial = PrecisionTrial(model, torch.float16)
    for image, output in zip(images, outputs, strict=True):
        trial(image, output)
    return trial.result()
