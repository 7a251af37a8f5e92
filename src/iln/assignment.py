"""`key=value` as people write it on the command line."""

from __future__ import annotations

import json
from typing import Any

from iln.errors import InputError


def parse_assignment(word: str) -> tuple[str, Any]:
    """`steps=100`, `sigma=15,50`, `betas=[0.9,0.95]`, `subsampling=4:2:0` -> the key and the value.

    A value is JSON where it parses, a list where it does between brackets, else text.

    Raises:
        InputError: where there is no key or no equals sign.
    """
    key, equals, text = word.partition("=")
    if not equals or not key:
        raise InputError(f"{word!r} is not of the form key=value")
    for form in (text, f"[{text}]") if text else ():
        try:
            return key, json.loads(form)
        except (ValueError, RecursionError):  # no JSON, or of too many digits or brackets
            continue
    return key, text
