"""A model and its LayerNorm twin, which had the same training: scores in few bits, features, crops.

    python zoo/twins.py ILN.safetensors LN.safetensors --set FOLDER --show FOLDER -o OUT/NAME \\
        [--runs ILN_RUN LN_RUN]

Writes NAME.md (a table, and what was measured on), NAME-depth.png (magnitude and channel entropy of
every block), NAME-crops.png and, of two runs that observed them, NAME-curves.png (the same over the
steps). The folders hold pictures of the models' task, the second those for
the crops. int8 and int4 are computed as if (`iln.deploy.quantization`), activations by their
smallest and largest values.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

import iln
from iln.atomic import atomic_write
from iln.backbones import Backbone
from iln.checkpoints.native import describe
from iln.deploy.quantization import bits_of, quantized
from iln.errors import InputError
from iln.lab.dynamics import Probe, draw_training
from iln.lab.dynamics.drawing import HUES, logarithmic, new_figure, plain, write_png
from iln.lab.evaluation.choice import task_of
from iln.lab.tasks import Pixels, Task
from iln.lab.tasks.folders import load_pair, sources
from iln.lab.training.sets import PictureSet
from iln.lab.training.validation import validate
from iln.layers.forward_pass import Strips
from iln.script import run_script

FORMATS = {"int8": "W8A8", "int4 weights": "W4A16", "int4": "W4A4"}
TITLES = ("i-LN", "LN")
CROP, ENLARGED, SHOWN = 96, 2, 3
"""Pixels of a crop's side, how much larger it is shown, and of how many pictures."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs=2, metavar="FILE", type=Path)
    parser.add_argument("--set", type=Path, required=True, dest="folder")
    parser.add_argument("--show", type=Path, required=True)
    parser.add_argument("--runs", nargs=2, type=Path, metavar="RUN")
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    models = [iln.load(file).eval() for file in given.files]
    task = task_of(str(given.files[0]), models[0].spec, describe(given.files[0]))
    if task is None:
        raise InputError(f"{given.files[0]} does not say its task")
    given.output.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(given.output.with_suffix(".md"), overwrite=True) as file:
        file.write_text(table(models, task, given.folder), "utf-8")
    depth(models, task, given.folder, Path(f"{given.output}-depth.png"))
    crops(models, task, given.show, Path(f"{given.output}-crops.png"))
    if given.runs:
        curves = draw_training(dict(zip(TITLES, given.runs, strict=True)))
        write_png(curves, Path(f"{given.output}-curves.png"), overwrite=True)
    return 0


def table(models: list[Backbone], task: Task, folder: Path) -> str:
    """Markdown: the task's first score in float32, and what is lost in fewer bits."""
    whole = [score(model, task, folder) for model in models]
    rows = [["float32", *(f"{value:.2f} dB" for value in whole)]]
    half = [copy.deepcopy(model).half() for model in models]
    narrow = {"fp16": half} | {
        name: [quantized(model, bits_of(bits)) for model in models]
        for name, bits in FORMATS.items()
    }
    for name, both in narrow.items():
        lost = [score(m, task, folder) - value for m, value in zip(both, whole, strict=True)]
        rows.append([name, *(f"{value:+.3f} dB" for value in lost)])
    lines = ["| | " + " | ".join(TITLES) + " |", "| --- | --- | --- |"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    count = len(list(sources(folder)))
    metric = next(iter(task.metrics()))
    return "\n".join(lines) + f"\n\n{metric} over {count} pictures of {folder.name}.\n"


def score(model: Backbone, task: Task, folder: Path) -> float:
    found = validate(model, task, PictureSet.of(folder), lambda name, triple: None)
    return next(iter(next(iter(found.values())).values()))


def depth(models: list[Backbone], task: Task, folder: Path, file: Path) -> None:
    """Mean square and entropy of each block's output, over the folder's first pictures."""
    figure = new_figure(9, 3.4)
    left, right = figure.subplots(1, 2)
    for model, name, hue in zip(models, TITLES, HUES, strict=False):
        with torch.no_grad(), Probe(model) as probe:
            for source in sources(folder)[:SHOWN]:
                model(tensor(load_pair(source, task)[0]), Strips(64))
        found = list(probe.measures.values())
        blocks = range(1, len(found) + 1)
        left.plot(blocks, [m.mean_square for m in found], color=hue, label=name)
        right.plot(blocks, [m.relative_entropy for m in found], color=hue, label=name)
    plain(left, "mean square of the features", "block")
    logarithmic(left, "y")
    plain(right, "channel entropy, of the largest possible", "block")
    left.legend(frameon=False)
    write_png(figure, file, overwrite=True)


def crops(models: list[Backbone], task: Task, folder: Path, file: Path) -> None:
    """Input, both results and the target, at the place where the two results differ most."""
    side, gap, title = CROP * ENLARGED, 6, 22
    heads = ("input", *TITLES, "target")
    chosen = sources(folder)[:SHOWN]
    size = (len(heads) * (side + gap) + gap, title + len(chosen) * (side + gap))
    canvas = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=14)
    for row, source in enumerate(chosen):
        damaged, target = load_pair(source, task)
        results = [restored(model, damaged) for model in models]
        panels = [task.baseline(damaged), *results, target]
        top, left = furthest_apart(*results)
        for column, (name, pixels) in enumerate(zip(heads, panels, strict=True)):
            x = gap + column * (side + gap)
            draw.text((x, 3), name, fill="black", font=font)
            crop = Image.fromarray(pixels).crop((left, top, left + CROP, top + CROP))
            large = crop.resize((side, side), Image.Resampling.NEAREST)
            canvas.paste(large, (x, title + row * (side + gap)))
    with atomic_write(file, overwrite=True) as temporary:
        canvas.save(temporary, format="png", optimize=True)


def furthest_apart(one: Pixels, other: Pixels) -> tuple[int, int]:
    """Top and left of the crop in which two pictures differ most."""
    gaps = np.square(one.astype(float) - other).sum(2)
    sums = np.pad(gaps.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    of = sums[CROP:, CROP:] - sums[:-CROP, CROP:] - sums[CROP:, :-CROP] + sums[:-CROP, :-CROP]
    top, left = np.unravel_index(of.argmax(), of.shape)
    return int(top), int(left)


def restored(model: Backbone, damaged: np.ndarray) -> Pixels:
    with torch.no_grad():
        output = model(tensor(damaged), Strips(64))[0].clamp(0, 1)
    pixels: Pixels = (output * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return np.ascontiguousarray(pixels)


def tensor(pixels: np.ndarray) -> torch.Tensor:
    image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float()
    return image / 255 if pixels.dtype == np.uint8 else image


if __name__ == "__main__":
    run_script(main)
