"""The one kind of error whose message tells the user what to change, and hints for it."""

import difflib
from collections.abc import Iterable
from pathlib import PurePath
from typing import Any, Protocol


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


class _Validated(Protocol):
    """Pydantic's ValidationError; without importing it."""

    def errors(self, *, include_url: bool) -> list[Any]: ...


def first_complaint(error: _Validated) -> str:
    """What pydantic says first of the values it was given, such as `steps=0: must be ...`."""
    first = error.errors(include_url=False)[0]
    place = first["loc"]
    if first["type"] == "extra_forbidden":
        return f"there is no {'.'.join(map(str, place))}"
    # Names further in are branches of a union; numbers are places in a list.
    where = ".".join(str(part) for n, part in enumerate(place) if n == 0 or isinstance(part, int))
    value = first["input"]
    given = f"={value if isinstance(value, PurePath) else repr(value)}"
    shown = f"{where}{'' if first['type'] == 'missing' else given}: " if where else ""
    said: str = first["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    return shown + said.replace("a valid tuple", "a list, such as [1, 2]")


def first_line(error: BaseException) -> str:
    """The first line of an error's message; without one its kind."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
