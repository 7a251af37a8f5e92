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
from iln.layers.forward_pass import ForwardPass, GatedConvolution, Local, Residual, Rows
from iln.norm import LNStar, Norm, Statistics, kind_outside

PICTURE = 0
"""The map that is given: the picture, padded to whole windows and gathered into cells."""


@dataclass
class Program:
    """What is to be done, in order.

    Attributes:
        maps: of each map, its channels, type and rows for each row of the given one.
        steps: dictionaries for JSON; see `Recorder`.
        graphs: contents of ONNX files. Inputs: `x`; `onto` of an addition; what a step has in
            `whole`; then `w0`, `w1`, ... . Output: `y`.
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
        statistics    `to` becomes mean and sigma = sqrt(variance + `eps`) of the whole map `from`
        gate          `to` becomes graph(mean of each channel of `from`)
        map           `to` becomes graph(`from`), with `halo` rows of context on each side, which
                      are cut off the result
        add           `to` becomes graph(`from`, `to`), with context of both
        residual      `to`, which is `from`, becomes graph(`from`), in whole windows of rows, moved
                      by `shift`, or with `halo` rows of context that the result does not have.
                      `graphs` are for strips with context: neither, above, below, on both sides

    `whole`: maps of one pixel that the graph takes besides, by name. `free`: those that nobody
    needs afterwards.
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
        return self._step(x.clone(), {"do": "copy"}, {"x": x})

    def concatenate(self, maps: Sequence[Tensor]) -> Tensor:
        y = torch.cat(tuple(maps), -1)
        if id(maps[0]) not in self._maps:  # the picture's cells
            return self._new(y)
        step = {"do": "concatenate", "from": [self._map(part) for part in maps]}
        return self._step(y, step, {"x": maps[0]})

    def scale(self, x: Tensor, factor: float) -> Tensor:
        return self.map(lambda rows: rows * factor, x)

    def map(self, f: Local, x: Tensor, halo: int = 0, scale: int = 1) -> Tensor:
        return self._mapped(f, {"x": x}, halo, scale)

    def add(self, onto: Tensor, f: Local, x: Tensor, halo: int = 0) -> Tensor:
        def total(rows: Tensor, onto: Tensor) -> Tensor:
            return (onto + f(rows)).to(onto.dtype)

        return self._added(total, {"x": x, "onto": onto}, halo)

    def add_branch(self, x: Tensor, step: Residual) -> Tensor:
        if step.halo > step.window:
            raise InputError("attention here reaches beyond the next window, which pages do not do")
        known = self._statistics(step.norm, x)
        inputs = {"x": x, **known}
        if step.beside is not None:
            beside = step.beside

            def convolve(rows: Tensor, *known: Tensor) -> Tensor:
                return beside.convolve(step.norm.normalize(rows, _statistics(*known)))

            convolved = self._mapped(convolve, inputs, beside.halo, 1)
            gate = self._gate(beside, convolved)
        x = self._branch(step, inputs)
        if step.beside is not None:

            def weighted(rows: Tensor, onto: Tensor, gate: Tensor, *known: Tensor) -> Tensor:
                return onto + step.norm.rescale(rows * gate, _statistics(*known)).to(onto.dtype)

            given = {"x": convolved, "onto": x, "gate": gate, **known}
            x = self._added(weighted, given, 0)
        return x

    # Their steps.

    def _mapped(
        self, f: Callable[..., Tensor], inputs: dict[str, Tensor], halo: int, scale: int
    ) -> Tensor:
        step = {"do": "map", "halo": halo, "scale": scale}
        return self._step(f(*inputs.values()), step | self._graph(f, inputs), inputs, scale)

    def _added(self, f: Callable[..., Tensor], inputs: dict[str, Tensor], halo: int) -> Tensor:
        step = {"do": "add", "halo": halo}
        return self._step(f(*inputs.values()), step | self._graph(f, inputs), inputs)

    def _statistics(self, norm: Norm, x: Tensor) -> dict[str, Tensor]:
        """An input of a norm that looks at whole maps; nothing for the others."""
        stats = norm.statistics(x)
        if stats is None:
            return {}
        if not isinstance(norm, LNStar):
            raise InputError(f"the page cannot compute the statistics of {norm.title}")
        step = {"do": "statistics", "eps": norm.eps}
        return {"statistics": self._step(torch.cat(tuple(stats), -1), step, {"x": x})}

    def _gate(self, beside: GatedConvolution, convolved: Tensor) -> Tensor:
        """It looks at nothing but the mean of each channel."""

        def gate(mean: Tensor) -> Tensor:
            return beside.gate(mean.to(convolved.dtype))

        mean = convolved.float().mean((1, 2), keepdim=True)
        step = {"do": "gate", **self._graph(gate, {"x": mean})}
        return self._step(gate(mean), step, {"x": convolved})

    def _branch(self, step: Residual, inputs: dict[str, Tensor]) -> Tensor:
        said = {"do": "residual", "window": step.window, "shift": step.shift, "halo": step.halo}
        # Without a halo only the last strip is another one, and that only with a shift.
        found = [
            self._branch_graph(step, inputs, above, below)
            for below in (0, step.halo or step.shift)
            for above in (0, step.halo)
        ]
        said |= {"graphs": [one["graph"] for one in found], "weights": found[0]["weights"]}
        return self._step(_changed(step, 0, 0, *inputs.values()), said, inputs)

    def _branch_graph(
        self, step: Residual, inputs: dict[str, Tensor], above: int, below: int
    ) -> dict[str, Any]:
        """As `_graph`, but traced only once for layers that are alike: there are many."""
        branch: Any = step.branch  # a module, or a method of one
        parts: tuple[nn.Module, ...] = step.norm, getattr(branch, "__self__", branch)
        own = [tensor for part in parts for tensor in part.parameters()]
        key = *map(_structure, parts), step.shift, above, below
        if key not in self._alike:
            change = partial(_changed, step, above, below)
            context = above + below if step.halo else 0
            found = self._graph(change, inputs, step.window, context)
            places = {self._place(tensor): number for number, tensor in enumerate(own)}
            self._alike[key] = found["graph"], [places[place] for place in found["weights"]]
        graph, order = self._alike[key]
        return {"graph": graph, "weights": [self._place(own[number]) for number in order]}

    # What they have in common.

    def finish(self) -> None:
        """Say which maps are needed no more after each step."""
        needed = {self.program.result}
        for step in reversed(self.program.steps):
            used = {*step["from"], step["to"], *step["whole"].values()}
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

    def _step(
        self, y: Tensor, step: dict[str, Any], inputs: dict[str, Tensor], scale: int = 1
    ) -> Tensor:
        """Write a step down, by which y comes from the inputs."""
        maps = {name: self._map(tensor) for name, tensor in inputs.items()}
        first = maps.pop("x")
        onto = maps.pop("onto", first)
        if step["do"] in ("add", "residual"):
            self._remember(y, onto)
        else:
            self._new(y, scale * self.program.maps[first]["scale"])
        self.program.result = self._map(y)
        said = {"from": [first], **step, "to": self._map(y), "whole": maps}
        self.program.steps.append(said)
        return y

    def _graph(
        self,
        f: Callable[..., Tensor],
        inputs: dict[str, Tensor],
        window: int = 1,
        context: int = 0,
    ) -> dict[str, Any]:
        """`graph` and `weights` of a step that does f to rows of its maps."""
        traced = _traced(self._network, f, list(inputs.values()), window, context)
        weights, kind = _weights(traced)
        number = self._kinds.setdefault(kind, len(self._kinds))
        if number == len(self.program.graphs):
            given = [name for name, _ in weights]
            self.program.graphs.append(weightless_onnx(traced, list(inputs), given))
        return {"graph": number, "weights": [self._place(tensor) for _, tensor in weights]}

    def _place(self, tensor: Tensor) -> int:
        """Of a weight among all; layers may share it."""
        if id(tensor) not in self._places:
            self._places[id(tensor)] = len(self.program.weights)
            self.program.weights.append(tensor)
        return self._places[id(tensor)]


def _statistics(*known: Tensor) -> Statistics | None:
    """Of what a graph takes under that name."""
    return Statistics(*known[0].chunk(2, -1)) if known else None


def _changed(step: Residual, above: int, below: int, rows: Tensor, *known: Tensor) -> Tensor:
    """What a residual branch makes of rows of the stream, rolled already if it is shifted.

    above, below: rows of context; with a shift, `below` says just that there are more.
    """
    stats, bottom = _statistics(*known), not below
    if not step.halo:
        below = 0
    part = Rows(step.norm.normalize(rows, stats), above, below, bottom, rolled=step.shift)
    y = step.norm.rescale(step.branch(part), stats)
    return (part.crop(rows) + y).to(rows.dtype)


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
    network: Backbone,
    f: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    window: int,
    context: int,
) -> ExportedProgram:
    """f of rows (1, h + context, W, C) of maps, for any h and W in whole windows."""
    rows, columns = 3 * max(window, 3), 4 * max(window, 3)
    height, width = Dim("rows"), Dim("columns")
    if window > 1:
        height, width = window * height, window * width
    dims = {1: height + context if context else height, 2: width}
    whole = [x.shape[1] == 1 for x in inputs]
    sample = [
        x if one else torch.zeros(1, rows + context, columns, x.shape[3], dtype=x.dtype)
        for x, one in zip(inputs, whole, strict=True)
    ]
    shapes = tuple(None if one else dims for one in whole)
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
