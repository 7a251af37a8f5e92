"""An evaluation as text for people: a table, and below it what its numbers are."""

from collections.abc import Iterator

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from iln.lab.evaluation.result import Evaluation
from iln.lab.evaluation.result import Group as Mean

_MARK = "*"
"""Of the best, where there is no bold type."""
_PLAIN_WIDTH = 120
"""Columns that a file or another program is given, unless one word needs more."""
_ENDLESS = 100_000
_NAME = 24
"""Columns that a model's name may be folded to before the table is given up."""

_Row = tuple[list[str], dict[str, list[Text]]]
"""A set, damaged in one way: its name, its pictures and, if one has a name, the protocol; then by
model the mean of each metric."""


def print_table(result: Evaluation, console: Console) -> None:
    """With rules and bold type on a terminal; elsewhere plain lines, never cut or wrapped.

    One line a set and protocol with the models side by side; where that is too wide, one line a
    model; where even that is, a model's name and below it its numbers.
    """
    rich = console.is_terminal and not console.is_dumb_terminal
    if rich:
        console.print(_report(result, console.width, rich))
        return
    endless = Console(width=_ENDLESS, no_color=True, force_terminal=False)
    with endless.capture() as text:
        endless.print(_report(result, _PLAIN_WIDTH, rich))
    lines = (line.rstrip() for line in text.get().splitlines())
    console.file.write("\n".join(lines) + "\n")


def _report(result: Evaluation, width: int, rich: bool) -> RenderableType:
    measure = Console(width=_ENDLESS).measure
    rows = list(_rows(result, rich))
    table: RenderableType = _wide(rows, rich)
    cells = " / ".join(result.metrics) + ", "
    if measure(table).maximum > width:
        cells = ""
        table = _long(rows, rich, list(result.metrics))
        names = max(map(len, result.columns))
        if rich and measure(table).maximum - max(0, names - _NAME) > width:
            table = _stacked(rows, list(result.metrics))
    about = Table.grid(padding=(0, 2))
    about.add_column(no_wrap=True)
    about.add_column(overflow="fold")
    for key, value in _about(result, rich, cells):
        about.add_row(Text(key), Text(value))
    return Group(table, Text(), about)


def _rows(result: Evaluation, rich: bool) -> Iterator[_Row]:
    means = result.means()
    named = any(any(found.protocols) for found in result.sets)
    for found in result.sets:
        for protocol in found.protocols:
            cells: dict[str, list[Text]] = {name: [] for name in result.columns}
            for metric in result.metrics:
                groups = {n: Mean(found.name, protocol, n, metric) for n in result.columns}
                texts = {name: _rounded(means[group], metric) for name, group in groups.items()}
                best = max(map(float, texts.values()))
                for name, text in texts.items():
                    cells[name].append(_value(text, float(text) == best, result, rich))
            yield [found.name, str(found.pictures), *([protocol] if named else [])], cells


def _value(text: str, best: bool, result: Evaluation, rich: bool) -> Text:
    """A mean, the best of its row in bold type or marked."""
    if rich:
        return Text(text, "bold" if best else "")
    if len(result.models) == 1:
        return Text(text)
    return Text(text + (_MARK if best else " "))


def _wide(rows: list[_Row], rich: bool) -> Table:
    """Models side by side, their metrics in one cell."""
    table = _table(rows, rich)
    for name in rows[0][1]:
        table.add_column(Text(name, justify="left"), justify="right", no_wrap=True)
    for words, cells in rows:
        table.add_row(*map(Text, words), *map(Text(" / ").join, cells.values()))
    return table


def _long(rows: list[_Row], rich: bool, metrics: list[str]) -> Table:
    """A line for each model, a column for each metric."""
    table = _table(rows, rich)
    table.add_column(Text("model"), overflow="fold")
    for metric in metrics:
        table.add_column(Text(metric, justify="right"), justify="right", no_wrap=True)
    for words, cells in rows:
        for name, values in cells.items():
            table.add_row(*map(Text, words), Text(name), *values)
            if rich:  # plain lines are for searching: they say all
                words = [""] * len(words)
        table.add_section()
    return table


def _stacked(rows: list[_Row], metrics: list[str]) -> RenderableType:
    """For terminals that no table fits."""
    lines: list[Text] = []
    for (folder, pictures, *protocol), cells in rows:
        count = f"{pictures} picture" + "s" * (pictures != "1")
        lines += [Text(), Text(", ".join(filter(None, (folder, *protocol, count))))]
        for name, values in cells.items():
            pairs = zip(metrics, values, strict=True)
            named = [Text.assemble(metric, " ", value) for metric, value in pairs]
            lines += [Text(f"  {name}"), Text("    ") + Text("  ").join(named)]
    return Group(*lines)


def _table(rows: list[_Row], rich: bool) -> Table:
    style = box.SIMPLE_HEAD if rich else None
    table = Table(box=style, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    table.add_column("set", overflow="fold")
    table.add_column("pictures", justify="right")
    if len(rows[0][0]) > 2:
        table.add_column("protocol", overflow="fold")
    return table


def _rounded(value: float, metric: str) -> str:
    return f"{value:.4f}" if metric.startswith("ssim") else f"{value:.2f}"


def _about(result: Evaluation, rich: bool, cells: str) -> Iterator[tuple[str, str]]:
    parameters = ", ".join(f"{key} {value}" for key, value in result.task)
    yield "task", f"{result.task_name} ({parameters})"
    best = "" if rich or len(result.models) == 1 else f"; {_MARK} the best"
    yield "numbers", f"{cells}means over the pictures{best}"
    yield from result.metrics.items()
    yield "made with", f"seed {result.seed}, {result.precision}, {result.device}"
