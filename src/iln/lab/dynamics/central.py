"""Central moments of very many values, a piece at a time."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor


class Central(NamedTuple):
    """How many values, their mean, and the sums of (x - mean)^2, ^3 and ^4.

    Two of them add up to that of all their values: Pébay, "Formulas for robust, one-pass parallel
    computation of covariances and arbitrary-order statistical moments" (2008), eqs. 2.1 and 3.1.
    Nothing cancels beside a large mean, as it would in sums of plain powers.
    """

    values: int = 0
    mean: float = 0.0
    m2: float = 0.0
    m3: float = 0.0
    m4: float = 0.0

    @classmethod
    def of(cls, values: Tensor) -> Central:
        """Of finite float64 values of any shape."""
        if not values.numel():
            return cls()
        mean = values.mean()
        centred = values - mean
        squares = centred.square()
        sums = (squares.sum(), centred.mul_(squares).sum(), squares.square_().sum())
        return cls(values.numel(), mean.item(), *(s.item() for s in sums))

    def join(self, other: Central) -> Central:
        """Of the values of both."""
        if not self.values or not other.values:
            return other if not self.values else self
        a, b = float(self.values), float(other.values)
        n = a + b
        delta = other.mean - self.mean
        square = delta * delta  # products: unlike powers, they overflow to infinity
        m2 = self.m2 + other.m2 + square * a * b / n
        m3 = self.m3 + other.m3 + square * delta * a * b * (a - b) / (n * n)
        m3 += 3 * delta * (a * other.m2 - b * self.m2) / n
        m4 = self.m4 + other.m4 + square * square * a * b * (a * a - a * b + b * b) / (n * n * n)
        m4 += 6 * square * (a * a * other.m2 + b * b * self.m2) / (n * n)
        m4 += 4 * delta * (a * other.m3 - b * self.m3) / n
        return Central(self.values + other.values, self.mean + delta * b / n, m2, m3, m4)

    @property
    def deviation(self) -> float:
        """sqrt(E[(x - mean)^2]); NaN of nothing."""
        return math.sqrt(self.m2 / self.values) if self.values else math.nan

    @property
    def kurtosis(self) -> float:
        """E[(x - mean)^4] / E[(x - mean)^2]^2: 3 for a Gaussian; NaN where nothing varies."""
        return self.values * self.m4 / self.m2 / self.m2 if self.m2 else math.nan
