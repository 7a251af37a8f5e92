"""Damage, restore, score: every picture of every set, by every protocol, with every model."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from iln.atomic import printable
from iln.errors import InputError, first_line
from iln.images import read
from iln.lab.evaluation.choice import choose_task, differences
from iln.lab.evaluation.models import Model, distinct, load_models
from iln.lab.evaluation.result import Evaluation, Score, TestedSet
from iln.lab.tasks import Damaged, Pixels, Task, to_uint8
from iln.lab.tasks.folders import Source, load_pair, sources
from iln.restoration.options import RestoreOptions, check_names

Progress = Callable[[str, float], None]
"""Told now and then what is being done, and which share (0 to 1) of all pixels is."""

PAIRS = "pairs"
"""Protocol of pictures that lie in a folder with their damage."""
_BASELINES = ("input", "bicubic")
_CORNER = 64
"""Pixels a side that every metric can do with."""


def evaluate(
    models: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    sets: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    task: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    seed: int = 0,
    progress: Progress = lambda what, share: None,
    **options: Unpack[RestoreOptions],
) -> Evaluation:
    """Scores of one or more models on one or more folders of pictures.

    Pictures are restored whole. Everything is looked at before the first one is.

    Args:
        models: shipped models' names or files, of one scale and for one task.
        sets: folders of clean pictures, which the task damages, or of pairs in `input` and
            `target`.
        task: what to test; by default what the models' files say they were trained for.
        parameters: see `task`.
        seed: decides the damage of a picture, together with its name.
        options: as for `iln.Restorer`; see `RestoreOptions`.

    Raises:
        InputError: for what cannot be read, is too small for the metrics, or does not fit together.
    """
    check_names(options)
    if not hasattr(seed, "__index__") or seed < 0:
        raise InputError(f"seed {seed!r}: must be a whole number from 0 on")
    if not isinstance(parameters, Mapping | None):
        raise InputError(f"parameters are a dict, such as {{'scale': 4}}, not {parameters!r}")
    names, folders = _listed(models, "model"), _listed(sets, "folder of pictures (--sets)")
    found = _find(folders)
    loaded = load_models(names, _BASELINES, options)
    name, chosen = choose_task(loaded, task, parameters or {})
    plan = list(_planned(found, chosen, progress))
    baseline = _BASELINES[0] if chosen.scale == 1 else _BASELINES[1]
    date = datetime.now(UTC).isoformat(timespec="seconds")
    scores = tuple(_scores(plan, loaded, baseline, seed, progress))
    return Evaluation(
        task_name=name,
        task=chosen,
        metrics={key: metric.definition for key, metric in chosen.metrics().items()},
        baseline=baseline,
        models=tuple(model.tested() for model in loaded),
        sets=tuple(
            TestedSet(shown, folder, len(pictures), _protocols(chosen, pictures))
            for shown, (folder, pictures) in found.items()
        ),
        scores=scores,
        seed=seed,
        date=date,
    )


@dataclass(frozen=True)
class _Item:
    """One picture, damaged in one way. size: pixels of the input."""

    set: str
    protocol: str
    task: Task
    source: Source
    size: int


def _listed(
    given: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], what: str
) -> list[str | os.PathLike[str]]:
    several: Any = given
    one = isinstance(given, (str, os.PathLike)) or not hasattr(given, "__iter__")
    words: list[Any] = [given] if one else list(several)
    if not words:
        raise InputError(f"name at least one {what}")
    for word in words:
        if not isinstance(word, (str, os.PathLike)):
            raise InputError(f"a {what} of type {type(word).__name__}; give its name")
        if "\0" in str(word):  # no file system has such a name
            raise InputError(f"{printable(str(word))}: no such {what}")
    return words


def _find(folders: Sequence[str | os.PathLike[str]]) -> dict[str, tuple[Path, list[Source]]]:
    """Folders and their pictures, by the name to show."""
    short = [Path(os.path.realpath(folder)).name for folder in folders]
    shown = distinct(short, [os.fspath(folder) for folder in folders], (), "folder")
    try:
        return {
            name: (Path(folder), sources(Path(folder)))
            for name, folder in zip(shown, folders, strict=True)
        }
    except OSError as error:
        raise InputError(f"{printable(error.filename or '')}: {error.strerror}") from None


def _protocols(task: Task, pictures: Sequence[Source]) -> dict[str, Task]:
    if pictures[0].input is not None:
        return {PAIRS: task}
    return {name or differences(task, t): t for name, t in task.protocols().items()}


def _planned(
    sets: Mapping[str, tuple[Path, list[Source]]], task: Task, progress: Progress
) -> Iterator[_Item]:
    """What there is to do, every picture read once: a bad one should not be found after hours."""
    for name, (_, pictures) in sets.items():
        protocols = _protocols(task, pictures)
        for source in pictures:
            progress(f"reading {name}", 0.0)
            size = _checked(source, task)
            for protocol, fixed in protocols.items():
                yield _Item(name, protocol, fixed, source, size)


def _checked(source: Source, task: Task) -> int:
    """Pixels of the input of a picture that can be scored. Raises InputError for another."""
    if source.input is not None:
        _, target = load_pair(source, task)
    else:
        target = task.target(read(source.target).rgb8())
    corner = target[:_CORNER, :_CORNER]
    try:
        task.score(corner, corner)  # as small as the picture, where that is too small
    except InputError as error:
        raise InputError(f"{printable(source.target)}: {error}") from None
    height, width = target.shape[:2]
    return int(height // task.scale) * int(width // task.scale)


def _scores(
    plan: Sequence[_Item], models: Sequence[Model], baseline: str, seed: int, progress: Progress
) -> Iterator[Score]:
    total = sum(item.size for item in plan) * len(models)
    done = 0
    for item in plan:
        damaged, target = load_pair(item.source, item.task, seed)
        outputs = {baseline: item.task.baseline(damaged)}
        for model in models:
            what = " ".join(filter(None, (item.set, item.protocol, model.name)))
            tell = partial(_tell, progress, what, done / total, item.size / total)
            outputs[model.name] = _restored(model, item, damaged, tell)
            done += item.size
        picture = printable(item.source.target.name)
        for name, output in outputs.items():
            for metric, value in item.task.score(output, target).items():
                yield Score(item.set, item.protocol, picture, name, metric, value)


def _tell(progress: Progress, what: str, start: float, size: float, share: float) -> None:
    progress(what, start + size * share)


def _restored(model: Model, item: _Item, damaged: Damaged, tell: Callable[[float], None]) -> Pixels:
    try:
        return to_uint8(model.restorer(damaged, unclipped=True, progress=tell))
    except InputError as error:
        reason = str(error)
    except (MemoryError, RuntimeError) as error:  # PyTorch's own words about memory
        reason = first_line(error)
    raise InputError(f"{printable(item.source.files[0])} with {model.name}: {reason}")
