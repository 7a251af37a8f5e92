"""The recipes that come with the package: functions, so that one can derive from another."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from iln.errors import InputError, nearest
from iln.training.recipe import Recipe

OPEN = (Path("OpenPhotos"), Path("BSDS500/train"), Path("BSDS500/test"))
"""810 pictures; BSDS500 `val` is left out because BSD100 is cut from it."""


def sr_x2() -> Recipe:
    """SwinIR-light with i-LN, twofold, for an afternoon on a small computer."""
    return Recipe(
        backbone="swinir-light-x2",
        spec={"input_stats": "mean+std"},  # whatever the norm, so that norms can be compared
        scale=2,
        data=OPEN,
        validation=(Path("Set5"),),
        steps=20_000,
        lr=1e-3,
    )


def sr_x4() -> Recipe:
    """As `sr_x2`, fourfold; start it from the twofold weights with `init=`."""
    return derive(sr_x2(), {"backbone": "swinir-light-x4", "scale": 4})


RECIPES: dict[str, Callable[[], Recipe]] = {"sr-x2": sr_x2, "sr-x4": sr_x4}


def recipe(name: str, overrides: Iterable[str] = ()) -> Recipe:
    """A recipe by its name, with `key=value` replacements.

    Values are JSON where that parses (`steps=100`, `betas=[0.9,0.95]`), else plain text; a list
    of one may be written as its item, and `spec.embed_dim=48` reaches inside a table.
    Raises InputError for an unknown recipe or key, naming the nearest, or for a bad value.
    """
    if name not in RECIPES:
        raise InputError(f"there is no recipe {name!r}; {nearest(name, RECIPES)}")
    base = RECIPES[name]()
    changes: dict[str, Any] = {}
    for item in overrides:
        key, equals, text = item.partition("=")
        if not equals:
            raise InputError(f"{item!r} is not of the form key=value")
        field, dot, inner = key.partition(".")
        if dot and field == "spec":
            changes["spec"] = {**changes.get("spec", base.spec), inner: _value(text)}
        else:
            changes[key] = _value(text)
    return derive(base, changes)


def derive(base: Recipe, changes: dict[str, Any]) -> Recipe:
    """A copy of a recipe with some values replaced and all of it validated again."""
    fields = Recipe.model_fields
    for key, value in changes.items():
        if key not in fields:
            raise InputError(f"a recipe has no {key!r}; {nearest(key.partition('.')[0], fields)}")
        if isinstance(value, str) and isinstance(getattr(base, key), tuple):
            changes = {**changes, key: (value,)}
    try:
        return Recipe.model_validate({**base.model_dump(), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"recipe value {where}={first['input']!r}: {first['msg']}") from None


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
