"""Time and peak memory of one training step, beside a literal eager port of the same network.

    python benchmarks/train_step.py [PRESET ...] [--rounds 9]
    python benchmarks/train_step.py --curves        losses of short trainings, three seeds

A step is the forward pass, the L1 loss, the backward pass and Adam. Every variant has a process of
its own, as a training has, so that its peak memory and its warm heap are its own; they take turns,
a step each per round. Times are medians over the rounds, ratios medians of the ratios within a
round. The share is that of this machine's own matrix-product rate: operations of all linear layers,
convolutions and attention products, three times the forward's, over time and rate. Before anything
is timed, the port's output and gradients are compared with the package's.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean, median, stdev

import torch
import torch.nn.functional as F
from eager_port import port
from machine import describe, matrix_rate, watched
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import iln
from iln.backbones import SwinIRSpec, from_spec
from iln.script import run_script

SIZES = {"swinir-light-x2": (8, 48), "hat-mini-x4": (4, 32)}
"""Patches and their side; other presets get the first."""
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Variant:
    """Whose code, which norm, which precision."""

    code: str
    norm: str
    precision: str

    def __str__(self) -> str:
        return f"{self.code} {self.norm} {self.precision}"


OURS = [Variant("iln", norm, precision) for precision in TYPES for norm in ("ln", "i-ln")]
GROUPS = [
    [Variant("port", "i-ln", "fp32"), *OURS],
    [Variant("port", "ln", "fp32"), *(v for v in OURS if v.norm == "ln")],
]
"""Variants that take turns; all at once would not fit in the memory of a small machine."""
WARM_UP = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("presets", nargs="*", default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--curves", action="store_true")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        work(given.presets[0], Variant(*given.inside.split("/")))
        return
    print(describe(), flush=True)
    if given.curves:
        curves()
        return
    for preset in given.presets:
        measure(preset, given.rounds)


def network(preset: str, variant: Variant) -> nn.Module:
    """The preset with the variant's norm; the same weights whatever the code."""
    torch.manual_seed(0)
    model = iln.build(preset, variant.norm, input_stats="mean").train()
    return port(model) if variant.code == "port" else model


def patches(preset: str) -> tuple[Tensor, Tensor]:
    """Random input and target."""
    spec = iln.build(preset).spec
    count, side = SIZES.get(preset, SIZES["swinir-light-x2"])
    generator = torch.Generator().manual_seed(1)
    lr = torch.rand(count, spec.in_chans, side, side, generator=generator)
    big = side * spec.scale
    return lr, torch.rand(count, spec.in_chans, big, big, generator=generator)


