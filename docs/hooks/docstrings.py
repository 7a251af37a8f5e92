"""For the site: parameters in docstrings, written as `name: what it is`, become a section.

Only lines are meant that begin with the name of a parameter or field, at the docstring's margin.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Class, Extension, Function, Object

ITEM = re.compile(r"((?:\w+, )*\w+): +(\S.*)")


class Parameters(Extension):
    """Rewrites docstrings to Google's style, before they are parsed."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Called for every module, class, function and attribute, when its members are known."""
        if obj.docstring and isinstance(obj, (Class, Function)):
            names = _names(obj)
            fields = isinstance(obj, Class) and "__init__" not in obj.members
            section = "Attributes" if fields else "Args"
            obj.docstring.value = _rewritten(obj.docstring.value, names, section)


def _names(obj: Class | Function) -> set[str]:
    if isinstance(obj, Function):
        return {parameter.name.lstrip("*") for parameter in obj.parameters}
    names = set(obj.members)
    init = obj.members.get("__init__")
    return names | _names(init) if isinstance(init, Function) else names


def _rewritten(text: str, names: set[str], section: str) -> str:
    out: list[str] = []
    item: list[str] = []  # the names, and what they are line by line

    def close() -> None:
        if item:
            first, *others = item[0].split(", ")
            out.extend((f"    {first}: {item[1]}", *(f"    {line}" for line in item[2:])))
            same = item[1] if len(item) == 2 else f"see `{first}`."
            out.extend(f"    {name}: {same}" for name in others)

    inside = False
    for line in text.splitlines():
        found = ITEM.fullmatch(line)
        if found and set(found[1].split(", ")) <= names:
            close()
            if not inside:
                out += ["", f"{section}:"]
            item, inside = [found[1], found[2]], True
        elif inside and line.startswith(" "):
            item.append(line)
        else:
            close()
            out += ["", line] if inside and line else [line]
            item, inside = [], False
    close()
    return "\n".join(out)
