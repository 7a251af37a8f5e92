"""What a model's file says of itself, and an exported one: a JSON object under the key `iln`."""

import json
import os
from dataclasses import asdict
from typing import Any

from iln.backbones import BACKBONES, Backbone, Spec, name_of
from iln.checkpoints.native import said_by
from iln.errors import InputError


def card(model: Backbone, source: str | os.PathLike[str] | None, precision: str) -> dict[str, Any]:
    """backbone, spec, scale, task, licence and precision; the last but one as `source` has them.

    Args:
        source: the shipped model's name or file that the model was loaded from; None if neither.
    """
    said = {} if source is None else said_by(source)
    return {
        "backbone": name_of(model.spec),
        "spec": asdict(model.spec),
        "scale": model.spec.scale,
        "task": said.get("task"),
        "licence": said.get("licence"),
        "precision": precision,
    }


def read_card(text: str) -> tuple[Spec, dict[str, Any]]:
    """The spec and the whole card. Raises InputError for text that is none."""
    try:
        found: dict[str, Any] = json.loads(text)
        kind, _ = BACKBONES[found["backbone"]]
        return kind.from_dict(found["spec"]), found
    except (ValueError, KeyError, TypeError) as error:
        raise InputError("has damaged iln metadata; export it again") from error
