"""What every figure and table of the paper has in common: a name, a claim, runs, and a page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from iln.errors import InputError
from iln.lab.paper.drawings import draw_runs
from iln.lab.paper.page import Page
from iln.lab.paper.scale import Scale
from iln.lab.paper.statistics import MEASURES, all_above, show, test_sets, value
from iln.lab.paper.store import Run, Store
from iln.lab.training import Recipe


@dataclass(frozen=True)
class Item:
    """A figure or table.

    Attributes:
        names: what it answers to; the first one is its own.
        words: its title, and after an empty line what the paper shows there, in our words.
        arms: all that has to be trained, by norm or by what else tells arms apart, a recipe a seed.
        report: reads the finished runs and fills the page.
    """

    names: tuple[str, ...]
    words: str | None
    arms: Callable[[Scale], Mapping[Any, Sequence[Recipe]]]
    report: Callable[[Report], None]

    @property
    def title(self) -> str:
        return (self.words or "").partition(".\n")[0]

    @property
    def shows(self) -> str:
        words = " ".join((self.words or "").partition(".\n")[2].split())
        return words.removeprefix("The paper: ")

    def recipes(self, scale: Scale) -> list[Recipe]:
        """Those of all arms."""
        return [recipe for recipes in self.arms(scale).values() for recipe in recipes]


class Report(Page):
    """The page of an item, and what goes onto it.

    Attributes:
        sets: names of the scale's test sets.
    """

    def __init__(
        self, item: Item, scale: Scale, store: Store, folder: Path, *, overwrite: bool = False
    ) -> None:
        super().__init__(folder, item.title, item.shows, overwrite=overwrite)
        self.item, self.scale, self.store = item, scale, store
        self.sets = test_sets(scale.base)

    @cached_property
    def arms(self) -> dict[Any, list[Run]]:
        """The finished runs, by the item's arms."""
        arms = self.item.arms(self.scale).items()
        return {arm: [self.store[recipe] for recipe in recipes] for arm, recipes in arms}

    @cached_property
    def sound(self) -> dict[Any, list[Run]]:
        """Those of them that were trained to the end, for what needs their networks.

        Raises:
            InputError: where there is none.
        """
        sound = {
            arm: [run for run in runs if run.failure is None] for arm, runs in self.arms.items()
        }
        if not any(sound.values()):
            raise InputError(f"{self.item.names[0]}: none of its runs was trained to the end")
        return sound

    def sound_above(self, ones: Sequence[float], others: Sequence[float]) -> bool | None:
        """`all_above` of what the networks in `sound` gave; None where a run failed, too."""
        failed = any(run.failure is not None for runs in self.arms.values() for run in runs)
        return None if failed else all_above(ones, others)

    def values(self, arm: Any, measure: str) -> list[float]:
        """A measure of every run of an arm; a test set's name is its score."""
        return [value(run, measure) for run in self.arms[arm]]

    def shown(self, arm: Any, measure: str) -> str:
        """Their mean and deviation; scores have three digits after the point."""
        _, digits = MEASURES.get(measure, (None, 3))
        return show(self.values(arm, measure), digits)

    def cells(self, arm: Any, measures: Iterable[str]) -> list[str]:
        """The same of several, for a row of a table."""
        return [self.shown(arm, measure) for measure in measures]

    def curves(
        self,
        caption: str = "The worst block of each run over its steps, a line a seed.",
        arms: Mapping[str, Sequence[Run]] | None = None,
        measures: Sequence[str] = ("mean_square", "entropy"),
        name: str = "curves",
    ) -> None:
        """A picture of `draw_runs`.

        Args:
            arms: None takes all.
        """
        self.picture(name, caption, draw_runs(self.arms if arms is None else arms, measures))

    def above(self, measure: str, one: Any, other: Any) -> bool | None:
        """Whether a measure lies higher in one arm than in another: `all_above`."""
        return all_above(self.values(one, measure), self.values(other, measure))

    def claim_above(
        self, text: str, measure: str, one: Any, other: Any, numbers: str = "{} and {} dB"
    ) -> None:
        """Claim that it does.

        Args:
            numbers: what to say of both.
        """
        words = numbers.format(self.shown(one, measure), self.shown(other, measure))
        self.claim(text, self.above(measure, one, other), words)
