"""Chart axes: scales and tick labels."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Axis:
    """From `low` to `high`, both included; logarithmic or not.

    Attributes:
        ticks: values to write.
    """

    low: float
    high: float
    log: bool
    ticks: tuple[float, ...]

    def place(self, value: float) -> float:
        """0 at `low`, 1 at `high`; beyond them it stays there."""
        low, high, value = (self._bent(v) for v in (self.low, self.high, value))
        return min(1.0, max(0.0, (value - low) / (high - low)))

    def shows(self, value: float | None) -> bool:
        """Whether it is a number that this axis can place."""
        return value is not None and math.isfinite(value) and (value > 0 or not self.log)

    def _bent(self, value: float) -> float:
        return math.log10(max(value, 1e-300)) if self.log else value


def linear(values: Iterable[float | None], *, low: float | None = None) -> Axis:
    """Round numbers around the finite values, 0 to 1 without any; from `low` if given."""
    known = [v for v in values if v is not None and math.isfinite(v)] or [0.0, 1.0]
    bottom, top = min(known) if low is None else low, max(known)
    if top <= bottom:
        top = bottom + (abs(bottom) or 1.0)
    step = _round_step((top - bottom) / 4)
    first, last = math.floor(bottom / step + 1e-9), math.ceil(top / step - 1e-9)
    return Axis(first * step, last * step, False, tuple(i * step for i in range(first, last + 1)))


def logarithmic(values: Iterable[float | None]) -> Axis:
    """Powers of ten around the positive finite values; 1, 2, 5 where there is less than two."""
    known = [v for v in values if v is not None and math.isfinite(v) and v > 0] or [0.1, 1.0]
    low, high = math.log10(min(known)), math.log10(max(known))
    if high - low < 1.3:
        decades = range(math.floor(low) - 1, math.ceil(high) + 1)
        marks = [mark * 10.0**power for power in decades for mark in (1, 2, 5)]
        first = max(mark for mark in marks if mark <= min(known) * 1.000001)
        above = (mark for mark in marks if mark >= max(known) * 0.999999)
        last = next(above, 10.0 ** math.ceil(high))
        if first == last:
            last *= 2
        return Axis(first, last, True, tuple(mark for mark in marks if first <= mark <= last))
    first_power, last_power = math.floor(low), math.ceil(high)
    step = max(1, math.ceil((last_power - first_power) / 6))
    powers = range(first_power, last_power + 1, step)
    return Axis(10.0**first_power, 10.0**last_power, True, tuple(10.0**p for p in powers))


def written(value: float) -> str:
    """A tick: 0.01, 25, 10⁵."""
    if value and not 1e-3 <= abs(value) < 1e4:
        digits, _, power = f"{value:.0e}".partition("e")
        factor = "" if digits == "1" else f"{digits}·"
        return f"{factor}10{str(int(power)).translate(_SUPERSCRIPT)}"
    return f"{value:.4g}"


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
