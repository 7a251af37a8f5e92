"""A network as a list of steps over maps, for programs that have little memory at a time.

A network's forward is written in the verbs of a `ForwardPass` (`iln.layers.forward_pass`). Here a
pass writes down what it is asked for, and traces what happens to some rows of a map as an ONNX
graph. Whoever runs the steps holds the maps and gives the graphs some rows at a time, as `Strips`
does; weights are inputs of the graphs, so that all layers of one kind share one.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import InputKind

from iln.backbones import Backbone
from iln.deploy.export.graph import PRECISIONS
from iln.deploy.export.onnx_file import weightless_onnx
from iln.errors import InputError
from iln.layers.forward_pass import ForwardPass, Local, Residual, Rows
from iln.norm import ILN, Norm, Statistics, kind_outside

PICTURE = 0
"""The map that is given: the picture, padded to whole windows and gathered into cells."""


@dataclass
class Program:
    """What is to be done, in order.

    Attributes:
        maps: of each map, its channels, type and rows for each row of the given one.
        steps: dictionaries for JSON; see `Recorder`.
        graphs: contents of ONNX files. Inputs: `x`, then by kind of step `onto`, `mean` and
            `sigma`; then `w0`, `w1`, ... . Output: `y`.
        weights: what w0, w1, ... are; steps name them by their places here.
        result: the map that is the restored picture.
    """

    maps: list[dict[str, Any]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    graphs: list[bytes] = field(default_factory=list)
    weights: list[Tensor] = field(default_factory=list)
    result: int = PICTURE


def record(model: Backbone, precision: str = "fp32") -> Program:
    """The program of a network; the model stays as it is.

    Args:
        precision: `fp32`; or `fp16`: maps and weights in float16, but for the picture and the
            result, and statistics.

    Raises:
        InputError: for a network with a step that is not known here.
    """
    outside = kind_outside(model.spec.norm)
    if outside.statistics is not Norm.statistics:
        raise InputError(
            f"{outside.title} outside of branches looks at whole maps, which pages do not; "
            "--to onnx is for any network"
        )
    network = copy.deepcopy(model).to("cpu", PRECISIONS[precision]).eval().requires_grad_(False)
    side = 2 * network.spec.window * network.spec.unshuffle
    recorder = Recorder(network)
    with torch.no_grad():
        network(torch.zeros(1, network.spec.in_chans, side, side), recorder)
    recorder.finish()
    return recorder.program


class Recorder(ForwardPass):
    """Writes down the steps of a forward over a small picture. Every step has `do`:

        copy          `to` becomes what `from` is
        concatenate   `to` becomes the maps `from`, side by side in their channels
        map           `to` becomes graph(`from`), with `halo` rows of context on each side
        add           `onto` becomes graph(`from`, `onto`), with a halo of `from` alone
        residual      `onto` becomes graph(`onto`); in whole windows of rows, moved by `shift`.
                      `eps`, where there is one: mean and sigma = sqrt(variance + eps) of the whole
                      map are inputs. Two graphs: for the last rows, and for all others.

    and `free`: the maps that nobody needs afterwards.
    """

    def __init__(self, network: Backbone) -> None:
        self.program = Program()
        self._network = network
        self._maps: dict[int, int] = {}
        self._held: list[Tensor] = []  # lest another one gets its id
        self._kinds: dict[Any, int] = {}
        self._places: dict[int, int] = {}
        self._alike: dict[Any, tuple[int, list[int]]] = {}

    # The verbs.

    def pad(self, image: Tensor, height: int, width: int) -> Tensor:
        return self._new(image) if self._network.spec.unshuffle == 1 else image

    def copy(self, x: Tensor) -> Tensor:
        return self._step(x.clone(), {"do": "copy", "from": [self._map(x)]})

    def concatenate(self, maps: Sequence[Tensor]) -> Tensor:
        y = torch.cat(tuple(maps), -1)
        if id(maps[0]) not in self._maps:  # the picture's cells
            return self._new(y)
        return self._step(y, {"do": "concatenate", "from": [self._map(part) for part in maps]})

    def scale(self, x: Tensor, factor: float) -> Tensor:
        return self.map(lambda rows: rows * factor, x)

    def map(self, f: Local, x: Tensor, halo: int = 0, scale: int = 1) -> Tensor:
        step = {"do": "map", "from": [self._map(x)], "halo": halo, "scale": scale}
        return self._step(f(x), {**step, **self._graph(f, [x])}, scale)

    def add(self, onto: Tensor, f: Local, x: Tensor, halo: int = 0) -> Tensor:
        step = {"do": "add", "from": [self._map(x)], "onto": self._map(onto), "halo": halo}

        def total(rows: Tensor, onto: Tensor) -> Tensor:
            return (onto + f(rows)).to(onto.dtype)

        return self._step(total(x, onto), {**step, **self._graph(total, [x, onto])})

    def add_branch(self, x: Tensor, step: Residual) -> Tensor:
        if step.halo or step.beside is not None:
            raise InputError(
                f"pages do not know what {type(self._network).__name__} has beside attention; "
                "--to onnx is for any network"
            )
        norm, stats = step.norm, step.norm.statistics(x)
        said: dict[str, Any] = {"do": "residual", "onto": self._map(x), "from": [self._map(x)]}
        said |= {"window": step.window, "shift": step.shift}
        if stats is not None:
            assert isinstance(norm, ILN)
            said["eps"] = norm.eps

        inputs = [x, *(stats or ())]
        found = self._branch_graph(step, inputs, bottom=True)
        if step.shift:
            found["graph_within"] = self._branch_graph(step, inputs, bottom=False)["graph"]
        return self._step(_changed(step, True, *inputs), {**said, **found})

    def _branch_graph(
        self, step: Residual, inputs: Sequence[Tensor], *, bottom: bool
    ) -> dict[str, Any]:
        """As `_graph`, but traced only once for layers that are alike: there are many."""
        assert isinstance(step.branch, nn.Module)
        parts = step.norm, step.branch
        own = [tensor for part in parts for tensor in part.parameters()]
        key = *map(_structure, parts), step.shift, bottom
        if key not in self._alike:
            found = self._graph(partial(_changed, step, bottom), inputs, step.window)
            places = {self._place(tensor): number for number, tensor in enumerate(own)}
            self._alike[key] = found["graph"], [places[place] for place in found["weights"]]
        graph, order = self._alike[key]
        return {"graph": graph, "weights": [self._place(own[number]) for number in order]}

    # What they have in common.

    def finish(self) -> None:
        """Say which maps are needed no more after each step."""
        needed = {self.program.result}
        for step in reversed(self.program.steps):
            used = {*step["from"], step["to"]}
            step["free"] = sorted(used - needed)
            needed |= used

    def _map(self, x: Tensor) -> int:
        return self._maps[id(x)]

    def _new(self, x: Tensor, scale: int = 1) -> Tensor:
        """A map of its own."""
        maps = self.program.maps
        maps.append({"channels": x.shape[-1], "type": str(x.dtype)[6:], "scale": scale})
        return self._remember(x, len(maps) - 1)

    def _remember(self, x: Tensor, number: int) -> Tensor:
        self._held.append(x)
        self._maps[id(x)] = number
        return x

    def _step(self, y: Tensor, step: dict[str, Any], scale: int = 1) -> Tensor:
        if "onto" in step:
            self._remember(y, step["onto"])
        else:
            self._new(y, scale * self.program.maps[step["from"][0]]["scale"])
        self.program.result = step["to"] = self._map(y)
        self.program.steps.append(step)
        return y

    def _graph(
        self, f: Callable[..., Tensor], inputs: Sequence[Tensor], window: int = 1
    ) -> dict[str, Any]:
        """`graph` and `weights` of a step that does f to rows of its maps."""
        traced = _traced(self._network, f, inputs, window)
        weights, kind = _weights(traced)
        number = self._kinds.setdefault(kind, len(self._kinds))
        if number == len(self.program.graphs):
            names = ("x", "mean", "sigma") if len(inputs) == 3 else ("x", "onto")[: len(inputs)]
            given = [name for name, _ in weights]
            self.program.graphs.append(weightless_onnx(traced, names, given))
        return {"graph": number, "weights": [self._place(tensor) for _, tensor in weights]}

    def _place(self, tensor: Tensor) -> int:
        """Of a weight among all; layers may share it."""
        if id(tensor) not in self._places:
            self._places[id(tensor)] = len(self.program.weights)
            self.program.weights.append(tensor)
        return self._places[id(tensor)]


def _changed(step: Residual, bottom: bool, rows: Tensor, *stats: Tensor) -> Tensor:
    """What a residual branch makes of rows of the stream, rolled already if it is shifted."""
    known = Statistics(*stats) if stats else None
    part = Rows(step.norm.normalize(rows, known), bottom=bottom, rolled=step.shift)
    return (rows + step.norm.rescale(step.branch(part), known)).to(rows.dtype)


def _structure(module: nn.Module) -> Any:
    """Equal for modules that compute the same, but for their parameters' values."""
    return tuple(
        (
            name,
            type(part),
            tuple((k, v) for k, v in vars(part).items() if isinstance(v, (int, float, str))),
            tuple((k, tensor.shape) for k, tensor in part.named_parameters(recurse=False)),
        )
        for name, part in module.named_modules()
    )


