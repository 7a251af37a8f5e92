"""Progress bar of a long command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar() -> Iterator[Callable[[str, float], None]]:
    """tell(what, share), shown with the time left where a person is looking.

    A share that is smaller than the last one begins something new, whose time is counted afresh.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
    with Progress(
        *columns,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("loading", total=1.0)

        def tell(what: str, share: float) -> None:
            if share < bar.tasks[0].completed:
                bar.reset(task)
            bar.update(task, description=what, completed=share)

        yield tell
