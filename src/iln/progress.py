"""What a long command says meanwhile: a progress bar, and lines."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO


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


def say(line: str, stream: TextIO | None = None) -> None:
    """A line, by default on standard error; a reader who has left, or a full disk, ends no work."""
    stream = sys.stderr if stream is None else stream
    try:
        stream.write(f"{line}\n")
        stream.flush()
    except (OSError, ValueError):
        # What could not be written stays in the stream, and would be tried again at the end.
        with contextlib.suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