def stepper(
    model: nn.Module, precision: str, lr: float = 2e-4
) -> Callable[[Tensor, Tensor], Tensor]:
    """One training step on a batch, which returns the loss."""
    adam = torch.optim.Adam(model.parameters(), lr, fused=True)

    def step(low: Tensor, high: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            output = model(low)
        loss = F.l1_loss(output.float(), high)
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        return loss.detach()

    return step


def check(preset: str, norm: str) -> None:
    """The port computes what the package computes: outputs to 1e-5, gradients to 1e-4 of each."""
    ours, theirs = (network(preset, Variant(code, norm, "fp32")) for code in ("iln", "port"))
    low, high = patches(preset)
    low, high = low[:1], high[:1]
    outputs = [model(low) for model in (ours, theirs)]
    gap = (outputs[0] - outputs[1]).abs().max().item()
    gradients = []
    for model, output in zip((ours, theirs), outputs, strict=True):
        F.l1_loss(output, high).backward()  # type: ignore[no-untyped-call]
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    worst = max(
        ((gradients[0][n] - g).norm() / g.norm().clamp(min=1e-12)).item()
        for n, g in gradients[1].items()
    )
    if gap > 1e-5 or worst > 1e-4:
        raise SystemExit(f"the port differs: output by {gap:.1e}, a gradient by {worst:.1e}")
    print(f"{preset} {norm}: output equal to {gap:.0e}, gradients to {worst:.0e} of their norm")


def measure(preset: str, rounds: int) -> None:
    """All groups of variants of one network."""
    for norm in ("ln", "i-ln"):
        check(preset, norm)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(preset, OURS[0])(patches(preset)[0])
    operations = 3 * counter.get_total_flops()
    rates = {name: matrix_rate(dtype) for name, dtype in TYPES.items()}
    for name, rate in rates.items():
        print(f"matrix products {name}: {rate / 1e9:.0f} GFLOP/s", flush=True)
    for group in GROUPS:
        taken, peaks = take_turns(preset, group, rounds)
        for variant, values in taken.items():
            share = operations / median(values) / rates[variant.precision]
            print(
                f"{preset:16} {variant!s:15} {median(values):6.3f} s, fastest {min(values):6.3f} s,"
                f" {share:4.0%} of the rate, peak {peaks[variant]}"
            )
        for a in group:
            for b in group:
                if (a.code == "port" and b.norm == a.norm and b.code != "port") or (
                    (a.code, a.precision) == (b.code, b.precision) and a.norm < b.norm
                ):
                    print(f"{preset:16} {ratio(a, b, taken)}", flush=True)


def take_turns(
    preset: str, group: list[Variant], rounds: int
) -> tuple[dict[Variant, list[float]], dict[Variant, str]]:
    """Seconds of each step of each variant, and what its process says of its memory."""
    workers = {}
    for variant in group:
        inside = "/".join((variant.code, variant.norm, variant.precision))
        command = [sys.executable, __file__, preset, "--inside", inside]
        workers[variant] = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def ask(worker: subprocess.Popen[str], question: str) -> str:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(question + "\n")
        return worker.stdout.readline().strip()

    for worker in workers.values():
        for _ in range(WARM_UP):
            ask(worker, "step")
    taken: dict[Variant, list[float]] = {v: [] for v in group}
    for _ in range(rounds):
        for variant, worker in workers.items():
            taken[variant].append(float(ask(worker, "step")))
    peaks = {variant: ask(worker, "peak") for variant, worker in workers.items()}
    for worker in workers.values():
        worker.communicate()
    return taken, peaks


def ratio(a: Variant, b: Variant, taken: dict[Variant, list[float]]) -> str:
    """Time of a over time of b: the median of the rounds, the quartiles, and of the fastest."""
    pairs = sorted(x / y for x, y in zip(taken[a], taken[b], strict=True))
    low, high = pairs[len(pairs) // 4], pairs[-1 - len(pairs) // 4]
    best = min(taken[a]) / min(taken[b])
    return f"{a} / {b}: {median(pairs):.3f} ({low:.3f} to {high:.3f}; of the fastest {best:.3f})"


def work(preset: str, variant: Variant) -> None:
    """A variant's process: a step and its time for every line that says so, then its peak."""
    low, high = patches(preset)
    step = stepper(network(preset, variant), variant.precision)
    with watched() as before:
        pass
    with watched() as peak:
        for line in sys.stdin:
            if line.strip() == "peak":
                break
            started = time.perf_counter()
            step(low, high)
            print(time.perf_counter() - started, flush=True)
    steps = (peak.resident - before.resident) / 2**30
    print(f"{peak.resident / 2**30:.2f} GiB, of which the steps {steps:.2f} GiB", flush=True)


def curves(steps: int = 300, seeds: int = 3) -> None:
    """A small SwinIR on smooth random pictures; the mean loss of the last fifty steps."""
    spec = SwinIRSpec(
        scale=2, embed_dim=32, depths=(2, 2), num_heads=(4, 4), upsampler="pixelshuffledirect"
    )
    for norm in ("ln", "i-ln"):
        for code, precision in (("port", "fp32"), ("iln", "fp32"), ("iln", "bf16")):
            ends = [_train(spec, norm, code, precision, steps, seed) for seed in range(seeds)]
            print(
                f"{norm:4} {code:4} {precision}: "
                + ", ".join(f"{end:.5f}" for end in ends)
                + f"; mean {mean(ends):.5f}, spread {stdev(ends):.5f}",
                flush=True,
            )


def _train(spec: SwinIRSpec, norm: str, code: str, precision: str, steps: int, seed: int) -> float:
    torch.manual_seed(seed)
    eps = {"ln": 1e-5, "i-ln": 1e-4}[norm]
    model = from_spec(SwinIRSpec(**{**vars(spec), "norm": norm, "eps": eps})).train()
    step = stepper(port(model) if code == "port" else model, precision, lr=1e-3)
    generator = torch.Generator().manual_seed(seed)
    losses = []
    for _ in range(steps):
        coarse = torch.rand(4, 3, 12, 12, generator=generator)
        high = F.interpolate(coarse, size=(64, 64), mode="bicubic", align_corners=False)
        losses.append(step(F.avg_pool2d(high, 2), high).item())
    return mean(losses[-50:])


if __name__ == "__main__":
    run_script(main)
