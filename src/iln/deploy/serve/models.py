"""Models, loaded once for many pictures."""

from __future__ import annotations

import os
from collections.abc import Hashable
from pathlib import Path
from typing import Any

from iln.restoration import Pipeline, Restorer
from iln.restoration.batch import BatchOptions
from iln.restoration.memory import available, release

MOST = 6
"""How many are held: a page offers them all, and people try."""
SHORT = 2**30
"""Bytes of free memory below which only the one in use is held."""


class Models:
    """Keeps restorers; the one that was not used for longest goes first."""

    def __init__(self) -> None:
        self.held: dict[Hashable, Restorer] = {}

    def pipeline(self, options: BatchOptions) -> Pipeline:
        """What `iln restore` would use. Raises InputError as it does."""
        return options.pipeline(load=self._load)

    def drop(self) -> None:
        """All of them."""
        self.held.clear()
        release()

    def _load(self, model: str, **options: Any) -> Restorer:
        key = (model, _written(model), *sorted(options.items()))
        restorer = self.held.pop(key, None)
        if restorer is None:
            while self.held and (len(self.held) >= MOST or available() < SHORT):
                del self.held[next(iter(self.held))]
                release()
            restorer = Restorer(model, **options)
        self.held[key] = restorer  # the last one used stands last
        return restorer


def _written(model: str) -> tuple[int, int] | None:
    """Which state of a file: it may be trained further while the server runs."""
    if not os.path.lexists(model):
        return None
    status = Path(model).stat()
    return status.st_mtime_ns, status.st_size
