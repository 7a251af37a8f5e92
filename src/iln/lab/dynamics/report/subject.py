"""What a report is about, and its numbers as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from iln import __version__
from iln.backbones import Spec
from iln.images.sample_pictures import SamplePicture
from iln.lab.dynamics.diagnosis import Diagnosis, jsonable
from iln.lab.dynamics.verdict import compare, judge

FORMAT = 1
"""Of the JSON; it grows when a name changes its meaning."""


@dataclass(frozen=True)
class Subject:
    """A checkpoint and what was found.

    Attributes:
        name: to show.
        backbone: `swinir`, `hat` or `drct`.
        parameters: how many numbers.
        about: what the file says of itself (`iln.checkpoints.native.describe`); empty for files of
            others.
        assumed: what such a file did not say, and was filled in by convention.
    """

    name: str
    backbone: str
    spec: Spec
    parameters: int
    about: Mapping[str, Any]
    assumed: Mapping[str, Any]
    found: Diagnosis


def as_json(
    subjects: Sequence[Subject], sample_pictures: Sequence[SamplePicture], date: str
) -> Any:
    """Everything that the page says, of types that JSON has (see `Diagnosis.as_json`)."""
    verdicts = [judge(subject.found) for subject in subjects]
    return jsonable(
        {
            "format": FORMAT,
            "iln": __version__,
            "date": date,
            "pictures": [
                {
                    "name": one.name,
                    "width": one.width,
                    "height": one.height,
                    "used_width": one.pixels.shape[1],
                    "used_height": one.pixels.shape[0],
                    "synthetic": one.synthetic,
                }
                for one in sample_pictures
            ],
            "checkpoints": [
                {
                    "name": subject.name,
                    "backbone": subject.backbone,
                    "spec": dict(vars(subject.spec)),
                    "parameters": subject.parameters,
                    "about": dict(subject.about),
                    "assumed": dict(subject.assumed),
                    "verdict": {"level": verdict.level, **asdict(verdict)},
                    **subject.found.as_json(),
                }
                for subject, verdict in zip(subjects, verdicts, strict=True)
            ],
            "comparison": comparison(subjects),
        }
    )


def comparison(subjects: Sequence[Subject]) -> tuple[str, ...]:
    """Sentences about two; nothing about one."""
    if len(subjects) != 2:
        return ()
    return compare([s.name for s in subjects], [s.found for s in subjects])
