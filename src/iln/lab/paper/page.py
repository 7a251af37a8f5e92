"""The page of an experiment: a folder with README.md, and its tables and pictures beside it."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Sequence
from pathlib import Path

from iln.atomic import atomic_write, make_folder, printable
from iln.errors import InputError
from iln.lab.dynamics.drawing import Figure, write_png

Cell = str | float | int
_VERDICTS = {True: "yes", False: "**no**", None: "not decided"}


def check_page(folder: Path, overwrite: bool) -> None:
    """Raises InputError for a folder that no page can be written to."""
    above = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not above.is_dir():
        raise InputError(f"{printable(above)} is a file; the page needs a folder")
    if not os.access(above, os.W_OK):
        raise InputError(f"{printable(above)}: no permission to write the page there")
    if above == folder and any(folder.iterdir()) and not overwrite:
        raise InputError(
            f"{printable(folder)} is not empty; name another folder (-o) or allow replacing "
            "(--overwrite)"
        )


class Page:
    """What `finish` writes into a folder, README.md last: a page without one is not finished.

    Args:
        overwrite: replace files of an earlier page.

    Raises:
        InputError: if the folder holds anything and that is not allowed.
    """

    def __init__(self, folder: Path, title: str, shows: str, *, overwrite: bool = False) -> None:
        self.folder, self.title, self.shows, self.overwrite = folder, title, shows, overwrite
        check_page(folder, overwrite)
        self.claims: list[tuple[str, str, str]] = []
        """Each claim, the verdict in words, and the numbers."""
        self._parts: list[str] = []
        self._texts: dict[str, str] = {}
        self._figures: dict[str, Figure] = {}
        """By the names of their files."""
        self.tables: list[tuple[str, Sequence[str], list[list[str]]]] = []
        """(caption, headers, cells as shown), in the order of the page."""

    def claim(self, text: str, holds: bool | None, numbers: str) -> None:
        """One claim, whether it holds in these runs (None: they do not decide), and why."""
        self.claims.append((text, _VERDICTS[holds], numbers))

    def text(self, paragraph: str) -> None:
        self._parts.append(paragraph)

    def table(
        self, name: str, caption: str, headers: Sequence[str], rows: Sequence[Sequence[Cell]]
    ) -> None:
        """A table, also as NAME.csv with all digits. NaN is an empty cell there, a dash here."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(headers)
        writer.writerows([["" if _missing(cell) else cell for cell in row] for row in rows])
        self._texts[f"{name}.csv"] = text.getvalue()
        shown = [[_shown(cell) for cell in row] for row in rows]
        self.tables.append((caption, headers, shown))
        title = f"**{caption}** ([{name}.csv]({name}.csv))"
        self._parts.append(f"{title}\n\n{_markdown(headers, shown)}")

    def picture(self, name: str, caption: str, figure: Figure) -> None:
        """A picture, as NAME.png."""
        self._figures[f"{name}.png"] = figure
        self._parts.append(f"![{caption}]({name}.png)\n\n{caption}")

    def finish(self, how: Sequence[str]) -> Path:
        """Write the page.

        Args:
            how: lines about what was run and where.
        """
        parts = [f"# {self.title}", f"**The paper:** {self.shows}"]
        if self.claims:
            parts.append(_markdown(["claim", "holds here", "numbers"], self.claims))
        parts += [*self._parts, "## How it was run", "\n".join(f"* {line}" for line in how)]
        make_folder(self.folder)
        for name, figure in self._figures.items():
            write_png(figure, self.folder / name, overwrite=self.overwrite)
        for name, text in (self._texts | {"README.md": "\n\n".join(parts) + "\n"}).items():
            with atomic_write(self.folder / name, self.overwrite) as temporary:
                temporary.write_text(text, encoding="utf-8")
        return self.folder / "README.md"


def _markdown(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(c.replace('|', '&#124;') for c in line)} |" for line in lines)


def _missing(cell: Cell) -> bool:
    return isinstance(cell, float) and math.isnan(cell)


def _shown(cell: Cell) -> str:
    if _missing(cell):
        return "–"
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)
