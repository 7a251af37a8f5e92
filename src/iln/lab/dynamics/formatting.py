"""Numbers as people read them."""

from __future__ import annotations

import math


def number(value: float) -> str:
    """Three digits: 0.0326, 1.21, 65500, 2.3e5; `undefined` for NaN."""
    if math.isnan(value):
        return "undefined"
    if math.isinf(value) or value == 0:
        return "infinite" if value else "0"
    if 1e-3 <= abs(value) < 1e5:
        rounded = float(f"{value:.3g}")
        return f"{rounded:.10g}"
    digits, _, power = f"{value:.1e}".partition("e")
    return f"{digits}e{int(power)}"


def decibel(value: float) -> str:
    """`82 dB`; `inf dB` where nothing differs."""
    return "undefined" if math.isnan(value) else f"{value:.0f} dB"


def sqnr(value: float, endless: str = "no loss") -> str:
    """`42.1 dB`; a dash for NaN.

    Args:
        endless: where nothing differs.
    """
    if math.isnan(value):
        return "–"
    return endless if math.isinf(value) else f"{value:.1f} dB"


def hundredths(value: float, undefined: str = "–") -> str:
    """`0.97`, never `-0.00`; for NaN a word of one's own, or a dash."""
    return undefined if math.isnan(value) else f"{round(value, 2) + 0.0:.2f}"


def share(value: float) -> str:
    """`96 %`, `3.2 %`; `undefined` for NaN."""
    if math.isnan(value):
        return "undefined"
    return f"{100 * value:.{0 if value >= 0.0995 or value == 0 else 1}f} %"
