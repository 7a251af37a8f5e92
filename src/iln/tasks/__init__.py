"""Restoration tasks: how training pairs are made and how a result is scored.

`TASKS` maps the name in a recipe to a constructor that takes the scale.
"""

from collections.abc import Callable

from iln.tasks.sr import Pixels, SuperResolution

TASKS: dict[str, Callable[[int], SuperResolution]] = {"sr": SuperResolution}

__all__ = ["TASKS", "Pixels", "SuperResolution"]
