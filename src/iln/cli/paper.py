"""`iln paper`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iln.atomic import check_no_stream, printable
from iln.errors import InputError

if TYPE_CHECKING:
    from iln.lab.paper.page import Page
    from iln.lab.training import Recipe


class ScaleName(StrEnum):
    smoke = "smoke"
    mini = "mini"
    paper = "paper"


def paper(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="Reproduce these figures and tables, or `all`. Without a name, list them.",
        ),
    ] = None,
    scale: Annotated[
        ScaleName,
        typer.Option(
            help="Choose mini (small networks, two CPU cores), paper (official settings, GPUs) or "
            "smoke (a test that takes seconds)."
        ),
    ] = ScaleName.mini,
    data_root: Annotated[
        Path, typer.Option(metavar="DIR", help="Read the datasets from this folder.")
    ] = Path("data"),
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="DIR", help="Write each page to DIR/NAME."),
    ] = Path("paper"),
    store: Annotated[
        Path,
        typer.Option(
            metavar="DIR", help="Keep trained runs in this folder, and use those that are there."
        ),
    ] = Path("runs/paper"),
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1, help="Train this many runs in parallel. Default: one per CPU core or GPU."
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=4, help="Override the number of training steps.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where to train: auto, cpu, cuda, ...")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing pages.")] = False,
) -> None:
    """Reproduce the paper's figures and tables: train what is missing, write a page with our
    numbers beside the published ones.

    On Ctrl-C or SIGTERM all runs are saved. Run the same command again to resume. Exit codes: 0
    done, 2 bad input, 3 stopped.
    """
    from iln.lab.paper import ITEMS, Store, find_item, reproduce, scale_of
    from iln.lab.paper.page import check_page

    if not names:
        for item in ITEMS.values():
            typer.echo(f"{', '.join(item.names):14} {item.title}")
        return
    for folder in (output, store):
        check_no_stream(folder, "folder")
    items = [*ITEMS.values()] if "all" in names else [*dict.fromkeys(map(find_item, names))]
    chosen = scale_of(scale.value)
    if steps is not None:
        chosen = chosen.with_steps(steps)
    runs = store / scale.value
    pictures = runs / "pictures" if scale is ScaleName.smoke else data_root
    if scale is not ScaleName.smoke and not data_root.is_dir():
        raise InputError(
            f"{printable(data_root)} is no folder; --data-root says where pictures lie"
        )
    for item in items:  # before hours of training
        check_page(output / item.names[0], overwrite)
    kept = Store(runs, pictures, device)
    for item in items:
        with _display() as (say, tell):
            page = reproduce(
                item,
                chosen,
                kept,
                output / item.names[0],
                jobs=jobs or _jobs(device),
                say=say,
                tell=tell,
                overwrite=overwrite,
            )
        if page is None:
            typer.echo(f"stopped, all runs are saved in {runs}; the same command goes on")
            raise typer.Exit(3)
        _show(page)


def _jobs(device: str) -> int:
    """One run a CPU core, as recipes of these scales use one thread; one a GPU."""
    import torch

    from iln.cpu import cores

    if device == "cpu" or not torch.cuda.is_available():
        return cores()
    return 1


@contextmanager
def _display() -> Iterator[tuple[Callable[[str], None], Callable[[Recipe, int, float], None]]]:
    """Lines, and on a terminal a bar for every run under way."""
    from rich import progress as bars
    from rich.console import Console

    console = Console()
    columns = (
        bars.TextColumn("{task.description}", markup=False),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TextColumn("{task.fields[loss]}"),
        bars.TimeRemainingColumn(),
    )
    hidden = not console.is_terminal
    with bars.Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        known: dict[str, bars.TaskID] = {}

        def tell(recipe: Recipe, done: int, loss: float) -> None:
            name = recipe.model_dump_json()
            if name not in known:
                words = f"{recipe.task} {recipe.backbone} {recipe.norm} seed {recipe.seed}"
                known[name] = progress.add_task(words, total=recipe.steps, loss="")
            progress.update(known[name], completed=done, loss=f"loss {loss:.4f}")
            if done == recipe.steps:
                progress.remove_task(known.pop(name))

        yield (lambda line: progress.console.print(line, markup=False, highlight=False)), tell


def _show(page: Page) -> None:
    """What a page says, without its pictures."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(page.title, style="bold", markup=False)
    claims = [list(claim) for claim in page.claims]
    tables = [("Claims", ["claim", "holds here", "numbers"], claims), *page.tables]
    for caption, headers, rows in tables:
        table = Table(title=caption, title_justify="left", title_style="")
        for header in headers:
            table.add_column(header, overflow="fold")
        for row in rows:
            table.add_row(*(cell.replace("[", r"\[") for cell in row))
        console.print(table)
    console.print(f"written to {page.folder / 'README.md'}", markup=False, soft_wrap=True)
