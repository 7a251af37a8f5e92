"""Are the shipped models what their cards say? Exit code 1, and a line for each thing, if not.

    make zoo-check DATA=DATA
    make zoo-check DATA=DATA MODEL=sr-x2
    python zoo/check.py sr-x2 --data DATA --full

All files are compared with their cards; the model, or all of them, is scored again: on the first
four pictures of each set, with seed 0, against zoo/quick.json, or by --full as its card says.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import card
import quick
from models import MODELS, licence, model
from quick import Rows
from score import measure, measure_quickly

from iln.checkpoints.chains import CHAINS
from iln.checkpoints.native import describe
from iln.errors import InputError
from iln.progress import progress_bar
from iln.script import run_script

LIMIT = 25_000_000
"""Bytes of all weights and cards."""
TOLERANCE = {"psnr": 0.02, "ssim": 0.001}
"""How far a score may be off, by the first word of its name."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="?", help="score this model only")
    parser.add_argument("--data", type=Path, required=True, help="folder of the sets")
    parser.add_argument("--device", default="auto", help="where to compute: auto, cpu, cuda, mps")
    parser.add_argument("--full", action="store_true", help="all pictures and seeds")
    given = parser.parse_args()
    files = {file.stem: file for file in sorted(card.ZOO.glob("*.safetensors"))}
    if given.name is not None and model(given.name).name not in files:
        raise InputError(f"{given.name} is not shipped yet")
    wrong = _told(wrong_files(card.ZOO, card.README))
    for name in [n for n in files if n in MODELS] if given.name is None else [given.name]:
        chosen, file = model(name), files[name]
        with progress_bar() as tell:
            if given.full:
                stored = (describe(file)["scores"] or {}).get("rows")
                found = measure(chosen, file, given.data, device=given.device, progress=tell)[
                    "rows"
                ]
            else:
                stored = quick.stored().get(name)
                found = measure_quickly(
                    chosen, file, given.data, device=given.device, progress=tell
                )
        wrong += _told(wrong_scores(name, stored, found))
        print(f"{name}: scored again, {len(found)} rows", flush=True)
    return 1 if wrong else 0


def _told(problems: Iterable[str]) -> int:
    """How many, after they were told."""
    lines = [f"error: {problem}\n" for problem in problems]
    sys.stderr.writelines(lines)
    return len(lines)


def wrong_files(zoo: Path, readme: Path) -> Iterator[str]:
    """What can be seen without pictures, in one line each."""
    weights = {file.stem: file for file in sorted(zoo.glob("*.safetensors"))}
    cards = {file.stem: file for file in sorted(zoo.glob("*.md"))}
    for name in sorted(weights.keys() - cards.keys()):
        yield f"{name}.safetensors has no card {name}.md"
    for name in sorted(cards.keys() - weights.keys() - CHAINS.keys()):
        yield f"{name}.md has no weights {name}.safetensors"
    for name in sorted(weights.keys() - MODELS.keys()):
        yield f"{name} is not among the models of zoo/models.py"
    size = sum(file.stat().st_size for file in (*weights.values(), *cards.values()))
    if size > LIMIT:
        yield f"weights and cards take {size / 1e6:.1f} MB, more than {LIMIT / 1e6:.0f} MB"
    for name in sorted(weights.keys() & cards.keys()):
        yield from _wrong_card(name, weights[name], cards[name])
    try:
        if card.block_of(readme) != card.overview(zoo):
            yield f"{readme.name} does not show what the weights files say; run zoo/card.py"
    except InputError as error:
        yield str(error)


def _wrong_card(name: str, weights: Path, page: Path) -> Iterator[str]:
    try:
        about = describe(weights)
        if card.block_of(page) != card.facts(name, about):
            yield f"{name}.md does not show what the weights file says; run zoo/card.py"
        if about["licence"] != (terms := licence(about["training"])):
            yield f"{name} says {about['licence']!r}; by its data it is {terms!r}"
    except InputError as error:
        yield f"{name}: {error}"


def wrong_scores(name: str, stored: Any, found: Rows) -> Iterator[str]:
    """Numbers that are not what was measured now, and rows that one of both lacks."""
    before, now = _numbers(stored), _numbers(found)
    for key in {**before, **now}:
        words = f"{name}: {' '.join(key)}"
        if key not in now:
            yield f"{words} is no longer measured"
        elif key not in before:
            yield f"{words} is {now[key]:.4f}, but not stored"
        elif before[key] != now[key]:
            limit = TOLERANCE[key[-1].partition("_")[0]]
            if not abs(before[key] - now[key]) <= limit:
                yield f"{words} is {now[key]:.4f} and not {before[key]:.4f}"


def _numbers(rows: Any) -> dict[tuple[str, str, str], float]:
    """By row, before or after, and metric; what is null is infinite."""
    return {
        (row, when, metric): math.inf if value is None else value
        for row, columns in (rows or {}).items()
        for when, values in columns.items()
        for metric, value in values.items()
    }


if __name__ == "__main__":
    run_script(main)
