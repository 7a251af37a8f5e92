"""A network with its heavy layers exchanged for compiled ones."""

import copy
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from iln.backbones import Backbone
from iln.backbones.hat import OverlappingBlock
from iln.cpu import instructions
from iln.deploy.openvino import modules
from iln.deploy.openvino.operations import Ranges, Rounding
from iln.deploy.quantization.fake import Range
from iln.deploy.quantization.rounding import HALF_RANGE
from iln.errors import InputError
from iln.extras import openvino_core
from iln.layers.attention import WindowAttention
from iln.layers.conv import Conv2d
from iln.layers.feedforward import FeedForward

NUMBERS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16", "int8": ""}
"""Our names and OpenVINO's."""
_CAPABILITIES = {"bf16": "BF16", "fp16": "FP16"}
STRIP = 8 * 2**20
"""Bytes of a strip's widest tensor that go best with it."""
_COMPILERS = 4
"""Graphs compiled at a time; each waits for memory as much as it computes."""
_THREADS_BESIDE = 4
"""One of PyTorch's threads to so many of OpenVINO's: they take turns, and PyTorch's, which wait
for their next work without sleeping, would take the cores away."""


def supported_precisions() -> list[str]:
    """Of fp32, bf16, fp16 and int8, those that this CPU has. Raises InputError without openvino."""
    has = openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    cpu = instructions()  # OpenVINO does not see what a limit of oneDNN rules out
    half = [n for n, name in _CAPABILITIES.items() if name in has and getattr(cpu, n)]
    return [name for name in NUMBERS if name not in _CAPABILITIES or name in half]


def compiled(
    model: Backbone,
    precision: str = "fp32",
    ranges: Mapping[str, Range] | None = None,
    *,
    half_range: bool | None = None,
) -> Backbone:
    """A copy of a network whose attention and feed-forward OpenVINO computes.

    It is for inference on the CPU, one picture at a time, in strips
    (`iln.layers.forward_pass.Strips`). The residual stream, norms, statistics and convolutions
    stay in PyTorch's float32 (its convolutions are as fast, and need no other layout).

    Args:
        precision: `fp32`; `bf16` or `fp16`, where the CPU has them, inside those layers; or `int8`:
            their linear layers in int8 and what is between these in bf16, or fp32 without it.
        ranges: for int8, by layer, as `iln.deploy.quantization.calibrate` gives them.
        half_range: for int8, weights from -64 to 64 in place of -127 to 127: exact on every CPU.
            None: where this CPU has no 8-bit dot products (`iln.cpu`), whose sums would saturate.

    Raises:
        InputError: for a precision that the CPU does not have, for missing ranges, and where
            openvino is missing.
    """
    here = supported_precisions()
    if precision not in here:
        raise InputError(f"OpenVINO has no {precision!r} on this CPU; it has {', '.join(here)}")
    if precision == "int8":
        _check(model, ranges or {})
    narrow = NUMBERS[precision] or ("bf16" if "bf16" in here else "f32")
    network = copy.deepcopy(model).float().eval().requires_grad_(False)
    if half_range is None:
        half_range = not instructions().int8
    top = HALF_RANGE if half_range else 127
    asked = ranges if ranges is not None and precision == "int8" else {}
    seen = {name: Rounding(*limits, top) for name, limits in asked.items()}
    with compiling(narrow) as compile_graph:
        _exchange(network, seen, compile_graph)
    for program in _programs(network):
        program.request  # noqa: B018 (where one cannot be compiled, it is known now)
    _take_turns(network, torch.get_num_threads())
    return network


def compiler(hint: str) -> Callable[[Any], Any]:
    """What makes a graph ready for the CPU, in OpenVINO's name for a precision and with as many
    threads as PyTorch has."""
    core, threads = openvino_core(), torch.get_num_threads()
    options = {
        "INFERENCE_PRECISION_HINT": hint,
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    return lambda graph: core.compile_model(graph, "CPU", options)


@contextmanager
def compiling(hint: str) -> Iterator[modules.Compile]:
    """The same for many graphs, side by side; all are ready at the end."""
    compile_graph = compiler(hint)
    with ThreadPoolExecutor(_COMPILERS) as pool:
        yield lambda graph: pool.submit(compile_graph, graph)


def scratch_bytes(network: Backbone) -> int:
    """Bytes that a compiled network's graphs take when they first compute, and then keep."""
    return sum(program.scratch_bytes for program in _programs(network))


def _programs(network: Backbone) -> Iterator[modules.Program]:
    for module in network.modules():
        for program in vars(module).values():
            if isinstance(program, modules.Program):
                yield program


def _exchange(network: Backbone, ranges: Ranges, compile_graph: modules.Compile) -> None:
    for name, module in list(network.named_modules()):
        inside = {
            layer.removeprefix(name).removeprefix("."): limits
            for layer, limits in ranges.items()
            if layer == name or layer.startswith(name + ".")
        }
        if isinstance(module, WindowAttention):
            block = network.get_submodule(name.rpartition(".")[0])
            shifted = bool(getattr(block, "shift", 0))
            _put(network, name, modules.CompiledAttention(module, shifted, inside, compile_graph))
        elif isinstance(module, FeedForward):
            _put(network, name, modules.CompiledFeedForward(module, inside, compile_graph))
        elif isinstance(module, OverlappingBlock):
            _put(network, name, modules.CompiledOverlappingBlock(module, inside, compile_graph))


def _put(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(network.get_submodule(parent), own, module)


def _take_turns(network: nn.Module, threads: int) -> None:
    """PyTorch's threads: few while the network computes, all of them in its convolutions."""
    for module in network.modules():
        if isinstance(module, Conv2d):
            _with_threads(module, threads)
    _with_threads(network, max(1, threads // _THREADS_BESIDE))


def _with_threads(module: nn.Module, count: int) -> None:
    before: list[int] = []

    def enter(module: nn.Module, inputs: Any) -> None:
        before.append(torch.get_num_threads())
        torch.set_num_threads(count)

    def leave(module: nn.Module, inputs: Any, output: Any) -> None:
        torch.set_num_threads(before.pop())

    module.register_forward_pre_hook(enter)
    module.register_forward_hook(leave, always_call=True)


def _check(model: Backbone, ranges: Mapping[str, Range]) -> None:
    missing = [name for name in model.body_layers() if name not in ranges]
    if missing:
        raise InputError(
            "int8 needs the ranges of the network's features, and this model has none"
            f"{'' if len(missing) == len(model.body_layers()) else f' for {missing[0]}'}; "
            "`iln quantize MODEL --calibrate FOLDER -o FILE` measures them"
        )
