"""What a run is doing, for those who watch lines of text: never silent for long, never chatty."""

import time
from collections.abc import Callable

from iln.lab.training.report import Say

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and of how much; 0 and all of it included."""
Tick = Callable[[int, float], None]
"""Told, after each step, how many are done and the loss of that step."""


def unheard(what: str, done: int, total: int) -> None:
    """The progress that nobody watches."""


_QUIET = 5.0
_LONGEST = 60.0
"""Seconds of silence before a word; steps, of which there are many, wait longer each time."""


class Lines:
    """Passes lines on, and says a word where none came for a while."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._said = time.monotonic()
        self._begun = set[str]()
        self._patience = _QUIET

    def say(self, line: str) -> None:
        self._say(line)
        self._said = time.monotonic()

    def progress(self, what: str, done: int, total: int) -> None:
        """Says what begins, the first time, and then how far it is."""
        if done == 0 and what not in self._begun:
            self._begun.add(what)
            self.say(what)
        elif done < total and self._silent() > _QUIET:
            self.say(f"{what}: {done} of {total}")

    def tick(self, done: int, loss: float) -> None:
        if self._silent() > self._patience:
            self.say(f"step {done}  loss {loss:.5f}")
            self._patience = min(2 * self._patience, _LONGEST)

    def _silent(self) -> float:
        return time.monotonic() - self._said
