"""HTML and SVG as text, in which nothing from outside can become markup.

The page's markup lies in `templates`; drawings are put together of elements here.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from PIL import Image

__all__ = ["Markup", "element", "joined", "macro", "picture", "prose", "render"]

_VOID = {"meta", "img", "br", "col"}


def element(name: str, attributes: Mapping[str, object], *children: str) -> Markup:
    """`<name key="value">children</name>`; attributes that are None are left out."""
    said = "".join(
        f' {key}="{html.escape(_plain(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{said}>")
    return Markup(f"<{name}{said}>{joined(children)}</{name}>")


def joined(parts: Iterable[str]) -> Markup:
    """One after the other."""
    return Markup("".join(p if isinstance(p, Markup) else html.escape(p) for p in parts))


def prose(text: str) -> Markup:
    """Sentences, in which `words` between backquotes are code."""
    parts = text.split("`")
    return joined(element("code", {}, p) if i % 2 else p for i, p in enumerate(parts))


def picture(pixels: npt.NDArray[np.uint8], alt: str, sized: str) -> Markup:
    """(H, W, 1, 3 or 4) as an image inside the page. sized: its class."""
    height, width, channels = pixels.shape
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(buffer, "png", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    source = f"data:image/png;base64,{data}"
    return element(
        "img", {"class": sized, "src": source, "alt": alt, "width": width, "height": height}
    )


def _plain(value: Any) -> str:
    """Numbers of drawings with two decimals at most."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


@cache
def _environment() -> jinja2.Environment:
    loader = jinja2.PackageLoader("iln.lab.dynamics.report")
    made = jinja2.Environment(
        loader=loader,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.filters["prose"] = prose
    return made


def render(template: str, **values: object) -> str:
    """A template of `templates`, filled in. Text that is no `Markup` is escaped."""
    return _environment().get_template(template).render(values)


def macro(template: str, name: str, *values: object) -> Markup:
    """What a macro of a template makes of some values."""
    module: Any = _environment().get_template(template).module
    made: Markup = getattr(module, name)(*values)
    return made
