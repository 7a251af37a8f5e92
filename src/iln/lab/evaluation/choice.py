"""Which task models are tested on: what the caller says, else what their files say."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from iln.backbones import Spec
from iln.errors import InputError
from iln.lab.evaluation.models import Model
from iln.lab.tasks import TASKS, Task
from iln.lab.tasks import task as make_task


def choose_task(
    models: Sequence[Model], name: str | None, parameters: Mapping[str, Any]
) -> tuple[str, Task]:
    """(name, task), the same for all models.

    Scale, and gray or colour, come from the networks. Where `name` is None, name and parameters
    are those that the models' files say they were trained for; files that say nothing join the
    others, or are taken for super-resolution if they enlarge. `parameters` replace single values.

    Raises:
        InputError: if the models do not belong on one task.
    """
    _must_agree("of different scale", {model.name: str(model.spec.scale) for model in models})
    if name is not None:
        trained = {model.name: (name, dict[str, Any]()) for model in models}
    else:
        trained = _trained(models)
    _must_agree("for different tasks", {other: task for other, (task, _) in trained.items()})
    tasks = {m.name: _task_for(m.name, m.spec, *trained[m.name], parameters) for m in models}
    chosen = tasks[models[0].name]
    for other, found in tasks.items():
        if differing := _differing(chosen, found):
            key = differing[0]
            advice = (
                "--param gray=true, which both take"
                if key == "gray"
                else f"--param {key}=..., or --task {trained[other][0]} for the task's own values"
            )
            raise InputError(
                f"{models[0].name} was trained for {key} {getattr(chosen, key)}, {other} for "
                f"{getattr(found, key)}; say which to test with {advice}"
            )
    return trained[models[0].name][0], chosen


def task_of(name: str, spec: Spec, about: Mapping[str, Any]) -> Task | None:
    """What a network was trained for: as its file says, else super-resolution if it enlarges.

    Args:
        name: the network's, for errors.
        about: as `describe` gives it, or empty.

    Returns:
        None where nobody says.

    Raises:
        InputError: if the file's task does not fit the network.
    """
    said = trained_for(about) or (("sr", {}) if spec.scale > 1 else None)
    return None if said is None else _task_for(name, spec, *said, {})


def differences(task: Task, other: Task) -> str:
    """What `other` has that `task` has not, such as `sigma 25`."""
    return ", ".join(f"{key} {getattr(other, key)}" for key in _differing(task, other))


def _differing(task: Task, other: Task) -> list[str]:
    return [key for key, value in task if value != getattr(other, key)]


def _trained(models: Sequence[Model]) -> dict[str, tuple[str, dict[str, Any]]]:
    """By model: task and its parameters, as their files say."""
    said = {model.name: trained_for(model.about) for model in models}
    enlarging = ("sr", dict[str, Any]()) if models[0].spec.scale > 1 else None
    usual = next(filter(None, said.values()), enlarging)
    if usual is None:
        raise InputError(
            f"{models[0].name} does not say what it was trained for; say it with --task: "
            + ", ".join(TASKS)
        )
    return {name: found or usual for name, found in said.items()}


def trained_for(about: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """(task, its parameters), as `describe` gives them; None where the file says neither."""
    # Files of training hold the task's bare name; others may say more in words after it.
    word = re.match(r"[a-z]+", str(about.get("task") or ""))
    if word is None or word[0] not in TASKS:
        return None
    training = about.get("training")
    found = training.get("degradation") if isinstance(training, dict) else None
    return word[0], dict(found) if isinstance(found, dict) else {}


def _task_for(
    shown: str,
    spec: Spec,
    name: str,
    trained: Mapping[str, Any],
    parameters: Mapping[str, Any],
) -> Task:
    values: dict[str, Any] = {"scale": spec.scale}
    if name in TASKS and "gray" in TASKS[name].model_fields and spec.in_chans == 1:
        values["gray"] = True
    try:
        task = make_task(name, {**values, **trained, **parameters})
    except InputError as error:
        raise InputError(f"{shown}: {error}") from None
    if task.scale != spec.scale:
        raise InputError(f"{shown} enlarges {spec.scale} times, the task {task.scale} times")
    if task.channels > spec.in_chans:  # (the reverse is what users do with gray pictures)
        raise InputError(f"{shown} restores gray pictures, but task {name} is on colour here")
    return task


def _must_agree(what: str, values: Mapping[str, str]) -> None:
    if len(set(values.values())) > 1:
        found = ", ".join(f"{name} ({value})" for name, value in values.items())
        raise InputError(f"models {what} cannot be compared: {found}")
