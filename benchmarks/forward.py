"""Time and peak memory of each backbone, forward and forward + backward.

    python benchmarks/forward.py [PRESET ...] [--size 64] [--batch 1]

Beside each time stands the share of this machine's own matrix-product rate, measured in the same
run: operations of all linear layers, convolutions and attention products over time and rate.
Every row runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

import torch
from machine import describe, matrix_rate, seconds, watched
from torch.utils.flop_counter import FlopCounterMode

import iln
from iln.script import run_script

PRESETS = ["swinir-light-x2", "swinir-x2", "hat-mini-x4", "hat-x4", "drct-x4"]
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("presets", nargs="*", default=PRESETS)
    parser.add_argument("--size", type=int, default=64, help="side of the input in pixels")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        row(given.presets[0], given.size, given.batch, given.inside)
        return
    with torch.device("meta"):
        for preset in given.presets:
            iln.build(preset)  # which knows the names, before anything is measured
    print(describe())
    for name, dtype in TYPES.items():
        print(f"matrix products {name}: {matrix_rate(dtype) / 1e9:.0f} GFLOP/s")
    print(f"batch {given.batch} of {given.size}x{given.size}, i-LN; share of the rate in brackets")
    for preset in given.presets:
        for name in TYPES:
            command = [sys.executable, __file__, preset, "--inside", name]
            command += ["--size", str(given.size), "--batch", str(given.batch)]
            subprocess.run(command, check=True)


def row(preset: str, size: int, batch: int, precision: str) -> None:
    torch.manual_seed(0)
    model = iln.build(preset)
    image = torch.rand(batch, model.spec.in_chans, size, size)
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")

    def forward() -> None:
        with torch.inference_mode(), autocast:
            model(image)

    def step() -> None:
        model.zero_grad()
        with autocast:
            output = model(image)
        output.float().abs().mean().backward()

    with FlopCounterMode(display=False) as counter, autocast:
        model(image)
    operations = counter.get_total_flops()
    rate = matrix_rate(TYPES[precision])
    cells = [f"{preset:16} {precision}"]
    for name, work, factor in (("forward", forward, 1), ("forward+backward", step, 3)):
        with watched() as peak:
            taken = seconds(work)
        share = factor * operations / taken / rate
        cells.append(f"{name} {taken:6.2f} s ({share:4.0%}) {peak.resident / 2**30:5.2f} GiB")
    print("  ".join(cells), flush=True)


if __name__ == "__main__":
    run_script(main)
