"""Graphs of whole networks, as `iln export --to openvino` and `iln quantize` write them.

OpenVINO computes everything, the residual stream too, and in one piece: faster than strips, in
memory that grows with the picture.
"""

import logging
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from iln.atomic import printable
from iln.deploy.export.openvino_file import read_graph
from iln.deploy.openvino.network import NUMBERS, supported_precisions
from iln.deploy.openvino.programs import compiler
from iln.errors import InputError
from iln.layers.forward_pass import WHOLE, ForwardPass
from iln.restoration.memory import in_words

log = logging.getLogger("iln")
_WIDTHS = 20
"""Maps as wide as the network that a graph holds at the worst moment: measured, rounded up."""


class WholeGraph(nn.Module):
    """A graph in a network's place: image (1, C, H, W) -> (1, C, scale H, scale W).

    Args:
        file: the .xml; its .bin lies beside it.
        precision: what to compute in where it is not quantised; `auto`, or `int8` for a quantised
            graph: bf16 where the CPU has it. bf16 or fp16 that it does not have is fp32, after one
            line of the log.

    Raises:
        InputError: for anything but such a file, for a precision that the CPU does not have, and
            where openvino is missing.
    """

    def __init__(self, file: str | os.PathLike[str], precision: str) -> None:
        super().__init__()
        graph, self.spec, card = read_graph(Path(file))
        self.name = printable(file)
        self.task: str | None = card.get("task")
        quantized = card["precision"] == "int8"
        here = [name for name in supported_precisions() if name != "int8"]
        usual = precision == "auto" or (precision == "int8" and quantized)
        chosen = ("bf16" if "bf16" in here else "fp32") if usual else precision
        if chosen in ("bf16", "fp16") and chosen not in here:
            log.info("this CPU has no instructions for %s, so %s runs in fp32", chosen, self.name)
            chosen = "fp32"
        if chosen not in here:
            raise InputError(
                f"{self.name} cannot be computed in {chosen!r} here; accepted: {', '.join(here)}"
                + ("; `iln quantize` makes a graph for int8" if chosen == "int8" else "")
            )
        self.precision: str = "int8" if quantized else chosen
        """What the record says: `int8` for a quantised graph, whatever the rest is in."""
        self._itemsize = 4 if chosen == "fp32" else 2
        self._shape = graph.inputs[0].get_partial_shape()
        self._run: Any = compiler(NUMBERS[chosen])(graph)

    def check(self, height: int, width: int, budget: int) -> None:
        """Raises InputError for a picture that is too large, or not of the graph's only size."""
        own = self._shape[2], self._shape[3]
        if any(
            side.is_static and side.get_length() != given
            for side, given in zip(own, (height, width), strict=True)
        ):
            raise InputError(
                f"{self.name} is for pictures of {own[1]} x {own[0]} pixels alone, not "
                f"{width} x {height}; export it without --size"
            )
        per_pixel = (_WIDTHS * self.spec.embed_dim + self.spec.scores()) // self.spec.unshuffle**2
        needed = height * width * per_pixel * self._itemsize
        if needed > budget:
            raise InputError(
                f"{self.name} computes pictures in one piece, and {width} x {height} pixels need "
                f"about {in_words(needed)}, {in_words(budget)} are free; the model itself with "
                "--engine openvino goes in strips"
            )

    def forward(self, image: Tensor, run: ForwardPass = WHOLE) -> Tensor:
        """What the graph computes.

        Args:
            run: not asked; a graph has its own way.
        """
        return torch.from_numpy(self._run([image.contiguous().numpy()])[0])
