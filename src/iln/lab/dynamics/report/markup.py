"""HTML and SVG as text, in which nothing from outside can become markup.

The markup lies in `templates`; text that is no `Markup` is escaped there.
"""

from __future__ import annotations

import base64
import io
from functools import cache
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape
from PIL import Image

from iln.lab.dynamics.formatting import hundredths, number, share, sqnr
from iln.lab.dynamics.report.axes import written
from iln.lab.dynamics.verdict import FP16_END

__all__ = ["Markup", "draw", "picture", "render"]


def prose(text: str) -> Markup:
    """Sentences, in which `words` between backquotes are code."""
    parts = map(escape, text.split("`"))
    return Markup("".join(f"<code>{p}</code>" if i % 2 else p for i, p in enumerate(parts)))


def picture(pixels: npt.NDArray[np.uint8], alt: str, sized: str) -> Markup:
    """(H, W, 1, 3 or 4) as an image inside the page.

    Args:
        sized: its class.
    """
    height, width, channels = pixels.shape
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(buffer, "png", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    image = '<img class="{}" src="data:image/png;base64,{}" alt="{}" width="{}" height="{}">'
    return Markup(image).format(sized, data, alt, width, height)


@cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("iln.lab.dynamics.report"),
        autoescape=True,
        finalize=_plain,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.filters.update(prose=prose, number=number, share=share, sqnr=sqnr)
    made.filters.update(hundredths=hundredths, written=written)
    made.globals["FP16_END"] = FP16_END
    return made


def _plain(value: Any) -> Any:
    """Numbers of drawings with two decimals at most."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


def render(template: str, **values: object) -> str:
    """A template of `templates`, filled in."""
    return _environment().get_template(template).render(values)


def draw(chart: str, **values: object) -> Markup:
    """A macro of `charts.html`, without the line breaks that make it readable."""
    module: Any = _environment().get_template("charts.html").module
    drawn: Markup = getattr(module, chart)(**values).replace("\n", "")
    return drawn
