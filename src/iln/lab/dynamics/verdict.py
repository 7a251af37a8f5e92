"""From numbers to plain words: what is wrong with a network, if anything, and what to do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from iln.lab.dynamics.diagnosis import Diagnosis
from iln.lab.dynamics.formatting import decibel, number, share
from iln.lab.dynamics.layer_sqnr import LayerNoise
from iln.lab.dynamics.measures import BlockMeasures
from iln.norm import NORMS
from iln.restoration.half_precision import PrecisionRun

FP16_END = 65504.0
"""The largest number that float16 has."""
HEADROOM = 8.0
"""Features may be this much larger on another picture before a warning is due."""
VISIBLE = 50.0
"""dB: below that a half precision changes 8-bit pixels here and there; 8-bit rounding alone is
58.9 dB."""
DOMINATES = 0.5
"""Share of the energy with which one channel drowns the rest."""
GROWS = 100.0
"""Mean square, and growth over depth, from which a stream counts as growing."""
NOISY = 20.0
"""dB of a layer: noise of a tenth of the signal's size."""

Level = Literal["good", "warning", "bad"]


@dataclass(frozen=True)
class Finding:
    """One thing that the numbers say.

    Attributes:
        topic: in a word or two.
        text: sentences.
    """

    level: Level
    topic: str
    text: str


@dataclass(frozen=True)
class Verdict:
    """What the numbers mean.

    Attributes:
        headline: one or two sentences.
        findings: all that was looked at, the worst first.
    """

    headline: str
    findings: tuple[Finding, ...]

    @property
    def level(self) -> Level:
        """Of the worst finding."""
        return self.findings[0].level


def judge(found: Diagnosis) -> Verdict:
    """What these numbers mean. The same numbers always give the same words."""
    if found.float32.nonfinite:
        broken = Finding("bad", "float32", _broken(found))
        return Verdict(broken.text, (broken,))
    said = {
        "fp16": _half(found),
        "channels": _channels(found),
        "magnitude": _magnitude(found),
        "bf16": _bf16(found),
        "int8, int4" if _quantised(found) else "int8": _integers(found),
    }
    order = {"bad": 0, "warning": 1, "good": 2}
    findings = [Finding(level, topic, text) for topic, (level, text) in said.items()]
    ranked = tuple(sorted(findings, key=lambda finding: order[finding.level]))
    headline = _healthy(found) if ranked[0].level == "good" else ranked[0].text
    return Verdict(headline, ranked)


def compare(names: Sequence[str], found: Sequence[Diagnosis]) -> tuple[str, ...]:
    """Sentences about two networks that saw the same pictures."""
    (one, two), (a, b) = names, found
    broken = [name for name, d in zip(names, found, strict=True) if d.float32.nonfinite]
    if broken:
        which = "Both are" if len(broken) == 2 else f"{broken[0]} is"
        return (f"{which} broken even in float32, so there is little to compare.",)
    halves = f"In fp16 {one} {_outcome(a.float16)}, and {two} {_outcome(b.float16)}."
    tops = [peak(d) for d in (a, b)]
    sizes = f"The largest value inside is {number(tops[0])} in {one} and {number(tops[1])} in {two}"
    if all(math.isfinite(top) and top > 0 for top in tops) and max(tops) >= 2 * min(tops):
        larger = one if tops[0] > tops[1] else two
        sizes += f": {number(max(tops) / min(tops))} times larger in {larger}"
    strongest = [_strongest(d)[1] for d in (a, b)]
    channels = (
        f"The strongest channel carries up to {share(strongest[0].top_share)} of a block's energy "
        f"in {one} and {share(strongest[1].top_share)} in {two}."
    )
    noise = [median_sqnr(d) for d in (a, b)]
    integers = (
        f"Layers keep a median of {noise[0][0]:.0f} dB in int8 and {noise[0][1]:.0f} dB in int4 "
        f"in {one}, {noise[1][0]:.0f} and {noise[1][1]:.0f} dB in {two}."
    )
    return halves, f"{sizes}.", channels, integers


def peak(found: Diagnosis) -> float:
    """The largest finite |x| that any module gives in float32."""
    return max(found.peaks.values(), default=math.nan)


def median_sqnr(found: Diagnosis) -> tuple[float, float]:
    """Over layers, in dB: W8A8 and W4A4; NaN if no layer has a number."""
    pairs = [(layer.w8a8, layer.w4a4) for layer in found.layers.values()]
    known = [pair for pair in pairs if not any(map(math.isnan, pair))]
    if not known:
        return math.nan, math.nan
    eights, fours = zip(*known, strict=True)
    return median(eights), median(fours)


# --- findings ------------------------------------------------------------------------------


def _broken(found: Diagnosis) -> str:
    run = found.float32
    if run.weights:
        cause = f"the weight {_first(run.weights)} holds infinities or NaN"
    else:
        cause = f"the first output that is not finite is that of {run.first_module}"
    return (
        f"Broken even in float32: {run.nonfinite} of {run.values} output values are not finite; "
        f"{cause}. No precision mends that: take an earlier checkpoint, or get the file again."
    )


