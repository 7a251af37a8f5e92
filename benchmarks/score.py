"""Score a super-resolution model and bicubic on folders of high-resolution pictures.

    python benchmarks/score.py MODEL FOLDER ... [--json FILE]

Y-PSNR in dB and SSIM: pictures are made small by MATLAB's bicubic, enlarged by the model as a
whole, rounded to 8 bits, and compared on BT.601 limited-range Y without the outermost `scale`
pixels. Gray pictures are expanded to RGB, as in the field's usual test code.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import mean

import iln
from iln.images import read
from iln.tasks import SuperResolution


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--json", type=Path, help="write the means there as well")
    given = parser.parse_args()

    restorer = iln.Restorer(given.model)
    task = SuperResolution(restorer.scale)
    table: dict[str, dict[str, dict[str, float]]] = {}
    for folder in given.folders:
        scores: dict[str, list[dict[str, float]]] = {"bicubic": [], given.model: []}
        for file in sorted(folder.iterdir()):
            small, target = task.pair(read(file).rgb8())
            scores["bicubic"].append(task.score(task.baseline(small), target))
            scores[given.model].append(task.score(restorer(small), target))
        table[folder.name] = {
            name: {key: mean(score[key] for score in rows) for key in rows[0]}
            for name, rows in scores.items()
        }
        for name, score in table[folder.name].items():
            print(f"{folder.name:8} {name:24} {score['psnr_y']:.3f} dB  {score['ssim_y']:.4f}")
    if given.json:
        given.json.write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main()
