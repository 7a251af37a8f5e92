"""The training and validation sets of a run."""

from pathlib import Path
from typing import NamedTuple, Self

from iln.atomic import printable
from iln.errors import InputError
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

    Raises:
        InputError: for a folder in `data` that is missing or holds no pictures.
    """
    named = zip(recipe.validation, recipe.folders(recipe.validation), strict=True)
    there = tuple(name for name, folder in named if folder.is_dir())
    if there == recipe.validation:
        return recipe, []
    missing = [printable(name) for name in recipe.validation if name not in there]
    note = f"no {', '.join(missing)} in {printable(recipe.data_root)}"
    if there:
        note += ", so not validated on it"
        return recipe.model_copy(update={"validation": there}), [note]
    share = recipe.hold_out or HOLD_OUT
    count = len(_learned(recipe))
    if kept := _held_out(count, share):
        note += f": {kept} of the {count} pictures {'is' if kept == 1 else 'are'} held out instead"
        note += ", to validate on"
    else:
        note += ", and a single picture leaves none to hold out: not validated"
    return recipe.model_copy(update={"validation": there, "hold_out": share}), [note]


def picture_sets(recipe: Recipe) -> tuple[list[Source], list[PictureSet]]:
    """The pictures to learn from and the sets to test on.

    Raises:
        InputError: for a folder that is missing or holds no pictures.
    """
    found = _learned(recipe)
    tests = [PictureSet.of(folder) for folder in recipe.folders(recipe.validation)]
    if kept := _held_out(len(found), recipe.hold_out):
        chosen = {(2 * i + 1) * len(found) // (2 * kept) for i in range(kept)}  # evenly spread
        tests.append(PictureSet("held out", [found[i] for i in sorted(chosen)]))
        found = [source for i, source in enumerate(found) if i not in chosen]
    return found, tests


def _learned(recipe: Recipe) -> list[Source]:
    """All pictures in `data`."""
    folders = recipe.folders(recipe.data)
    for folder in folders:
        if not folder.is_dir():
            raise InputError(
                f"{printable(folder)} is not a folder of pictures; name your own with data=FOLDER, "
                "or with data_root=FOLDER the one that holds the recipe's sets"
            )
    return [source for folder in folders for source in sources(folder)]


def _held_out(count: int, share: float) -> int:
    """How many of so many pictures: at least one, and one at least is left to learn from."""
    return min(max(1, round(share * count)), count - 1) if share else 0
