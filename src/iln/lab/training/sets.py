"""The training and validation sets of a run."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from iln.atomic import atomic_write, printable
from iln.errors import InputError
from iln.lab.evaluation.models import distinct
from iln.lab.tasks.folders import Source, sources
from iln.lab.training.model import init_training
from iln.lab.training.recipe import Recipe

_RECORD = "begun.json"
HELD_OUT = "held out"
"""What the pictures that are held out are called in logs."""
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

    Where none of them is, a tenth of the pictures is held out. Notes tell what is missing, and
    which folder is learned from as well.

    Raises:
        InputError: for a folder in `data` that is missing or holds no pictures.
    """
    made, notes = _with_those_there(recipe)
    learned = {folder.resolve() for folder in made.folders(made.data)}
    for folder in made.folders(made.validation):
        if folder.resolve() in learned:
            notes.append(
                f"{printable(folder)} is learned from and validated on: its scores say nothing of "
                "other pictures"
            )
    return made, notes


def _with_those_there(recipe: Recipe) -> tuple[Recipe, list[str]]:
    named = zip(recipe.validation, recipe.folders(recipe.validation), strict=True)
    there = tuple(name for name, folder in named if folder.is_dir())
    if there == recipe.validation:
        single = recipe.hold_out and len(_learned(recipe)) == 1
        return recipe, ["a single picture leaves none to hold out"] if single else []
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


@dataclass(frozen=True)
class Record:
    """What a run began with, and what may be gone or changed when it is resumed.

    Attributes:
        learned: how many pictures are learned from.
        fingerprint: of their names in the recipe's folders.
        bytes: of their files altogether; None of a run of an older version.
        held_out: the names of those that are held out; they stay so while their files are gone.
        init: what the weights that it started from say of their own training.
    """

    learned: int
    fingerprint: str
    held_out: tuple[str, ...]
    init: dict[str, Any] | None
    bytes: int | None = None

    def other_pictures(self, now: Self) -> str | None:
        """What differs from the pictures that are there now; None where nothing does."""
        if self.fingerprint != now.fingerprint:
            return f"{self.learned} then, {now.learned} now"
        return None if self.bytes in (None, now.bytes) else "other files of the same names"

    def write(self, run: Path) -> None:
        """Into the folder of a run."""
        with atomic_write(run / _RECORD, overwrite=True) as file:
            file.write_text(json.dumps(asdict(self), indent=2) + "\n")


def record_of(run: Path) -> Record | None:
    """What a run began with; None where its folder does not say."""
    try:
        said = json.loads((run / _RECORD).read_text())
        held_out = tuple(said["held_out"])
        parts = (said["learned"], said["fingerprint"], held_out, said["init"])
        return Record(*parts, bytes=said.get("bytes"))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def picture_sets(
    recipe: Recipe, begun: Record | None = None
) -> tuple[list[Source], list[PictureSet], Record]:
    """The pictures to learn from, the sets to test on, and what to remember of them.

    Args:
        begun: what the run began with: what it held out stays held out, whatever came since.

    Raises:
        InputError: for a folder that is missing or holds no pictures.
    """
    named = _learned(recipe)
    folders = recipe.folders(recipe.validation)
    names = distinct(
        [folder.name for folder in folders], [str(f) for f in folders], (HELD_OUT,), "folder"
    )
    tests = [PictureSet(*pair) for pair in zip(names, map(sources, folders), strict=True)]
    held = set[str]()
    if begun is not None:
        held = set(begun.held_out)
    elif kept := _held_out(len(named), recipe.hold_out):
        names = list(named)
        held = {names[(2 * i + 1) * len(names) // (2 * kept)] for i in range(kept)}  # evenly spread
    if there := [source for name, source in named.items() if name in held]:
        tests.append(PictureSet(HELD_OUT, there))
    learned = [name for name in named if name not in held]
    if not learned:
        raise InputError("of the pictures in data all that are left are held out; none to learn")
    fingerprint = hashlib.sha256("\n".join(map(ascii, learned)).encode()).hexdigest()
    init = init_training(recipe) if begun is None else begun.init
    held_out = tuple(sorted(held))
    size = sum(file.stat().st_size for name in learned for file in named[name].files)
    record = Record(len(learned), fingerprint, held_out, init, size)
    return [named[name] for name in learned], tests, record


def _learned(recipe: Recipe) -> dict[str, Source]:
    """All pictures in `data`, by the number of their folder and their name."""
    folders = recipe.folders(recipe.data)
    seen = set[Path]()
    for folder in folders:
        if not folder.is_dir():
            raise InputError(
                f"{printable(folder)} is not a folder of pictures; name your own (data=FOLDER), or "
                "the one that holds the recipe's sets (data_root=FOLDER, --data-root FOLDER)"
            )
        if folder.resolve() in seen:  # what is held out of one would be learned from the other
            raise InputError(f"the folder {printable(folder)} is given twice in data")
        seen.add(folder.resolve())
    return {
        f"{number}/{source.target.name}": source
        for number, folder in enumerate(folders)
        for source in sources(folder)
    }


def _held_out(count: int, share: float) -> int:
    """How many of so many pictures: at least one, and one at least is left to learn from."""
    return min(max(1, round(share * count)), count - 1) if share else 0