def _first(names: Sequence[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _half(found: Diagnosis) -> tuple[Level, str]:
    run, top, psnr = found.float16, peak(found), _psnr(found.float16)
    if run.first_module is not None or run.nonfinite or run.weights:
        where = run.first_module or (*run.weights, "the output")[0]
        weights = f" Weights do not fit either: {_first(run.weights)}." if run.weights else ""
        return "bad", (
            f"This {NORMS[found.norm].title} network overflows fp16 at {where} (largest value "
            f"{number(top)}; fp16 ends at 65504).{weights} {_instead(found)}"
        )
    if top * HEADROOM > FP16_END:
        return "warning", (
            f"fp16 is close to its end: the largest value is {number(top)} of 65504, so another "
            f"picture may overflow. {_instead(found)}"
        )
    if psnr < VISIBLE:
        return "warning", (
            f"fp16 differs from float32 by {decibel(psnr)} PSNR, which can be seen in 8-bit "
            "pictures, though nothing overflows. Use float32."
        )
    return "good", (
        f"fp16 works: {decibel(psnr)} PSNR against float32, the largest value is {number(top)}."
    )


def _instead(found: Diagnosis) -> str:
    """What to do where fp16 fails."""
    bf16 = found.bfloat16
    if bf16.nonfinite or bf16.psnr is None:
        advice = "Use float32"
    elif bf16.psnr < VISIBLE:
        advice = f"Use float32 (bf16 keeps {decibel(bf16.psnr)})"
    else:
        advice = "Use bf16 or float32"
    stream = max((block.max_abs for block in found.blocks.values()), default=math.nan)
    # Elsewhere than in the stream, or where the norm sees its scale, a smaller one is no help.
    if stream * HEADROOM > FP16_END and NORMS[found.norm].per_token:
        advice += "; `iln rescue` makes it safe for fp16"
    return f"{advice}."


def _bf16(found: Diagnosis) -> tuple[Level, str]:
    run, psnr = found.bfloat16, _psnr(found.bfloat16)
    if run.nonfinite:
        return "bad", (
            f"bf16 gives {run.nonfinite} of {run.values} values that are not finite, first at "
            f"{run.first_module or 'the output'}."
        )
    if psnr < VISIBLE:
        return "warning", (
            f"bf16 differs from float32 by {decibel(psnr)} PSNR, which can be seen in 8-bit "
            "pictures."
        )
    return "good", f"bf16 works: {decibel(psnr)} PSNR against float32."


def _channels(found: Diagnosis) -> tuple[Level, str]:
    name, block = _strongest(found)
    if not block.top_share >= DOMINATES:
        return "good", (
            f"No channel dominates: the strongest carries {share(block.top_share)} of the energy "
            f"(block {name}); an even share would be {share(1 / block.channels)}."
        )
    names = list(found.blocks)
    many = sum(b.top_share >= DOMINATES for b in found.blocks.values())
    place = "the last block" if name == names[-1] else f"block {name}"
    rest = f" One channel has more than half in {many} of {len(names)} blocks." if many > 1 else ""
    return "warning", (
        f"Channel {block.top_channel} carries {share(block.top_share)} of the energy in {place}."
        f"{rest} Coarse numbers lose the others first: keep the stream in float32 or bf16."
    )


def _magnitude(found: Diagnosis) -> tuple[Level, str]:
    squares = [block.mean_square for block in found.blocks.values()]
    finite = [square for square in squares if math.isfinite(square)]
    low, high = min(finite, default=math.nan), max(finite, default=math.nan)
    if not high >= GROWS:
        text = f"Features stay calm: mean square {number(low)} to {number(high)} over depth."
        return "good", text
    first, last = squares[0], squares[-1]
    grown = math.isfinite(last / first) and last >= GROWS * first if first else False
    growth = f", from {number(first)} in the first block to {number(last)} in the last"
    text = f"Features are large: mean square up to {number(high)}{growth if grown else ''}."
    return "warning", text


def _integers(found: Diagnosis) -> tuple[Level, str]:
    known = _quantised(found)
    if not known:
        return "warning", "No layer has a signal that could be quantised."
    worst = min(known, key=lambda name: known[name].w8a8)
    eight, four = median_sqnr(found)
    bad = sum(layer.w8a8 < NOISY for layer in known.values())
    text = (
        f"int8 keeps {eight:.0f} dB in the median layer, {known[worst].w8a8:.0f} dB in the worst "
        f"({worst}); int4 keeps {four:.0f} dB."
    )
    if not bad:
        return "good", text
    layers = "layer falls" if bad == 1 else "layers fall"
    return "warning", f"{text} {bad} {layers} below {NOISY:.0f} dB in int8: leave them in float."


def _quantised(found: Diagnosis) -> dict[str, LayerNoise]:
    """The layers that have a signal."""
    return {name: layer for name, layer in found.layers.items() if not math.isnan(layer.w8a8)}


def _healthy(found: Diagnosis) -> str:
    last = list(found.blocks.values())[-1].mean_square
    return (
        f"Healthy: features stay at mean square {number(last)}, fp16 differs from float32 by "
        f"{decibel(_psnr(found.float16))}."
    )


def _psnr(run: PrecisionRun) -> float:
    return math.nan if run.psnr is None else run.psnr


def _strongest(found: Diagnosis) -> tuple[str, BlockMeasures]:
    """The block whose strongest channel has the largest share; the last one of equals."""
    known = [(n, b) for n, b in found.blocks.items() if not math.isnan(b.top_share)]
    return max(reversed(known or list(found.blocks.items())), key=lambda entry: entry[1].top_share)


def _outcome(run: PrecisionRun) -> str:
    if run.nonfinite:
        return f"loses {share(run.nonfinite / run.values)} of its output to infinities and NaN"
    return f"keeps {decibel(_psnr(run))} PSNR"
