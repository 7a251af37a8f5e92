"""The one kind of error whose message tells the user what to change, and hints for it."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """A file, value or model from the user cannot be used.

    The message is one line: what is wrong, with which file or value, and what would be
    accepted. The command line prints it without a traceback and exits with code 2.
    """


def nearest(name: str, known: Iterable[str]) -> str:
    """`did you mean A or B?`, or the whole list where nothing is close."""
    known = sorted(known)
    if close := difflib.get_close_matches(name, known, n=3):
        return f"did you mean {' or '.join(close)}?"
    return f"known: {', '.join(known)}"


def first_line(error: BaseException) -> str:
    """The first line of an error's message; without one its kind."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
