"""One program on pictures, alone in its process: what benchmarks/peers.py starts and measures.

    python peer_worker.py PROGRAM FOLDER

Reads FOLDER/in/*.npy, (H, W, 3) uint8, and writes the results to FOLDER/out. The last line printed
is JSON: CPU seconds of this process and its children after each picture, counted from its start,
and the peak of its memory in bytes. Nothing is imported but what the program needs.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Restore = Callable[[Pixels], Pixels]

SIGMA = 25
"""Of the noise that the denoisers are told."""


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    kind, *words = name.split(":")
    restore = LOADERS[kind](*words)
    done = []
    for file in sorted((folder / "in").glob("*.npy")):
        np.save(folder / "out" / file.name, restore(np.load(file)))
        done.append(cpu_seconds())
    print(json.dumps({"done": done, "peak": peak_bytes()}))


def iln(engine: str, models: str) -> Restore:
    """Ours, with its models one after the other."""
    from iln import Pipeline

    pipeline = Pipeline(models.split("+"), engine=engine, device="cpu")
    return lambda picture: pipeline(picture)


def ncnn(models: str, name: str, source: str, sink: str, pad: str = "0") -> Restore:
    """A network of ncnn's that lies in a package. pad: what it cuts off on each side."""
    import ncnn

    # Found without importing the package, which asks for a graphics card.
    folder = next(Path(entry, models) for entry in sys.path if Path(entry, models).is_dir())
    net = ncnn.Net()
    net.opt.use_vulkan_compute, net.opt.num_threads = False, 1
    net.load_param(str(folder / f"{name}.param"))
    net.load_model(str(folder / f"{name}.bin"))
    border = [(int(pad), int(pad))] * 2 + [(0, 0)]

    def restore(picture: Pixels) -> Pixels:
        padded = np.pad(picture, border, mode="reflect").transpose(2, 0, 1)
        values = np.ascontiguousarray(padded, np.float32) / np.float32(255)  # held for `Mat`
        extractor = net.create_extractor()
        extractor.input(source, ncnn.Mat(values))
        _, result = extractor.extract(sink)
        return to_uint8(np.array(result).transpose(1, 2, 0))

    return restore


def bm3d() -> Restore:
    from bm3d import BM3DProfile, bm3d_rgb

    profile = BM3DProfile()
    profile.num_threads = 1
    return lambda picture: to_uint8(bm3d_rgb(picture / 255, SIGMA / 255, profile))


def nlm() -> Restore:
    """Exact weights; h is the best of 0.6 to 1 on crops of the first six pictures of McMaster."""
    from skimage.restoration import denoise_nl_means

    def restore(picture: Pixels) -> Pixels:
        return to_uint8(
            denoise_nl_means(
                picture / 255,
                patch_size=5,
                patch_distance=6,
                h=0.8 * SIGMA / 255,
                sigma=SIGMA / 255,
                fast_mode=False,
                channel_axis=-1,
            )
        )

    return restore


def gmic() -> Restore:
    """Its values are the best of nine sets on the same six crops, but for 0.02 dB."""

    def restore(picture: Pixels) -> Pixels:
        height, width, channels = picture.shape
        with tempfile.TemporaryDirectory() as folder:
            before, after = Path(folder, "before.raw"), Path(folder, "after.raw")
            picture.transpose(2, 0, 1).tofile(before)
            words = [f"{before},uchar,{width},{height},1,{channels}", "-denoise", "10,20,3,15,0"]
            words += ["-round", "1", "-cut", "0,255", "-o", f"{after},uchar"]
            subprocess.run(["gmic", *words], check=True, capture_output=True)
            planes = np.fromfile(after, np.uint8).reshape(channels, height, width)
        return np.ascontiguousarray(planes.transpose(1, 2, 0))

    return restore


LOADERS: dict[str, Callable[..., Restore]] = {
    "iln": iln,
    "ncnn": ncnn,
    "bm3d": bm3d,
    "nlm": nlm,
    "gmic": gmic,
}


def to_uint8(values: NDArray[Any]) -> Pixels:
    pixels: Pixels = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return pixels


def cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def peak_bytes() -> int:
    """Of this process, or of its largest child. (A process's own ru_maxrss would begin with what
    its parent held when it was started.)"""
    status = Path("/proc/self/status").read_text()
    own = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return 1024 * max(int(own), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


if __name__ == "__main__":
    main()
