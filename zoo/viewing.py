"""Two restorations of the same pictures, for a viewer who does not know which is which.

    python zoo/viewing.py pairs A B -o PAIRS --key key.json   a page for each picture
    python zoo/viewing.py count PAIRS/answers.csv --key key.json

A and B are folders of results with the same names. The viewer writes `left`, `right` or `same`
beside each picture in answers.csv, and does not see the key.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
from collections import Counter
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from iln.atomic import check_writable
from iln.errors import InputError
from iln.images import read
from iln.script import run_script

SIDES = ("left", "right")
ANSWERS = (*SIDES, "same")
COLUMNS = ["page", "better"]
LEAST = 480
"""Pixels of the larger side, up to which small pictures are enlarged by repeating pixels."""
GAP, TITLE = 8, 22


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = parser.add_subparsers(dest="part", required=True)
    first = parts.add_parser("pairs", help="make the pages")
    first.add_argument("folders", nargs=2, type=Path, metavar="FOLDER")
    first.add_argument("-o", "--output", type=Path, required=True)
    first.add_argument("--seed", type=int, default=0, help="decides the sides and the order")
    second = parts.add_parser("count", help="count the answers")
    second.add_argument("answers", type=Path)
    for part in (first, second):
        part.add_argument("--key", type=Path, required=True, help="which side is which")
    given = parser.parse_args()
    if given.part == "pairs":
        make_pairs(given.folders, given.output, given.key, given.seed)
    else:
        print(counted(given.answers, given.key))
    return 0


def make_pairs(folders: list[Path], output: Path, key: Path, seed: int) -> None:
    """Pages 01.png, 02.png, ..., answers.csv to be filled in, and the key.

    Raises:
        InputError: for folders that do not hold the same names, or an output that exists.
    """
    if output.exists() or key.exists():
        raise InputError(f"{output if output.exists() else key}: exists already")
    names = [sorted(file.name for file in folder.glob("*") if file.is_file()) for folder in folders]
    if names[0] != names[1] or not names[0]:
        raise InputError(f"{folders[0]} and {folders[1]} hold no pictures of the same names")
    if folders[0].samefile(folders[1]):
        raise InputError(f"{folders[0]} is named twice")
    rng = random.Random(seed)
    order = rng.sample(names[0], len(names[0]))
    check_writable(key, overwrite=False)  # pages without their key would be lost
    output.mkdir(parents=True)
    sides = {}
    with (output / "answers.csv").open("x", encoding="utf-8") as answers:
        answers.write(f"{','.join(COLUMNS)}\n")
        for number, name in enumerate(order, 1):
            page = f"{number:02d}"
            left, right = rng.sample(folders, 2)
            sides[page] = {"picture": name, "left": str(left), "right": str(right)}
            _page(left / name, right / name).save(output / f"{page}.png")
            answers.write(f"{page},\n")
    key.write_text(json.dumps(sides, indent=1) + "\n", "utf-8")


def counted(answers: Path, key: Path) -> str:
    """How often each folder was found better, and on which pictures.

    Raises:
        InputError: for an answer that is none, for a page that the key does not have, and for files
            that cannot be read.
    """
    try:
        sides = json.loads(key.read_text("utf-8"))
        said = answers.read_text("utf-8")
    except OSError as error:
        raise InputError(f"{error.filename}: {error.strerror}") from None
    except ValueError:
        raise InputError(f"{answers}, {key}: are no answers and no key of this program") from None
    found: dict[str, list[str]] = {}
    rows = csv.DictReader(said.splitlines())
    if rows.fieldnames != COLUMNS:
        raise InputError(f"{answers}: its first line must be {','.join(COLUMNS)}")
    for row in rows:
        better = (row["better"] or "").strip()
        if better not in ANSWERS:
            raise InputError(f"{answers}: page {row['page']}: {better!r} is none of {ANSWERS}")
        page = sides.get(row["page"])
        if page is None:
            raise InputError(f"{answers}: {key} has no page {row['page']}")
        found.setdefault(page.get(better, better), []).append(page["picture"])
    counts = Counter({name: len(pictures) for name, pictures in found.items()})
    return "\n".join(f"{n} {name}: {', '.join(sorted(found[name]))}" for name, n in counts.items())


def _page(left: Path, right: Path) -> Image.Image:
    """Both side by side, titled by their sides."""
    pictures = [Image.fromarray(read(file).rgb8()) for file in (left, right)]
    if pictures[0].size != pictures[1].size:
        raise InputError(f"{left} and {right} are of different sizes")
    width, height = pictures[0].size
    times = max(1, round(LEAST / max(width, height)))
    width, height = width * times, height * times
    page = Image.new("RGB", (2 * width + GAP, TITLE + height), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=14)
    for side, (title, picture) in enumerate(zip(SIDES, pictures, strict=True)):
        x = side * (width + GAP)
        draw.text((x, 2), title, fill="black", font=font)
        page.paste(picture.resize((width, height), Image.Resampling.NEAREST), (x, TITLE))
    return page


if __name__ == "__main__":
    run_script(main)