class _OnRows(nn.Module):
    """A function whose tensors are the network's."""

    def __init__(self, network: Backbone, f: Callable[..., Tensor]) -> None:
        super().__init__()
        self.network, self.f = network, f

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.f(*inputs)


def _traced(
    network: Backbone, f: Callable[..., Tensor], inputs: Sequence[Tensor], window: int
) -> ExportedProgram:
    """f of rows (1, h, W, C) of maps, for any h and W in whole windows."""
    rows, columns = 3 * max(window, 3), 4 * max(window, 3)
    height, width = Dim("rows"), Dim("columns")
    dims = {1: window * height, 2: window * width} if window > 1 else {1: height, 2: width}
    # Statistics are (1, 1, 1, 1) whatever the map is.
    sample = [
        torch.zeros(1, rows, columns, x.shape[3], dtype=x.dtype) if x.shape[1] > 1 else x
        for x in inputs
    ]
    shapes = tuple(dims if x.shape[1] > 1 else None for x in inputs)
    return torch.export.export(_OnRows(network, f), tuple(sample), dynamic_shapes=(shapes,))


def _weights(traced: ExportedProgram) -> tuple[list[tuple[str, Tensor]], Any]:
    """The parameters that a graph uses, by name and in order, and what else there is to it: equal
    for graphs that compute the same with other parameters."""
    used = {node.name for node in traced.graph.nodes if node.op == "placeholder" and node.users}
    text = str(traced.graph)
    weights: list[tuple[str, Tensor]] = []
    constants: list[Any] = []
    for spec in traced.graph_signature.input_specs:
        name, target = spec.arg.name, spec.target
        if target is None:
            continue
        if name not in used:
            text = re.sub(rf"(?m)^ *%{name} .*\n", "", text)
        elif spec.kind is InputKind.PARAMETER:
            text = re.sub(rf"\b{name}\b", f"weight{len(weights)}", text)
            weights.append((target, traced.state_dict[target]))
        else:
            text = re.sub(rf"\b{name}\b", f"constant{len(constants)}", text)
            tensor = (traced.constants | traced.state_dict)[target]
            constants.append((tensor.dtype, tensor.tolist()))
    shapes = [(tensor.dtype, tensor.shape) for _, tensor in weights]
    return weights, repr((text, shapes, constants))
