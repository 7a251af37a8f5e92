"""Parameters that are drawn anew for each picture, or fixed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Range:
    """All values from `low` to `high`, both included; a single value where they are equal."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:g}" if self.low == self.high else f"{self.low:g}..{self.high:g}"

    def draw(self, rng: np.random.Generator) -> float:
        """Any of them, equally likely. A fixed value takes no random number."""
        return self.low if self.low == self.high else float(rng.uniform(self.low, self.high))

    def draw_whole(self, rng: np.random.Generator) -> int:
        """Any whole number among them."""
        return int(rng.integers(round(self.low), round(self.high) + 1))

    def fixed(self, values: Mapping[str, float]) -> dict[str, Range]:
        """Of named values those that lie inside, as ranges; else the middle, under no name."""
        inside = {n: Range(v, v) for n, v in values.items() if self.low <= v <= self.high}
        return inside or {"": self.middle}

    @property
    def middle(self) -> Range:
        """Its middle, fixed; a whole number where both ends are."""
        whole = isinstance(self.low, int) and isinstance(self.high, int)
        value = (self.low + self.high) // 2 if whole else (self.low + self.high) / 2
        return Range(value, value)


@dataclass(frozen=True)
class Within:
    """The bounds of a field: `Annotated[Range, Within(0, 255)]` takes a number or [low, high]."""

    low: float
    high: float
    whole: bool = False

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self._range,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda r: r.low if r.low == r.high else [r.low, r.high]
            ),
        )

    def _range(self, value: Any) -> Range:
        ends = (value.low, value.high) if isinstance(value, Range) else value
        ends = tuple(ends) if isinstance(ends, list | tuple) else (ends, ends)
        kinds = int if self.whole else int | float
        if len(ends) != 2 or not all(isinstance(e, kinds) and type(e) is not bool for e in ends):
            what = "whole number" if self.whole else "number"
            raise PydanticCustomError("range", f"must be a {what} or two of them, [low, high]")
        low, high = ends
        if low > high:
            raise PydanticCustomError("range", "the first number must not exceed the second")
        if not (self.low <= low and high <= self.high):  # (also refuses NaN)
            raise PydanticCustomError("range", f"must be within {self.low:g}..{self.high:g}")
        return Range(low, high)
