"""Write what the weights files say of themselves into their cards, and into README.md.

    python zoo/card.py

What lies between two comments in those pages comes from the files; the rest is written by hand.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from score import Scores, cell

from iln.atomic import atomic_write, printable
from iln.checkpoints.catalogue import entry
from iln.checkpoints.native import describe
from iln.errors import InputError
from iln.script import run_script

ROOT = Path(__file__).resolve().parent.parent
ZOO = ROOT / "src" / "iln" / "zoo"
README = ROOT / "README.md"
BEGIN, END = "<!-- from the weights file: -->", "<!-- by hand: -->"


def main() -> int:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    update_pages(ZOO, README)
    return 0


def update_pages(zoo: Path, readme: Path) -> None:
    """All cards, begun where they are missing, and the overview.

    Raises:
        InputError: for a page without the comments, and for weights without scores.
    """
    for name, about in descriptions(zoo).items():
        page = zoo / f"{name}.md"
        if not page.exists():
            page.write_text(f"# {name}\n\n## Scores\n\n{BEGIN}\n{END}\n", "utf-8")
        update(page, facts(name, about))
    update(readme, overview(zoo))


def descriptions(zoo: Path) -> dict[str, dict[str, Any]]:
    """What the weights files in a folder say of themselves, by name."""
    return {file.stem: describe(file) for file in sorted(zoo.glob("*.safetensors"))}


def update(page: Path, block: str) -> None:
    """Put a block between a page's comments. Raises InputError where they are missing."""
    text = page.read_text("utf-8")
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise InputError(f"{printable(page)}: lacks the comments {BEGIN} and {END}")
    with atomic_write(page, overwrite=True) as temporary:
        temporary.write_text(f"{head}{BEGIN}\n\n{block}\n\n{END}{tail}", "utf-8")


def block_of(page: Path) -> str:
    """What lies between a page's comments, or nothing."""
    _, _, rest = page.read_text("utf-8").partition(BEGIN)
    block, end, _ = rest.partition(END)
    return block.strip() if end else ""


def facts(name: str, about: Mapping[str, Any]) -> str:
    """A card's block: scores, size and licence. Raises InputError for weights without scores."""
    scores = _scores(name, about)
    rows = [
        (row, cell(columns["before"]), cell(columns["after"]))
        for row, columns in scores["rows"].items()
    ]
    size = f"{about['parameters']:,} parameters, {about['dtype']}, {about['bytes'] / 1e6:.1f} MB"
    return "\n".join(
        [
            _table(("set", scores["baseline"], f"`{name}`"), rows),
            "",
            f"PSNR in dB / SSIM, measured on {scores['date']}. {size}.",
            "",
            f"Licence of the weights: {about['licence']}.",
        ]
    )


def overview(zoo: Path) -> str:
    """README's block: a line for each shipped model. Raises InputError as `facts`."""
    headings = ("model", "what it does", "measured on", "before", "after", "commercial use")
    return _table(headings, [_line(name, about) for name, about in descriptions(zoo).items()])


def _line(name: str, about: Mapping[str, Any]) -> tuple[str, ...]:
    one, scores = entry(name, about), _scores(name, about)
    row = scores["rows"][scores["main"]]
    link = f"[`{name}`](src/iln/zoo/{name}.md)"
    numbers = cell(row["before"]), cell(row["after"])
    return link, one.does, scores["main"], *numbers, one.commercial


def _scores(name: str, about: Mapping[str, Any]) -> Scores:
    scores = about["scores"]
    if not isinstance(scores, dict) or "rows" not in scores:
        raise InputError(f"{name} holds no scores of zoo/score.py; zoo/ship.py puts them there")
    return scores


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    run_script(main)
