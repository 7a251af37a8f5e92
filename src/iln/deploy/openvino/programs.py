"""Compiled graphs, and how they are run: some windows or pixels at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from iln.deploy.openvino import operations
from iln.deploy.openvino.operations import Graph
from iln.extras import openvino_core
from iln.norm import Norm, Statistics

PIECE = 1 << 20
"""Elements of the widest tensor that a graph works on at a time: 4 MiB of float32."""
_COMPILERS = 4
"""Graphs compiled at a time; each waits for memory as much as it computes."""

Make = Callable[[Graph, int], Any]
"""A graph to be made, and for how many windows or pixels -> the whole model."""


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


class Compiler:
    """Compiles many graphs side by side; all are ready when the context ends.

    Args:
        hint: OpenVINO's name for a precision.
        constants: weights are constants of the graphs, dozens of them. Else they are inputs, and
            layers of one shape share one graph: ready in a tenth of the time, and with AVX-512 as
            fast. With AVX2 constants are faster, by a quarter, and 8 bits need them.
    """

    def __init__(self, hint: str, *, constants: bool) -> None:
        self.constants = constants
        self._compile = compiler(hint)
        self._shared: dict[Any, Future[Any]] = {}
        self._all: list[Future[Any]] = []

    def __enter__(self) -> "Compiler":
        self._pool = ThreadPoolExecutor(_COMPILERS)
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._pool.shutdown(cancel_futures=error is not None)
        if error is None:
            for each in self._all:
                each.result()  # where one cannot be compiled, it is known now

    def __call__(self, model: Any) -> "Future[Any]":
        """The compiled model, when it is ready."""
        self._all.append(self._pool.submit(self._compile, model))
        return self._all[-1]

    def shared(self, model: Any) -> "Future[Any]":
        """The same for a model without constants of its own: once for all of the same inputs."""
        key = tuple((entry.any_name, tuple(entry.shape)) for entry in model.inputs)
        if key not in self._shared:
            self._shared[key] = self(model)
        return self._shared[key]


class Program:
    """A compiled graph that takes and gives (n, ...) tensors for any n, some of the n at a time."""

    def __init__(self, graph: Any, compile_graph: Compiler, at_once: int) -> None:
        self._compiled = compile_graph(graph)
        self.at_once = max(1, at_once)
        self.scratch_bytes = 2 * 4 * max(PIECE, self.at_once * operations.widest(graph))
        """Bytes that it will keep for what it computes: measured, with some to spare."""

    @cached_property
    def request(self) -> Any:
        """What infers."""
        return self._compiled.result().create_infer_request()

    def __call__(self, *inputs: Tensor, out: Tensor) -> Tensor:
        """What the graph computes.

        Args:
            inputs: contiguous float32.
            out: contiguous float32; it is filled.

        Returns:
            `out`.
        """
        if not len(out):
            return out
        # Equal pieces, a few entries computed twice: each other number of them would take memory
        # of its own at first.
        size = -(-len(out) // -(-len(out) // self.at_once))
        for start in range(0, len(out), size):
            end = min(start + size, len(out))
            share = slice(end - size, end)
            for i, tensor in enumerate(inputs):
                self.request.set_input_tensor(i, shared_memory(tensor[share]))
            self.request.set_output_tensor(shared_memory(out[share]))
            self.request.infer()
        return out


class StreamProgram:
    """What a block does to the residual stream x (n, ..., C), n windows or pixels:

        x -> x + rescale(branch(normalize(x)))

    A graph of fixed shape takes up to an eighth less time than one for any n, so n is fixed.

    Args:
        make: makes the graph.
        wide: numbers that are computed side by side for one window or pixel, at most.
        norm: what stands before the branch.
    """

    def __init__(self, make: Make, wide: int, norm: Norm, compile_graph: Compiler) -> None:
        self._norm = norm
        self._alone = compile_graph.constants
        most = 1 << max(0, (PIECE // wide).bit_length() - 1)  # numbers that are not take longer
        self.counts = [max(1, most // 4)] if self._alone else sorted({most, max(1, most // 8)})
        """n of each graph. Where graphs are shared there are two: one for what is left at a map's
        end. Else two would take too long to compile."""
        self._compiled: list[Future[Any]] = []
        for count in self.counts:
            graph = Graph(constants=self._alone)
            model = make(graph, count)
            self._compiled.append(
                compile_graph(model) if self._alone else compile_graph.shared(model)
            )
        self._weights = graph.weights
        self.scratch_bytes = 2 * 4 * max(PIECE, operations.widest(model))
        """Bytes that one of them takes at most for what it computes: measured."""

    @contextmanager
    def over(self, stats: Statistics | None) -> "Iterator[StreamPass]":
        """For one pass over a map with these statistics."""
        compiled = [each.result() for each in self._compiled]
        requests = [each.create_infer_request() for each in compiled]
        try:
            yield StreamPass(requests, self._weights, self._norm, stats)
        finally:
            if self._alone:  # dozens of graphs would keep what only one needs at a time
                for each in compiled:
                    each.release_memory()


class StreamPass:
    """Runs a `StreamProgram` over one map, piece by piece."""

    def __init__(
        self,
        requests: Sequence[Any],
        weights: Mapping[str, Tensor],
        norm: Norm,
        stats: Statistics | None,
    ) -> None:
        self._requests, self._norm, self._stats = requests, norm, stats
        self._given: dict[str, Tensor] = {}  # held, because they are read where they are
        self._targets = [torch.empty(list(r.get_output_tensor().shape)) for r in requests]
        for request, target in zip(requests, self._targets, strict=True):
            request.set_output_tensor(shared_memory(target))
        for name, weight in weights.items():
            self.give(name, weight)
        factor = norm.rescale(torch.ones(1, 1, 1, norm.dim), stats)
        self.give("factor", factor.flatten())
        self._per_channel = norm.per_channel(stats)
        if self._per_channel is not None:
            for name, value in self._per_channel._asdict().items():
                self.give(name, value.flatten().expand(norm.dim))

    def give(self, name: str, value: Tensor) -> None:
        """An input that stays the same for the next pieces, by its name."""
        self._given[name] = value.contiguous()
        for request in self._requests:
            request.set_tensor(name, shared_memory(self._given[name]))

    def pieces(self, total: int) -> Iterator[slice]:
        """All windows or pixels of a map, as many at a time as `__call__` takes."""
        start = 0
        while start < total:
            left = total - start
            fitting = [len(target) for target in self._targets if len(target) <= left]
            count = max(fitting, default=left)
            yield slice(start, start + count)
            start += count

    def __call__(self, x: Tensor) -> Tensor:
        """Of a piece (k, ..., C), contiguous: the new one, overwritten by the next call."""
        given = len(x)
        which = next(i for i, target in enumerate(self._targets) if len(target) >= given)
        request, target = self._requests[which], self._targets[which]
        if given < len(target):
            x = torch.cat((x, torch.zeros_like(target[given:])))
        request.set_tensor("x", shared_memory(x))
        if self._per_channel is None:
            normal = self._norm.normalize(x.view(1, 1, -1, self._norm.dim), self._stats)
            request.set_tensor("normal", shared_memory(normal.contiguous().view(x.shape)))
        request.infer()
        return target[:given]


def shared_memory(tensor: Tensor) -> Any:
    """A contiguous tensor as OpenVINO takes it, without a copy."""
    from openvino import Tensor as Shared

    return Shared(tensor.numpy(), shared_memory=True)
