"""`iln models`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

_ENDLESS = 1000
"""Columns for a file or another program, whose lines must not be wrapped."""


def models(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Show the card of this model.")
    ] = None,
) -> None:
    """List the shipped models, or show the model card of one: data, scores and limits."""
    from rich.console import Console
    from rich.markdown import Markdown

    from iln.checkpoints.catalogue import card

    console = Console()
    if name is not None:
        text = card(name)
        console.print(Markdown(text)) if console.is_terminal else typer.echo(text, nl=False)
    elif console.is_terminal:
        console.print(_table(rich=True))
    else:
        plain = Console(width=_ENDLESS, no_color=True, force_terminal=False)
        with plain.capture() as lines:
            plain.print(_table(rich=False))
        typer.echo("\n".join(line.rstrip() for line in lines.get().splitlines()))


def _table(*, rich: bool) -> Table:
    """A line a model; without rules where it is for searching."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from iln.checkpoints.catalogue import entries

    table = Table(box=box.SIMPLE_HEAD if rich else None, pad_edge=False, header_style="")
    table.add_column("model", no_wrap=True)
    table.add_column("what it does")
    for heading in ("scale", "size"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("score")
    table.add_column("commercial use")
    for one in entries():
        numbers = f"x{one.scale}", f"{one.size / 1e6:.1f} MB"
        table.add_row(*map(Text, (one.name, one.does, *numbers, one.score, one.commercial)))
    return table
