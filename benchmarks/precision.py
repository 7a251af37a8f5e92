"""Engines and precisions of one model against each other: time, memory, and what they cost.

    python benchmarks/precision.py MODEL --calibrate FOLDER [--score FOLDER] [--size HxW]
                                   [--graph FILE.xml ...]

--graph adds what `iln export --to openvino` or `iln quantize` wrote, computed whole, in bfloat16
where the CPU has it.
Times are of one picture, all ways in turn in one process, so that what the machine does beside it
hits all of them; the median of the rounds after a first one. Peaks are of a process each.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import numpy as np
from machine import describe, watched
from numpy.typing import NDArray

import iln
from iln.cli.main import main as command
from iln.images import read, resize_to
from iln.lab.evaluation import evaluate
from iln.script import run_script

Way = Callable[[NDArray[np.float64]], NDArray[np.float64]]
WAYS = {
    "PyTorch fp32": ("torch", "fp32"),
    "PyTorch bf16": ("torch", "bf16"),
    "OpenVINO fp32": ("openvino", "fp32"),
    "OpenVINO bf16": ("openvino", "bf16"),
    "OpenVINO int8": ("openvino", "int8"),
}


def size(text: str) -> tuple[int, int]:
    """Of HxW; argparse says so where it is something else."""
    height, width = map(int, text.split("x"))
    return height, width


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a shipped model or a file")
    parser.add_argument("--calibrate", type=Path, help="clean pictures for int8")
    parser.add_argument("--score", type=Path, help="pictures to score every way on")
    parser.add_argument("--size", type=size, default="256x256", help="of the picture: HxW")
    parser.add_argument("--graph", action="append", default=[], type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    height, width = given.size
    if given.way:
        peak_of(given.model, given.way, height, width)
        return
    if given.calibrate is None:
        parser.error("--calibrate is missing: a folder of clean pictures")
    print(describe(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        ready = str(Path(folder) / "int8.safetensors")
        try:
            command(["quantize", given.model, "--calibrate", str(given.calibrate), "-o", ready])
        except SystemExit as ended:
            if ended.code:
                raise
        ways: dict[str, Way] = {
            way: iln.Restorer(ready, engine=engine, precision=precision, device="cpu")
            for way, (engine, precision) in WAYS.items()
        }
        ways |= {f"graph {file.stem}": whole_graph(file) for file in given.graph}
        times, results = timed(ways, picture(height, width), given.rounds)
        first = times["PyTorch fp32"]
        print(f"{given.model}, {height}x{width}, {given.rounds} rounds")
        print("| | time | against eager fp32 | s per megapixel | peak | off fp32 | score |")
        print("|---|---|---|---|---|---|---|")
        for way, seconds in times.items():
            peak, score = "-", "-"
            if way in WAYS:
                sized = f"--size={height}x{width}"
                words = [sys.executable, __file__, ready, sized, f"--way={way}"]
                done = subprocess.run(words, check=True, capture_output=True, text=True)
                peak = done.stdout.strip()
                score = scored(ready, way, given.score) if given.score else "-"
            noise = float(np.square(results[way] - results["PyTorch fp32"]).mean())
            off = f"{-10 * np.log10(noise):.1f} dB" if noise else "same"
            print(
                f"| {way} | {seconds:.2f} s | {first / seconds:.2f} | "
                f"{seconds / (height * width) * 1e6:.1f} | {peak} | {off} | {score} |",
                flush=True,
            )


def whole_graph(file: Path) -> Way:
    import openvino

    compiled = openvino.Core().compile_model(file, "CPU")

    def run(image: NDArray[np.float64]) -> NDArray[np.float64]:
        found = compiled([image.astype(np.float32).transpose(2, 0, 1)[None]])[0]
        result: NDArray[np.float64] = found[0].transpose(1, 2, 0).clip(0, 1)
        return result

    return run


def timed(
    ways: Mapping[str, Way], image: NDArray[np.float64], rounds: int
) -> tuple[dict[str, float], dict[str, NDArray[np.float64]]]:
    results = {way: restore(image) for way, restore in ways.items()}
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, restore in ways.items():
            started = time.perf_counter()
            restore(image)
            times[way].append(time.perf_counter() - started)
    return {way: median(found) for way, found in times.items()}, results


def peak_of(model: str, way: str, height: int, width: int) -> None:
    engine, precision = WAYS[way]
    with watched() as peak:
        iln.Restorer(model, engine=engine, precision=precision, device="cpu")(
            picture(height, width)
        )
    print(f"{peak.resident / 2**30:.2f} GiB")


def scored(model: str, way: str, folder: Path) -> str:
    engine, precision = WAYS[way]
    found = evaluate(model, folder, engine=engine, precision=precision, device="cpu")
    first = next(iter(found.metrics))
    values = [s.value for s in found.scores if s.metric == first and s.model != found.baseline]
    return f"{np.mean(values):.3f} dB"


def picture(height: int, width: int) -> NDArray[np.float64]:
    """A photograph, in floats, so that results can be told apart."""
    pixels = read(Path(__file__).parents[1] / "demo" / "budgie.webp").rgb8()
    result: NDArray[np.float64] = resize_to(pixels / 255.0, (height, width)).clip(0, 1)
    return result


if __name__ == "__main__":
    run_script(main)
