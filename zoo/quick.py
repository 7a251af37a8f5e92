"""Scores of the first pictures of each set, with seed 0: what a check does again in minutes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from iln.atomic import atomic_write

FILE = Path(__file__).with_name("quick.json")
Rows = dict[str, Any]
"""By set and protocol, `before` and `after` by metric. An infinite number is null."""


def stored() -> dict[str, Rows]:
    """By model."""
    found: dict[str, Rows] = json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}
    return found


def store(name: str, rows: Rows) -> None:
    """Put a model's in the place of those before."""
    every = dict(sorted({**stored(), name: rows}.items()))
    with atomic_write(FILE, overwrite=True) as temporary:
        temporary.write_text(json.dumps(every, indent=1, allow_nan=False) + "\n", "utf-8")
