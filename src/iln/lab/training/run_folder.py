"""The folder of a run: whose it may be, and that a start which fails leaves nothing there."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from iln.atomic import check_no_stream, printable
from iln.errors import InputError
from iln.lab.training.recipe import LOCAL, Recipe, load_recipe

LOG = "log.jsonl"
"""Lines of JSON: losses, rates, scores."""
_LOCK = ".lock"
"""In a run's folder: held by the process that trains there."""


def pairs_folder(run: Path) -> Path:
    """Where pictures are decoded into: beside a run, for all runs there."""
    return run.parent / "pairs"


def check_run(recipe: Recipe, run: Path, resume: bool) -> None:
    """A run folder is new or, to resume, this recipe's.

    Raises:
        InputError: otherwise, and for names of folders that recipe.json cannot hold.
    """
    for name in (recipe.data_root, *recipe.data, *recipe.validation, recipe.init or ""):
        try:
            str(name).encode()
        except UnicodeEncodeError:
            raise InputError(
                f"{printable(name)}: the name is not UTF-8; rename it, or link to it by another"
            ) from None
    if resume:
        _check_same(load_recipe(run), recipe, run)
    else:
        _check_empty(run)


def _check_empty(run: Path) -> None:
    if (run / "recipe.json").exists():
        raise InputError(
            f"{printable(run)} holds a run already; go on with it (--resume {printable(run)}), or "
            "name another folder"
        )
    if run.exists() and (not run.is_dir() or any(path.name != _LOCK for path in run.iterdir())):
        raise InputError(f"{printable(run)} is not an empty folder; name a new one for the run")


@contextmanager
def alone(run: Path) -> Iterator[None]:
    """Meanwhile no other process trains in a run's folder, as far as its file system can tell.

    Raises:
        InputError: if another one does.
    """
    lock = filelock.FileLock(run / _LOCK)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        raise InputError(f"{printable(run)}: another process trains there now") from None
    except (OSError, NotImplementedError):  # some network drives, and a folder only to be read
        yield
        return
    try:
        yield
    finally:
        lock.release()


@contextmanager
def new_run(run: Path) -> Iterator[None]:
    """Make the folder of a new run. Where an error ends the block before a state or weights were
    saved, all that was made is removed again, so that the same command, corrected, can begin.

    A step that was not finite (FloatingPointError) is a result, whose log stays.

    Raises:
        InputError: if the folder cannot be made or written to, or somebody has begun a run there.
    """
    check_no_stream(run, "folder")
    beside = (pairs_folder(run), run, *run.parents)
    made = [folder for folder in beside if not folder.exists()]
    failed = False
    try:
        try:
            run.mkdir(parents=True, exist_ok=True)
            (run / ".part").touch()
            (run / ".part").unlink()
        except OSError as error:
            failed = True
            raise InputError(
                f"{printable(run)}: the run's folder cannot be written: {error.strerror or error}"
            ) from None
        with alone(run):
            _check_empty(run)
            try:
                yield
            except FloatingPointError:
                raise
            except BaseException as error:
                kept = any([*run.glob("state*"), *run.glob("*.safetensors")])
                # Stopped early it leaves nothing; what failed after its steps leaves their log.
                asked = isinstance(error, KeyboardInterrupt)
                failed = not (kept or (not asked and _has_learned(run)))
                if failed:
                    _clear(run)
                raise
    finally:
        if failed:
            for path in (run / _LOCK, *made):
                with suppress(OSError):  # somebody else's files are there by now
                    path.rmdir() if path.is_dir() else path.unlink()


def _has_learned(run: Path) -> bool:
    """Whether its log tells of a step."""
    try:
        return '"loss"' in (run / LOG).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def _clear(run: Path) -> None:
    """Remove what lies in the folder, which was empty."""
    for path in run.glob("*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != _LOCK:
            path.unlink(missing_ok=True)


def _check_same(begun: Recipe, recipe: Recipe, run: Path) -> None:
    made, wanted = begun.model_dump(), recipe.model_dump()
    # Some things were decided when the run began.
    if recipe.precision == "auto":
        wanted["precision"] = made["precision"]
    if set(made["validation"]) < set(wanted["validation"]):
        wanted |= {"validation": made["validation"], "hold_out": made["hold_out"]}
    if recipe.steps > begun.steps and begun.open_ended():
        wanted["steps"] = made["steps"]
    differing = [key for key in made if made[key] != wanted[key] and key not in LOCAL]
    if differing == ["steps"]:
        raise InputError(f"{printable(run)}: {_fixed_steps(begun, recipe.steps, run)}")
    if differing:
        raise InputError(
            f"{printable(run)} was made by a recipe with another "
            + ", ".join(f"{k} ({made[k]}, not {wanted[k]})" for k in differing)
        )


def _fixed_steps(begun: Recipe, steps: int, run: Path) -> str:
    """Why a run cannot have this number of steps, and what can be done."""
    if steps < begun.steps:
        return f"a run of {begun.steps} steps cannot be made shorter (steps={steps})"
    weights = run / "last.safetensors"
    end = "" if weights.exists() else "let it end, then "
    return (
        f"its learning rate falls until step {begun.steps}, so with steps={steps} it would have "
        f"been another run from its beginning; {end}start a new run from its weights with "
        f"init={printable(weights)} (a constant rate, lr_end=1, or schedule=multistep can be "
        "prolonged)"
    )
