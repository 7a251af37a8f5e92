"""The training and validation sets of a run."""

from pathlib import Path
from typing import NamedTuple, Self

from iln.lab.tasks.folders import Source, sources
from iln.lab.training.recipe import Recipe

HOLD_OUT = 0.1
"""Share of the pictures that is held out where no validation set of a recipe is there."""


class PictureSet(NamedTuple):
    """Pictures to test on, and what they are called in logs."""

    name: str
    sources: list[Source]

    @classmethod
    def of(cls, folder: Path) -> Self:
        """All of a folder. Raises InputError where there are none."""
        return cls(folder.name, sources(folder))


def with_validation(recipe: Recipe) -> tuple[Recipe, list[str]]:
    """The recipe with those of its validation sets that are there, for a new run, and notes.

    Where none of them is, a tenth of the pictures is held out. A note tells what is missing.
    """
    named = zip(recipe.validation, recipe.folders(recipe.validation), strict=True)
    there = tuple(name for name, folder in named if folder.is_dir())
    if there == recipe.validation:
        return recipe, []
    missing = [str(name) for name in recipe.validation if name not in there]
    share = recipe.hold_out if there else recipe.hold_out or HOLD_OUT
    instead = f"; {share:.0%} of the pictures are held out instead" if not there else ""
    note = f"no {', '.join(missing)} in {recipe.data_root}, so not validated on it{instead}"
    return recipe.model_copy(update={"validation": there, "hold_out": share}), [note]


def picture_sets(recipe: Recipe) -> tuple[list[Source], list[PictureSet]]:
    """The pictures to learn from and the sets to test on.

    Raises:
        InputError: for a folder that is missing or holds no pictures.
    """
    found = [source for folder in recipe.folders(recipe.data) for source in sources(folder)]
    tests = [PictureSet.of(folder) for folder in recipe.folders(recipe.validation)]
    kept = min(max(1, round(recipe.hold_out * len(found))), len(found) - 1)
    if recipe.hold_out and kept:
        chosen = {(2 * i + 1) * len(found) // (2 * kept) for i in range(kept)}  # evenly spread
        tests.append(PictureSet("held out", [found[i] for i in sorted(chosen)]))
        found = [source for i, source in enumerate(found) if i not in chosen]
    return found, tests
