"""Before and after, for README.md and docs/results/zoo.md: what each shipped model does.

    python zoo/pictures.py --data DATA -o docs

Writes images/tasks.jpg, one crop for every model, damaged here from open-licence photographs;
results/zoo/photo.jpg, real old and phone pictures, as they are and restored by `photo`, scratched
ones by `scratches` before that, failures too; results/zoo/photo-x2.jpg, such pictures enlarged; and
results/zoo/deblur.jpg, pictures that were blurred here, and real ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from models import model
from PIL import Image, ImageDraw, ImageFont

import iln
from iln.atomic import atomic_write
from iln.errors import InputError
from iln.images import read, resize
from iln.lab.tasks import Pixels, generator, task, to_uint8
from iln.script import run_script


@dataclass(frozen=True)
class Example:
    """A crop of an open-licence photograph, damaged for a model.

    Attributes:
        title: what was done to it.
        corner: left and top of the crop, in pixels of the result.
        seed: of the damage.
    """

    model: str
    title: str
    photograph: str
    corner: tuple[int, int]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0


EXAMPLES = (
    Example("denoise", "noise, sigma 50", "budgie_kitten-on-lawn_4", (0, 120), {"sigma": 50}),
    Example("jpeg", "JPEG, quality 10", "budgie_colorful-wall_4", (150, 200), {"quality": 10}),
    Example("derain", "rain", "budgie_casa-mila_4", (270, 20)),
    Example(
        "deblur",
        "out of focus",
        "budgie_singaporean-cityscape_1",
        (140, 100),
        {"defocus": 3, "shaken": 0, "untouched": 0},
    ),
    Example("sr-x4", "small", "budgie_motherboard-circuits_4", (392, 370), {"scale": 4}),
    Example(
        "photo",
        "a faded print",
        "budgie_roman-colosseum_5",
        (110, 230),
        {"prints": 1, "untouched": 0, "strength": 0.4, "wear": 0.85},
    ),
    Example(
        "photo-x2",
        "worn and small",
        "budgie_motherboard-circuits_1",
        (200, 200),
        {"scale": 2, "prints": 0, "untouched": 0, "strength": 0.5},
        seed=2,
    ),
    Example("scratches", "a worn print", "budgie_egg-basket_1", (129, 124), {"wear": 1}, seed=4),
)
CROP, ENLARGED = 120, 2
"""Pixels of a crop's side, and how much larger it is shown."""

REAL = (
    "RealSRSet5/oldphoto6.png",
    "RealSRSet5/oldphoto2.png",
    "RealSRSet5/dog.png",
    "RealSRSet5/frog.png",
    "RealSRSet5/dped_crop00061.png",
    "RealSRSet5/building.png",
    "OldPhotos_scratched/b.png",
    "OldPhotos_scratched/d.png",
)
ENLARGED_REAL = (
    "RealSRSet5/oldphoto2.png",
    "RealSRSet5/oldphoto3.png",
    "RealSRSet5/oldphoto6.png",
    "RealSRSet5/painting.png",
    "RealSRSet5/frog.png",
    "RealSRSet5/0014.png",
    "RealSRSet5/tiger.png",
    "RealSRSet5/dped_crop00061.png",
)
SCRATCHED = "OldPhotos_scratched"
"""The folder whose pictures need `scratches`, too."""
BLURRED: Mapping[str, Mapping[str, float]] = {
    "budgie_singaporean-cityscape_1": {"shaken": 0, "defocus": 2.5},
    "budgie_motherboard-circuits_1": {"shaken": 0, "defocus": 2.5},
    "budgie_taipei-city_2": {"shaken": 1, "motion": 10},
    "budgie_tea-gardens_1": {"shaken": 1, "motion": 10},
}
"""Photographs, and how they are blurred."""
MAYBE_BLURRED = ("dped_crop00061", "Lincoln", "building", "foreman")
"""Of RealSRSet."""
SIDE, PAIRS = 256, 2
"""Largest side of a real picture as shown, and how many pairs stand side by side."""
GAP, TITLE = 6, 22


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the documents")
    given = parser.parse_args()
    save(tasks(given.data), given.output / "images" / "tasks.jpg")
    save(real(given.data), given.output / "results" / "zoo" / "photo.jpg")
    save(real_enlarged(given.data), given.output / "results" / "zoo" / "photo-x2.jpg")
    save(blurred(given.data), given.output / "results" / "zoo" / "deblur.jpg")
    return 0


