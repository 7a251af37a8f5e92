"""Tables with real headers, which scroll on narrow screens; and one part for each subject."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from iln.lab.dynamics.report.markup import Markup, element, joined, macro
from iln.lab.dynamics.report.subject import Subject


@dataclass(frozen=True)
class Row:
    """name: its header. cells: text. alarm: to be marked as bad."""

    name: str
    cells: Sequence[str]
    alarm: bool = False


def table(
    about: str, head: Sequence[str], rows: Sequence[Row], words: Sequence[int] = ()
) -> Markup:
    """about: what it shows, for those who hear it read. head: of all columns, the rows' names
    first. words: columns that hold text, by number, which may break."""
    return macro("table.html", "table", about, head, rows, words)


def each(subjects: Sequence[Subject], part: Callable[[Subject], Markup]) -> Markup:
    """What `part` makes of each subject, below its name where there are two."""
    parts: list[Markup] = []
    for subject in subjects:
        if len(subjects) > 1:
            parts.append(element("h3", {}, subject.name))
        parts.append(part(subject))
    return joined(parts)
