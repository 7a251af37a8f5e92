"""The command `iln`: puts the commands together and reports errors.

Each command lies in a file of `iln.cli`, which imports PyTorch only when the command runs.
"""

from __future__ import annotations

import inspect
import io
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os.path import isfile
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from iln import __version__
from iln.cli.degrade import degrade
from iln.cli.diagnose import diagnose
from iln.cli.evaluate import EvaluateCommand, evaluate
from iln.cli.export import export
from iln.cli.models import models
from iln.cli.paper import paper
from iln.cli.quantize import quantize
from iln.cli.rescue import rescue
from iln.cli.restore import restore
from iln.cli.serve import serve
from iln.cli.signals import ended_by_signals
from iln.cli.train import recipes, train
from iln.cpu import SHORT_SPIN
from iln.errors import InputError
from iln.script import errors_in_one_line

# Of Click, which newer versions of Typer bring along.
_UsageError: Any = typer.BadParameter.__mro__[1]


class _Commands(TyperGroup):
    """Wrong usage is one line, as every other error is. Ctrl-C ends a command with one word and
    code 130, whatever Typer's version makes of it."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        if not args:
            return super().parse_args(ctx, args)  # shows the help
        with _usage_in_one_line(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            with _usage_in_one_line(ctx):
                return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _interrupted() from None


def _interrupted() -> SystemExit:
    typer.echo("interrupted", err=True)
    return SystemExit(130)


@contextmanager
def _usage_in_one_line(ctx: Any) -> Iterator[None]:
    """Raises InputError for what Click says of the arguments, and where to read on."""
    try:
        yield
    except _UsageError as error:
        said = error.format_message().rstrip(".").replace("Value error, ", "")  # of pydantic
        command = " ".join(filter(None, (ctx.command_path, ctx.invoked_subcommand)))
        dashed = [
            word
            for word in sys.argv[1:]
            if word[:1] == "-" and isfile(word)  # noqa: PTH113 (which raises for long names)
        ]
        hint = f"; name that file as ./{dashed[0]}" if dashed else ""
        raise InputError(f"{said[:1].lower()}{said[1:]}{hint}; see {command} --help") from None


app = typer.Typer(
    name="iln",
    cls=_Commands,
    help="Image restoration with Transformers that train stably and run anywhere.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"iln {__version__}")
        raise typer.Exit


def _paragraphs(command: Callable[..., None]) -> str:
    """A command's docstring, each paragraph on one line: only the terminal's width breaks it."""
    return re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.getdoc(command) or "")


for _command in (
    restore,
    serve,
    models,
    recipes,
    train,
    degrade,
    rescue,
    diagnose,
    export,
    quantize,
    paper,
):
    app.command(help=_paragraphs(_command))(_command)
app.command(cls=EvaluateCommand, help=_paragraphs(evaluate))(evaluate)


class _Notes(logging.Handler):
    """Notes of the library as lines on standard error, between those of a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        typer.echo(f"note: {record.getMessage()}", err=True)


def share_cores() -> None:
    """Have PyTorch's threads spin shortly, where it is not loaded yet and the user says nothing."""
    said = any(name in os.environ for name in ("OMP_WAIT_POLICY", *SHORT_SPIN))
    if "torch" not in sys.modules and not said:
        os.environ.update(SHORT_SPIN)


def _open_standard_streams() -> None:
    """Where one is closed (`>&-`), the null device stands in for it: else the next file that is
    opened would take its number, and be written to by whoever means the stream."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))


def main(arguments: list[str] | None = None) -> None:
    """Entry point. Exit codes: 0 done, 1 some pictures failed, 2 bad input, 130 interrupted."""
    share_cores()
    _open_standard_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):  # any file's name can be told
        sys.stdout.reconfigure(errors="backslashreplace")
    logger = logging.getLogger("iln")
    logger.setLevel(logging.INFO)
    notes = _Notes()
    logger.addHandler(notes)
    try:
        with errors_in_one_line(), ended_by_signals(main.__code__):
            app(arguments, prog_name="iln")
    except KeyboardInterrupt:  # in the last moment
        raise _interrupted() from None
    finally:
        logger.removeHandler(notes)
