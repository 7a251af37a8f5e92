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
    table: RenderableType = _wide(result, rich)
    cells = " / ".join(result.metrics) + ", "
    if measure(table).maximum > width:
        cells = ""
        table = _long(result, rich)
        names = max(map(len, result.columns))
        if rich and measure(table).maximum - max(0, names - _NAME) > width:
            table = _stacked(result)
    about = Table.grid(padding=(0, 2))
    about.add_column(no_wrap=True)
    about.add_column(overflow="fold")
    for key, value in _about(result, rich, cells):
        about.add_row(Text(key), Text(value))
    return Group(table, Text(), about)


def _wide(result: Evaluation, rich: bool) -> Table:
    """Models side by side, their metrics in one cell."""
    table = _table(rich)
    rows = _rows(result)
    shown = _with_protocols(table, rows)
    for name in result.columns:
        table.add_column(Text(name, justify="left"), justify="right", no_wrap=True)
    means = result.means()
    for folder, pictures, protocol in rows:
        cells = [
            Text(" / ").join(
                _value(means, Mean(folder, protocol, name, metric), result, rich)
                for metric in result.metrics
            )
            for name in result.columns
        ]
        words = [folder, str(pictures), *([protocol] if shown else [])]
        table.add_row(*map(Text, words), *cells)
    return table


def _long(result: Evaluation, rich: bool) -> Table:
    """A line for each model, a column for each metric."""
    table = _table(rich)
    rows = _rows(result)
    shown = _with_protocols(table, rows)
    table.add_column(Text("model"), overflow="fold")
    for metric in result.metrics:
        table.add_column(Text(metric, justify="right"), justify="right", no_wrap=True)
    means = result.means()
    for folder, pictures, protocol in rows:
        for name in result.columns:
            words = [folder, str(pictures), *([protocol] if shown else [])]
            if rich and name != result.baseline:  # plain lines are for searching: they say all
                words = [""] * len(words)
            groups = [Mean(folder, protocol, name, metric) for metric in result.metrics]
            cells = [_value(means, group, result, rich) for group in groups]
            last = name == result.columns[-1]
            table.add_row(*map(Text, words), Text(name), *cells, end_section=last)
    return table


def _stacked(result: Evaluation) -> RenderableType:
    """For terminals that no table fits."""
    means = result.means()
    lines: list[Text] = []
    for folder, pictures, protocol in _rows(result):
        count = f"{pictures} picture" + "s" * (pictures != 1)
        lines += [Text(), Text(", ".join(filter(None, (folder, protocol, count))))]
        for name in result.columns:
            groups = [Mean(folder, protocol, name, metric) for metric in result.metrics]
            cells = [Text.assemble(g.metric, " ", _value(means, g, result, True)) for g in groups]
            lines += [Text(f"  {name}"), Text("    ") + Text("  ").join(cells)]
    return Group(*lines)


def _table(rich: bool) -> Table:
    style = box.SIMPLE_HEAD if rich else None
    table = Table(box=style, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    table.add_column("set", overflow="fold")
    table.add_column("pictures", justify="right")
    return table


def _rows(result: Evaluation) -> list[tuple[str, int, str]]:
    """(set, pictures, protocol)"""
    return [(s.name, s.pictures, protocol) for s in result.sets for protocol in s.protocols]


def _with_protocols(table: Table, rows: list[tuple[str, int, str]]) -> bool:
    """A column for them, if they have names."""
    named = any(protocol for _, _, protocol in rows)
    if named:
        table.add_column("protocol", overflow="fold")
    return named


def _value(means: dict[Mean, float], group: Mean, result: Evaluation, rich: bool) -> Text:
    """A mean, the best of its row in bold type or marked."""
    rivals = (_rounded(means[group._replace(model=name)], group.metric) for name in result.columns)
    text = _rounded(means[group], group.metric)
    best = float(text) == max(map(float, rivals))
    if rich:
        return Text(text, "bold" if best else "")
    if len(result.models) == 1:
        return Text(text)
    return Text(text + (_MARK if best else " "))


def _rounded(value: float, metric: str) -> str:
    return f"{value:.4f}" if metric.startswith("ssim") else f"{value:.2f}"


def _about(result: Evaluation, rich: bool, cells: str) -> Iterator[tuple[str, str]]:
    parameters = ", ".join(f"{key} {value}" for key, value in result.task)
    yield "task", f"{result.task_name} ({parameters})"
    best = "" if rich or len(result.models) == 1 else f"; {_MARK} the best"
    yield "numbers", f"{cells}means over the pictures{best}"
    yield from result.metrics.items()
    yield "made with", f"seed {result.seed}, {result.precision}, {result.device}"
