"""What happened to the blocks over a training run: curves from its log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from iln.atomic import printable
from iln.errors import InputError
from iln.lab.dynamics.drawing import (
    HUES,
    LABEL,
    QUIET,
    SMALL,
    Figure,
    logarithmic,
    new_figure,
    plain,
    shades,
)

LABELS = {
    "mean_square": "mean square of the features",
    "max_abs": "largest feature, max |x|",
    "entropy": "channel entropy (nats)",
    "relative_entropy": "channel entropy / ln C",
    "top_share": "energy in the strongest channel",
    "kurtosis": "kurtosis of the features",
    "token_sigma": "sigma of a token, mean",
    "token_sigma_cv": "sigma of a token, relative spread",
    "sigma1": "sigma of norm1",
    "sigma2": "sigma of norm2",
    "gradient_norm": "gradient norm of a block",
    "update_ratio": "update / weight",
    "nonfinite": "values that are not finite",
}
"""The measures that curves can show, and how their axes are called."""
LOGARITHMIC = set(LABELS) - {"entropy", "relative_entropy", "top_share", "nonfinite"}


@dataclass(frozen=True)
class History:
    """The blocks of one run over its steps.

    Attributes:
        steps: (S,).
        values: per measure (S, blocks), NaN where the log has nothing.
    """

    steps: npt.NDArray[np.int64]
    blocks: tuple[str, ...]
    values: Mapping[str, npt.NDArray[np.float64]]


def read_history(run: Path) -> History:
    """From a run's folder, or its `log.jsonl`.

    Half a line at the end, still being written, is passed over.

    Raises:
        InputError: if there is none, or nothing about blocks in it.
    """
    file = run / "log.jsonl" if run.is_dir() else run
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise InputError(
            f"{printable(run)} is no run's folder and no log that can be read"
        ) from None
    found: dict[int, dict[str, dict[str, float | None]]] = {}
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if not isinstance(entry, dict) or not isinstance(entry.get("step"), int):
            continue
        said = entry.get("dynamics")
        if isinstance(said, dict) and said and all(isinstance(b, dict) for b in said.values()):
            found[entry["step"]] = said
    if not found:
        raise InputError(f"{file} says nothing about blocks; train with dynamics.every=100")
    steps = sorted(found)
    blocks = tuple(found[steps[0]])
    values = {
        measure: np.array(
            [[found[step].get(name, {}).get(measure) for name in blocks] for step in steps],
            np.float64,  # None becomes NaN
        )
        for measure in LABELS
    }
    return History(np.array(steps), blocks, values)


def draw_training(
    runs: Mapping[str, Path], measures: tuple[str, ...] = ("mean_square", "entropy")
) -> Figure:
    """Measures over the steps, one line a block, pale for the first and dark for the last one.

    Steps are logarithmic, and so is what grows without bound.

    Args:
        runs: by the name to show, up to six, each a colour, all on the same axes.
        measures: of `LABELS`, a panel each.

    Raises:
        InputError: for a measure that is not known, too many runs, or a log without blocks.
    """
    if unknown := [name for name in measures if name not in LABELS]:
        raise InputError(f"no measure {unknown[0]!r}; known: {', '.join(LABELS)}")
    if not 1 <= len(runs) <= len(HUES):
        raise InputError(f"{len(runs)} runs; 1 to {len(HUES)} can be told apart in one picture")
    histories = {name: read_history(run) for name, run in runs.items()}
    figure = new_figure(5.2 * len(measures), 4.6)
    panels = figure.subplots(1, len(measures), squeeze=False)[0]
    for axes, measure in zip(panels, measures, strict=True):
        for history, hue in zip(histories.values(), HUES, strict=False):
            mark = "o" if len(history.steps) == 1 else ""
            colours = shades(hue, len(history.blocks))
            for values, colour in zip(history.values[measure].T, colours, strict=True):
                axes.plot(history.steps, values, color=colour, linewidth=1.3, marker=mark)
        plain(axes, "", "step", LABELS[measure])
        axes.margins(x=0.02)
        logarithmic(axes, "x")
        if measure in LOGARITHMIC:
            logarithmic(axes, "y")
    _draw_legend(figure, histories)
    return figure


def _draw_legend(figure: Figure, histories: Mapping[str, History]) -> None:
    """Above the panels: each run's name beside a patch that goes from its first to last block."""
    from matplotlib.legend_handler import HandlerTuple
    from matplotlib.patches import Patch

    strips: Any = [tuple(Patch(color=c) for c in shades(hue, 6)) for hue in HUES[: len(histories)]]
    legend = figure.legend(
        strips,
        list(histories),
        handler_map={tuple: HandlerTuple(ndivide=None, pad=0)},
        handlelength=3.5,
        ncols=len(histories),
        loc="outside upper left",
        fontsize=LABEL,
        frameon=False,
        title="one line a block: first pale, last dark",
        title_fontsize=SMALL,
        alignment="left",
    )
    legend.get_title().set_color(QUIET)
