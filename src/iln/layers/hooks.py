"""Temporary forward hooks, as a context manager."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Self


class Hooks:
    """Hooks that are there inside `with`. A subclass attaches them, in `attach`."""

    def attach(self, undo: ExitStack) -> None:
        """Attach all of them; `undo` is told how each is taken away again."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        with ExitStack() as undo:  # one that cannot be attached takes the others away
            self.attach(undo)
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._undo.close()
