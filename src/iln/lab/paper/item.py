"""What every figure and table of the paper has in common: a name, a claim, runs, and a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from iln.lab.paper.page import Page
from iln.lab.paper.scale import Scale
from iln.lab.paper.store import Run, Store
from iln.lab.training import Recipe

Arms = Mapping[Any, list[Run]]
"""The finished runs of what is compared, one a seed, by norm or by what else tells arms apart."""


@dataclass(frozen=True)
class Item:
    """A figure or table.

    names: what it answers to; the first one is its own. shows: what the paper shows there, in
    our words. arms: all that has to be trained, by arm a recipe a seed. report: reads the
    finished runs, by the same arms, and fills the page.
    """

    names: tuple[str, ...]
    title: str
    shows: str
    arms: Callable[[Scale], Mapping[Any, Sequence[Recipe]]]
    report: Callable[[Scale, Store, Page, Arms], None]

    def recipes(self, scale: Scale) -> list[Recipe]:
        """Those of all arms."""
        return [recipe for recipes in self.arms(scale).values() for recipe in recipes]
