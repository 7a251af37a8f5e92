"""How near a network comes to what its own matrix products and convolutions take alone.

    OMP_NUM_THREADS=1 python benchmarks/shapes.py [NETWORK:SIDE ...]

One forward in strips is watched: which products and convolutions, of which shapes, how often. Each
shape is timed by itself, with its operands ready in memory; the sum stands beside what the whole
takes with each engine, in turn in one process. The share says how much of the time is products.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import numpy as np
import torch
from machine import describe
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import iln
from iln.backbones import PRESETS, Backbone
from iln.cpu import instructions
from iln.errors import InputError
from iln.layers.forward_pass import Strips
from iln.restoration.plan import make_plan
from iln.script import run_script

DEFAULT = ("photo:512", "sr-x2:256", "hat-mini-x4:128")
ROUNDS = 5
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

Product = tuple[str, tuple[int, ...], tuple[int, ...]]
"""Kind and the shapes of both operands; of a convolution, picture and weight."""


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the products of what runs inside, and their operations."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: Counter[Product] = Counter()

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        for product in products(str(function), arguments):
            self.found[product] += 1
        return function(*arguments, **(options or {}))


def products(name: str, arguments: Any) -> Iterator[Product]:
    tensors = [tuple(a.shape) for a in arguments if isinstance(a, Tensor)]
    if name.startswith(("aten.mm", "aten.addmm")):
        yield "product", tensors[-2], tensors[-1]
    elif name.startswith("aten.linear"):
        x, weight = tensors[:2]
        yield "product", (int(np.prod(x[:-1])), x[-1]), (weight[1], weight[0])
    elif name.startswith("aten.bmm"):
        yield "products", tensors[0], tensors[1]
    elif name.startswith("aten.convolution"):
        yield "convolution", tensors[0], tensors[1]
    elif "scaled_dot_product" in name:
        (*many, tokens, dim), (*_, others, _) = tensors[0], tensors[1]
        count = int(np.prod(many))
        yield "products", (count, tokens, dim), (count, dim, others)
        yield "products", (count, tokens, others), (count, others, dim)


def operations(product: Product) -> int:
    kind, a, b = product
    if kind == "convolution":
        return 2 * int(np.prod(a)) * int(np.prod(b)) // b[1]
    return 2 * int(np.prod(a)) * b[-1]


def alone(product: Product, dtype: torch.dtype) -> float:
    """CPU seconds of one."""
    kind, a, b = product
    x, y = torch.randn(a).to(dtype), torch.randn(b).to(dtype)
    work: Callable[[], object]
    if kind == "convolution":
        x = x.to(memory_format=torch.channels_last)
        work = lambda: torch.nn.functional.conv2d(x, y, padding=b[-1] // 2)  # noqa: E731
    else:
        out = torch.empty(*a[:-1], b[-1], dtype=dtype)
        multiply = torch.mm if kind == "product" else torch.bmm
        work = lambda: multiply(x, y, out=out)  # noqa: E731
    times = []
    for _ in range(ROUNDS + 1):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return median(times[1:])


@torch.inference_mode()
def compare(name: str, side: int) -> None:
    torch.manual_seed(0)
    network: Backbone = iln.build(name, norm="i-ln") if name in PRESETS else iln.load(name)
    network = network.eval()
    rows = make_plan(network.spec, side, side, None, 4).rows
    with Watch() as watch:
        network(torch.rand(1, 3, side, side), Strips(rows))
    count = sum(operations(product) * times for product, times in watch.found.items())
    dtypes = {n: d for n, d in DTYPES.items() if n == "fp32" or instructions().bf16}
    sums = {
        n: sum(alone(product, dtype) * times for product, times in watch.found.items())
        for n, dtype in dtypes.items()
    }
    picture = np.random.default_rng(0).random((side, side, 3), np.float32)
    ways = {
        (engine, n): iln.Restorer(network, engine=engine, precision=n, device="cpu")
        for engine in ("torch", "openvino")
        for n in dtypes
        if (engine, n) != ("torch", "bf16")
    }
    times: dict[tuple[str, str], list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS + 1):
        for way, restorer in ways.items():
            started = time.process_time()
            restorer(picture)
            times[way].append(time.process_time() - started)
    taken = {way: median(some[1:]) for way, some in times.items()}
    eager = taken["torch", "fp32"]
    print(f"\n{name}, {side}x{side}, {count / 1e9:.0f} billion operations of products\n")
    print("| | CPU seconds | against PyTorch fp32 | products alone | their share |")
    print("|---|---|---|---|---|")
    for (engine, n), s in taken.items():
        rate = count / sums[n] / 1e9
        print(
            f"| {engine} {n} | {s:.2f} | {eager / s:.2f} | {sums[n]:.2f} s ({rate:.0f} GFLOP/s) "
            f"| {sums[n] / s:.0%} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", default=DEFAULT, help="NETWORK:SIDE of the picture")
    chosen = [words.partition(":") for words in parser.parse_args().networks]
    for name, _, side in chosen:
        if not side.isdecimal() or int(side) < 1:
            raise InputError(f"{name}: add the side of its picture in pixels, such as {name}:256")
    print(describe())
    for name, _, side in chosen:
        compare(name, int(side))


if __name__ == "__main__":
    run_script(main)
