"""The shipped models as a user chooses among them: what each does, how well, and on which terms."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from iln.checkpoints.chains import CHAINS
from iln.checkpoints.files import shipped_card, shipped_files
from iln.checkpoints.native import describe, shipped
from iln.errors import InputError, nearest

DEFAULT = "photo"
"""What restores pictures where no model is named."""

log = logging.getLogger("iln")


@dataclass(frozen=True)
class Entry:
    """A model, or a chain of models, as a user chooses among them.

    Attributes:
        name: what `--model` takes.
        picture: what the user's picture is like, in words.
        does: what it does, in words.
        scale: how many times it enlarges.
        size: of its file or files, in bytes.
        score: the main one, in words, or empty.
        commercial: whether its weights may be used so, in a word or two.
    """

    name: str
    picture: str
    does: str
    scale: int
    size: int
    score: str
    commercial: str


_PICTURES = {
    "photo": "an old photograph or a phone picture: grain, noise, JPEG's blocks",
    "old-print": "an old print: scratched, dusty, faded, grainy",
    "scratches": "scratched, and fine besides",
    "photo-x2": "old or from a phone, and too small: clean, twice as large",
    "sharp": "worn: clean and sharp, partly invented",
    "sharp-x2": "worn and too small: clean, sharp, twice as large, partly invented",
    "sharp-x4": "worn and tiny: clean, sharp, four times as large, partly invented",
    "sr-x2": "clean, but too small: twice as large",
    "sr-x4": "clean, but too small: four times as large",
    "denoise": "noisy, from a camera in the dark",
    "jpeg": "blocky: a JPEG saved too small",
    "deblur": "blurred: out of focus",
    "derain": "taken in the rain",
}
"""What a picture is like that a model is for, in the order in which people ask."""


def entries() -> list[Entry]:
    """All that are shipped, and the chains of them, by name."""
    found = {name: entry(name, describe(name)) for name in shipped()}
    for name, chain in CHAINS.items():
        parts = [found[model] for model in chain.models if model in found]
        if len(parts) == len(chain.models):
            found[name] = Entry(
                name,
                _PICTURES.get(name, chain.does),
                chain.does,
                prod(part.scale for part in parts),
                sum(part.size for part in parts),
                chain.score,
                next((p.commercial for p in parts if p.commercial != _OPEN), _OPEN),
            )
    return [found[name] for name in sorted(found)]


def by_picture() -> list[Entry]:
    """The same, in the order in which people ask."""
    order = {name: place for place, name in enumerate(_PICTURES)}
    return sorted(entries(), key=lambda one: (order.get(one.name, len(order)), one.name))


def names() -> list[str]:
    """What `--model` takes: the shipped models and the chains."""
    return sorted([*shipped_files(), *CHAINS])


def entry(name: str, about: Mapping[str, Any]) -> Entry:
    """One of them.

    Args:
        about: what `describe` says of its file.
    """
    task = does(str(about["task"] or ""))
    return Entry(
        name,
        _PICTURES.get(name, task),
        task,
        about["spec"]["scale"],
        about["bytes"],
        _main_score(about["scores"]),
        _commercial(str(about["licence"] or "")),
    )


def card(name: str) -> str:
    """The card of a shipped model or chain, as Markdown. Raises InputError for an unknown name."""
    if name not in names():
        raise InputError(f"no model {name!r} is shipped; {nearest(name, names())}")
    return shipped_card(name)


def default_model() -> str:
    """`DEFAULT`; a line of the log says so."""
    log.info("model %s: %s; see `iln models`", DEFAULT, entry(DEFAULT, describe(DEFAULT)).does)
    return DEFAULT


def does(task: str) -> str:
    """What a model does, in words: `denoise: takes noise away` without the task's name."""
    name, colon, words = task.partition(":")
    return words.strip() if colon else name


def _main_score(scores: Any) -> str:
    if not isinstance(scores, dict) or "main" not in scores:
        return ""
    row = scores["rows"][scores["main"]]["after"]
    return f"{next(iter(row.values())):.2f} dB, {scores['main']}"


_OPEN = "yes"


def _commercial(licence: str) -> str:
    terms = licence.partition(" (")[0]
    return {"open": _OPEN, "research only": "research only"}.get(terms, "see its card")
