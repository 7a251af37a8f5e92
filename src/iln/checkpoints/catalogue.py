"""The shipped models as a user chooses among them: what each does, how well, and on which terms."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from iln.checkpoints.files import shipped_card, shipped_files
from iln.checkpoints.native import describe, shipped
from iln.errors import InputError, nearest

DEFAULT = "photo"
"""What restores pictures where no model is named."""

log = logging.getLogger("iln")


@dataclass(frozen=True)
class Chain:
    """Models one after the other under one name.

    Attributes:
        models: their names, in order.
        unfade: stretch the colours of a faded print afterwards.
        does: in words.
    """

    models: tuple[str, ...]
    unfade: bool
    does: str


CHAINS = {
    "old-print": Chain(
        ("scratches", "photo"), True, "restores old prints: scratches, noise, faded colours"
    )
}


@dataclass(frozen=True)
class Entry:
    """One model. does: in words. size: of its file, in bytes. score: the main one, in words, or
    empty. commercial: whether its weights may be used so, in words."""

    name: str
    does: str
    scale: int
    size: int
    score: str
    commercial: str


def entries() -> list[Entry]:
    """All that are shipped, by name."""
    return [entry(name, describe(name)) for name in shipped()]


def names() -> list[str]:
    """What `--model` takes: the shipped models and the chains."""
    return sorted([*shipped_files(), *CHAINS])


def entry(name: str, about: Mapping[str, Any]) -> Entry:
    """One of them. about: what `describe` says of its file."""
    return Entry(
        name,
        _does(str(about["task"] or "")),
        about["spec"]["scale"],
        about["bytes"],
        _main_score(about["scores"]),
        _commercial(str(about["licence"] or "")),
    )


def card(name: str) -> str:
    """A shipped model's card, as Markdown. Raises InputError for an unknown name."""
    if name not in shipped():
        raise InputError(f"no model {name!r} is shipped; {nearest(name, shipped())}")
    return shipped_card(name)


def default_model() -> str:
    """`DEFAULT`; a line of the log says so."""
    log.info("model %s: %s; see `iln models`", DEFAULT, entry(DEFAULT, describe(DEFAULT)).does)
    return DEFAULT


def _does(task: str) -> str:
    """`denoise: takes noise away` -> what comes after the task's name."""
    name, colon, words = task.partition(":")
    return words.strip() if colon else name


def _main_score(scores: Any) -> str:
    if not isinstance(scores, dict) or "main" not in scores:
        return ""
    row = scores["rows"][scores["main"]]["after"]
    return f"{next(iter(row.values())):.2f} dB, {scores['main']}"


def _commercial(licence: str) -> str:
    terms = licence.partition(" (")[0]
    return {"open": "yes", "research only": "research only"}.get(terms, "see its card")
