"""Time and peak memory of restoring whole pictures under a memory budget.

    python benchmarks/restore.py [CASE ...]        all cases without a name

Each case runs in a process of its own, with the engine that `iln restore` takes. `strips` compares
strips with the forward that holds everything at once, interleaved in one process.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from machine import describe, watched
from numpy.typing import NDArray

import iln
from iln.images import read, resize_to
from iln.layers.forward_pass import Strips
from iln.script import run_script

CASES = {
    "full-hd": ("swinir-light-x2", 1920, 1080, "3GB"),
    "hd-hat": ("hat-mini-x4", 1280, 720, "3.5GB"),
    "12mp": ("swinir-light-x2", 4000, 3000, "4GB"),
    "small": ("swinir-light-x2", 640, 360, "700MB"),
    "small-on-disk": ("swinir-light-x2", 640, 360, "500MB"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)}, strips")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    known = [*CASES, "strips"]
    names = given.cases or known
    if unknown := [name for name in names if name not in known]:
        parser.error(f"no case {unknown[0]!r}; there are {', '.join(known)}")
    if given.inside:
        case(names[0]) if names[0] in CASES else strips()
        return
    print(describe(), flush=True)
    for name in names:
        command = [sys.executable, __file__, name, "--inside"]
        subprocess.run(command, check=True)


def case(name: str) -> None:
    preset, width, height, memory = CASES[name]
    torch.manual_seed(0)
    with watched() as peak:
        image = picture(height, width)
        restorer = iln.Restorer(iln.build(preset), memory=memory, engine="auto")
        started = time.perf_counter()
        result = restorer(image)
        taken = time.perf_counter() - started
    assert result.shape[:2] == (height * restorer.scale, width * restorer.scale)
    print(
        f"{name:14} {preset:16} {width}x{height}  budget {memory:>6}  "
        f"{restorer.engine} {restorer.precision}  "
        f"peak {peak.resident / 2**30:5.2f} GiB (anonymous {peak.anonymous / 2**30:5.2f})  "
        f"{taken:7.1f} s, {taken / (width * height / 1e6):6.1f} s/megapixel",
        flush=True,
    )


def strips() -> None:
    torch.manual_seed(0)
    for preset, height, width in (("swinir-light-x2", 192, 320), ("hat-mini-x4", 144, 128)):
        model = iln.build(preset).eval()
        image = torch.from_numpy(picture(height, width)).permute(2, 0, 1)[None].float() / 255
        window = model.spec.window
        walks = {"whole": None, **{f"{n} rows": Strips(n) for n in (window, 3 * window)}}
        times: dict[str, list[float]] = {name: [] for name in walks}
        with torch.inference_mode():
            for _ in range(4):
                for name, walk in walks.items():
                    started = time.perf_counter()
                    model(image) if walk is None else model(image, walk)
                    times[name].append(time.perf_counter() - started)
        best = {name: sorted(values[1:])[1] for name, values in times.items()}
        print(
            f"strips         {preset:16} {width}x{height}  "
            + ", ".join(f"{n} {t:.2f} s ({t / best['whole']:.2f})" for n, t in best.items()),
            flush=True,
        )


def picture(height: int, width: int) -> NDArray[np.uint8]:
    """The demo's photograph, enlarged to any size."""
    demo = read(Path(__file__).parent.parent / "demo" / "budgie.webp").rgb8()
    return resize_to(demo, (height, width))


if __name__ == "__main__":
    run_script(main)
