"""`iln models`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from iln.cli.options import (
    EpsOption,
    ImgRangeOption,
    InputStatsOption,
    NormOption,
    checkpoint_overrides,
)
from iln.errors import InputError

if TYPE_CHECKING:
    from typing import Unpack

    from rich.table import Table

    from iln.checkpoints.catalogue import Entry
    from iln.restoration.options import CheckpointOverrides

_ENDLESS = 1000
"""Columns for a file or another program, whose lines must not be wrapped."""
_USES = {"yes": "anything", "research only": "private, research"}
_NOTES = (
    "use: what the weights' licence allows. anything: print, publish and sell what it restores. "
    "private, research: for yourself and for science, not for business; it learned from pictures "
    "that are for research only.",
    "iln models NAME shows a model's card, iln models FILE what a file of weights is, "
    "iln models --scores what was measured.",
)


def models(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME_OR_FILE]",
            help="Show the card of this model, or what this file or hf:// address holds.",
        ),
    ] = None,
    scores: Annotated[
        bool, typer.Option("--scores", help="List scores, scales and sizes instead.")
    ] = False,
    norm: NormOption = None,
    input_stats: InputStatsOption = None,
    img_range: ImgRangeOption = None,
    eps: EpsOption = None,
) -> None:
    """Find the model for your picture. Or show one's card: data, scores and limits."""
    from rich.console import Console
    from rich.markdown import Markdown

    from iln.checkpoints.catalogue import by_picture, card, entries, names
    from iln.checkpoints.hub import is_address

    console = Console()
    file = name is not None and (is_address(name) or os.path.lexists(name))
    if name is not None:
        given = checkpoint_overrides(norm, input_stats, img_range, eps)
        if name not in names() and file:
            text = _file(name, **given)
        elif name in names() and given:
            raise InputError(f"{', '.join(given)}: only for a file that does not say it")
        else:
            text = card(name)
        console.print(Markdown(text)) if console.is_terminal else typer.echo(text, nl=False)
    elif scores:
        _print(console.is_terminal, _scores(entries(), rich=console.is_terminal))
    else:
        _print(console.is_terminal, _choices(by_picture(), rich=console.is_terminal))
        for note in _NOTES:
            if console.is_terminal:
                console.print(note, highlight=False, markup=False)
            else:
                typer.echo(note, err=True)


def _print(terminal: bool, table: Table) -> None:
    from rich.console import Console

    if terminal:
        Console().print(table)
        return
    plain = Console(width=_ENDLESS, no_color=True, force_terminal=False)
    with plain.capture() as lines:
        plain.print(table)
    typer.echo("\n".join(line.rstrip() for line in lines.get().splitlines()))


def _choices(entries: Sequence[Entry], *, rich: bool) -> Table:
    """What a picture is like, and what to type."""
    from iln.checkpoints.catalogue import DEFAULT

    table = _table(rich)
    table.add_column("my picture is ...")
    table.add_column("type this", no_wrap=True)
    table.add_column("use")
    for one in entries:
        option = "" if one.name == DEFAULT else f" --model {one.name}"
        _add(table, one.picture, f"iln restore PICTURE{option}", _use(one.commercial))
    return table


def _scores(entries: Sequence[Entry], *, rich: bool) -> Table:
    """A line a model, for those who compare."""
    table = _table(rich)
    table.add_column("model", no_wrap=True)
    table.add_column("what it does")
    for heading in ("scale", "size"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("score")
    table.add_column("commercial use")
    for one in entries:
        numbers = f"x{one.scale}", f"{one.size / 1e6:.1f} MB"
        _add(table, one.name, one.does, *numbers, one.score, one.commercial)
    return table


def _table(rich: bool) -> Table:
    """Without rules where it is for searching."""
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD if rich else None, pad_edge=False, header_style="")


def _add(table: Table, *cells: str) -> None:
    from rich.text import Text

    table.add_row(*map(Text, cells))


def _use(commercial: str) -> str:
    return _USES.get(commercial, commercial)


def _file(name: str, **overrides: Unpack[CheckpointOverrides]) -> str:
    """What a file of weights is, as Markdown: what it says of itself, and what it is taken for."""
    from dataclasses import asdict

    from iln.atomic import printable
    from iln.checkpoints.hub import is_address
    from iln.checkpoints.native import load_explained, said_by
    from iln.checkpoints.published import Answers
    from iln.norm import NORMS

    about = said_by(name)
    model, assumed = load_explained(name, Answers(**overrides))
    spec = {key: value for key, value in asdict(model.spec).items() if key not in assumed}
    shown = name if is_address(name) else os.path.basename(name)  # noqa: PTH119 (of any kind)
    lines = [f"# {printable(shown)}", ""]
    norm = NORMS[model.spec.norm].title
    lines += [f"* network: {type(model).title} with {norm}, enlarges {model.spec.scale} times"]
    parameters = sum(p.numel() for p in model.parameters())
    lines += [f"* parameters: {parameters:,}"]
    for key in ("task", "licence", "dtype"):
        if about.get(key):
            lines.append(f"* {key}: {about[key]}")
    lines += [f"* {key}: {value}" for key, value in spec.items()]
    if assumed:
        lines += ["", "The file does not say these, so they are taken by convention:", ""]
        lines += [f"* {key}: {value}" for key, value in assumed.items()]
    return "\n".join(lines) + "\n"
