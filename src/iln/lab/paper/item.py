"""What every figure and table of the paper has in common: a name, a claim, runs, and a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from iln.lab.paper.page import Page
from iln.lab.paper.scale import Scale
from iln.lab.paper.store import Store
from iln.lab.training import Recipe


@dataclass(frozen=True)
class Item:
    """A figure or table.

    names: what it answers to; the first one is its own. shows: what the paper shows there, in
    our words. recipes: all that has to be trained. report: reads the finished runs, which the
    store hands out by their recipes, and fills the page.
    """

    names: tuple[str, ...]
    title: str
    shows: str
    recipes: Callable[[Scale], Sequence[Recipe]]
    report: Callable[[Scale, Store, Page], None]