def tasks(data: Path) -> Image.Image:
    """A column for each example: its title, before, after."""
    side = CROP * ENLARGED
    canvas, draw, font = blank(len(EXAMPLES) * (side + GAP) - GAP, TITLE + 2 * side + GAP)
    for column, example in enumerate(EXAMPLES):
        x = column * (side + GAP)
        draw.text((x, 2), f"{example.model}: {example.title}", fill="black", font=font)
        for row, pixels in enumerate(damaged_and_restored(example, data)):
            left, top = example.corner
            crop = Image.fromarray(pixels).crop((left, top, left + CROP, top + CROP))
            large = crop.resize((side, side), Image.Resampling.NEAREST)
            canvas.paste(large, (x, TITLE + row * (side + GAP)))
    return canvas


def damaged_and_restored(example: Example, data: Path) -> tuple[Pixels, Pixels]:
    """The damaged photograph, enlarged by bicubic where the model enlarges, and the result."""
    chosen = task(model(example.model).task, example.parameters)
    original = read(found(data / "OpenPhotos", example.photograph)).rgb8()
    damaged = to_uint8(chosen.degrade(original, generator(example.seed)))
    return chosen.baseline(damaged), iln.Restorer(example.model)(damaged)


def real(data: Path) -> Image.Image:
    photo, scratches = iln.Restorer("photo"), iln.Restorer("scratches")
    pairs = []
    for name in REAL:
        before = read(found(data / Path(name).parent, Path(name).stem)).rgb8()
        pairs.append((before, photo(scratches(before) if name.startswith(SCRATCHED) else before)))
    return sheet(pairs)


def real_enlarged(data: Path) -> Image.Image:
    """The middle of each real picture, enlarged by bicubic and by photo-x2."""
    enlarge, pairs = iln.Restorer("photo-x2"), []
    for name in ENLARGED_REAL:
        picture = read(found(data / Path(name).parent, Path(name).stem)).rgb8()
        after = enlarge(picture)
        top, left = (max(0, side - SIDE) // 2 for side in after.shape[:2])
        inside = np.s_[top : top + SIDE, left : left + SIDE]
        pairs.append((resize(picture, 2)[inside], after[inside]))
    return sheet(pairs)


def blurred(data: Path) -> Image.Image:
    pictures = []
    for name, parameters in BLURRED.items():
        fixed = {"untouched": 0, "noise": 2, "quality": 90, "compressed": 1}
        blurring = task("deblur", {**fixed, **parameters})
        crop = read(found(data / "OpenPhotos", name)).rgb8()[100 : 100 + SIDE, 100 : 100 + SIDE]
        pictures.append(to_uint8(blurring.degrade(crop, generator(0))))
    pictures += [read(found(data / "RealSRSet5", name)).rgb8() for name in MAYBE_BLURRED]
    deblur = iln.Restorer("deblur")
    return sheet([(picture, deblur(picture)) for picture in pictures])


def sheet(pairs: Sequence[tuple[Pixels, Pixels]]) -> Image.Image:
    """Before and after, two of them side by side."""
    rows = (len(pairs) + PAIRS - 1) // PAIRS
    width, height = 2 * SIDE + 3 * GAP, SIDE + GAP
    canvas, draw, font = blank(PAIRS * width - 2 * GAP, TITLE + rows * height - GAP)
    for number, pair in enumerate(pairs):
        left, top = number % PAIRS * width, TITLE + number // PAIRS * height
        for column, pixels in enumerate(pair):
            picture = Image.fromarray(pixels)
            picture.thumbnail((SIDE, SIDE))
            x = left + column * (SIDE + GAP)
            canvas.paste(picture, (x, top))
            if number < PAIRS:
                draw.text((x, 2), ("before", "after")[column], fill="black", font=font)
    return canvas


def found(folder: Path, stem: str) -> Path:
    """A picture by its name, whatever it was stored as."""
    for file in sorted(folder.glob(f"{stem}.*")):
        return file
    raise InputError(f"{folder} has no picture {stem}")


def blank(
    width: int, height: int
) -> tuple[Image.Image, ImageDraw.ImageDraw, ImageFont.FreeTypeFont | ImageFont.ImageFont]:
    canvas = Image.new("RGB", (width, height), "white")
    return canvas, ImageDraw.Draw(canvas), ImageFont.load_default(size=14)


def save(picture: Image.Image, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(file, overwrite=True) as temporary:
        picture.save(temporary, format="jpeg", quality=92, subsampling=0)
    print(file)


if __name__ == "__main__":
    run_script(main)
