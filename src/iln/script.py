"""How a program of this project ends: with one line for what its user can change, and a code."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from iln.atomic import printable
from iln.errors import InputError

_OF_WRITING = (errno.ENOSPC, errno.EFBIG, errno.EIO)
"""Of a full or broken disk."""


def run_script(main: Callable[[], int | None]) -> None:
    """Exit with what `main` returns.

    Exit codes: 2 bad input, 1 a training whose loss is not finite, 130 interrupted, and what a
    program ended with that was run as a part of this one.
    """
    try:
        with errors_in_one_line():
            sys.exit(main())
    except subprocess.CalledProcessError as error:  # which has said what is wrong
        sys.stderr.write(error.stderr or "")
        sys.exit(error.returncode)
    except FloatingPointError as error:
        _say(f"error: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        _say("interrupted")
        sys.exit(130)


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Exits with code 2 and one line for a wrong value, file or folder and for a full disk."""
    try:
        yield
    except InputError as error:
        _say(f"error: {error}")
        sys.exit(2)
    except OSError as error:  # a folder that one may not look into, a name that is too long
        if error.filename is None and error.errno not in _OF_WRITING:
            raise
        name = "standard output" if error.filename is None else printable(error.filename)
        _say(f"error: {name}: {error.strerror}")
        sys.exit(2)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
