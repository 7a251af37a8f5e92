"""How all pictures of features look, and how they reach the disk.

matplotlib is imported only when something is drawn, and only its objects are used: no pyplot, no
backend chosen, no global setting changed, so that it may be called from any thread or program.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

from iln.atomic import atomic_write
from iln.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Axes
    from matplotlib.figure import Figure as Figure
else:
    Axes = Figure = Any

TITLE, LABEL, SMALL = 13, 12, 10.5
"""Points: readable in a column of print."""
INK, QUIET = "#222222", "#777777"
HUES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's colours, which colour-blind readers tell apart, strongest contrasts first."""
AMOUNT, SIGNED = "cividis", "RdBu_r"
"""Colour maps for amounts and for numbers around 0, both safe for colour-blind readers."""


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that many inches. Raises InputError where matplotlib is missing."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError('pictures need matplotlib: pip install "iln[train]"') from None
    return Figure((width, height), layout="constrained", facecolor="white")


def plain(axes: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Text in our sizes, no frame but the two axes, and a faint grid behind the data."""
    axes.set_title(title, fontsize=TITLE, color=INK, loc="left")
    axes.set_xlabel(x, fontsize=LABEL, color=INK)
    axes.set_ylabel(y, fontsize=LABEL, color=INK)
    axes.tick_params(labelsize=SMALL, color=QUIET, labelcolor=INK)
    axes.grid(color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(QUIET)


def logarithmic(axes: Axes, which: Literal["x", "y"]) -> None:
    """A logarithmic axis with plain numbers, after the data are in; 1, 2, 5 where it is short."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 60 * low else (1,)))
    axis.set_major_formatter(lambda value, _: _number(value))
    axis.set_minor_formatter(NullFormatter())


def _number(value: float) -> str:
    if 1e-4 <= value < 1e6:
        return f"{value:.10g}"
    digits, _, power = f"{value:.0e}".partition("e")
    return ("" if digits == "1" else rf"{digits}$\times$") + f"$10^{{{int(power)}}}$"


def bare(axes: Axes, title: str = "") -> None:
    """For an image: a title and nothing around it."""
    axes.set_title(title, fontsize=TITLE, color=INK, loc="left")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def shades(hue: str, count: int) -> list[tuple[float, float, float, float]]:
    """`count` shades of a colour, from pale to a little darker than itself: shallow to deep."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    rgb = to_rgb(hue)
    pale = tuple(1 - 0.35 * (1 - value) for value in rgb)
    dark = tuple(0.6 * value for value in rgb)
    scale = LinearSegmentedColormap.from_list("", [pale, rgb, dark])
    return [scale(i / max(1, count - 1)) for i in range(count)]


def short(name: str) -> str:
    """A block's name as a label: `layers.2.residual_group.blocks.0` is `2.0`."""
    kept = (part for part in name.split(".") if part not in ("layers", "residual_group", "blocks"))
    return ".".join(kept)


def write_png(figure: Figure, file: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """The figure as a PNG at 150 dots per inch, whole or not at all. Raises InputError."""
    options: dict[str, Any] = {"format": "png", "dpi": 150}
    with atomic_write(file, overwrite=overwrite) as temporary:
        figure.savefig(temporary, **options)
