"""A network as one graph of operations, which other programs can run without our code.

The networks' own modules are traced (`torch.export`). What cannot be traced as it is, because it
works in pieces, overwrites a map or has a backward of its own, asks `torch.compiler.is_exporting`
and does the same in plain operations: `iln.kernels.moments`, `iln.layers.attention` and
`iln.layers.pad`.
Padding to whole windows, the statistics of the whole picture, the masks of shifted windows and the
position bias all lie inside the graph.
"""

import copy
import re

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from iln.backbones import Backbone
from iln.errors import InputError

IMAGE, RESTORED = "image", "restored"
"""Names of a graph's input and output."""
PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16}
MOST_PIXELS = 1 << 26
"""Of a fixed size: tracing needs no memory for it, but a typing error should not pass."""

Size = tuple[int, int]
"""(height, width) in pixels."""


class SingleInput(nn.Module):
    """One argument and one result, whatever else a network's forward can take."""

    def __init__(self, network: Backbone) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        restored: Tensor = self.network(image)
        return restored


def trace(model: Backbone, size: Size | None = None, precision: str = "fp32") -> ExportedProgram:
    """The graph of a network: `image` (1, C, H, W) float32 in [0, 1] -> (1, C, scale H, scale W).

    The result is not clamped. The model stays as it is.

    Args:
        size: (H, W) of a graph for pictures of that size alone; None: any size. (PyTorch itself
            runs such a graph only on pictures higher and wider than two windows.)
        precision: `fp32`, or `fp16`: weights and features in float16; statistics, softmax, pooling,
            input and output in float32.

    Raises:
        InputError: for a size or precision that is not accepted, and for a model that is none of
            our backbones.
    """
    if not isinstance(model, Backbone):
        raise InputError(f"{type(model).__name__} is none of our backbones")
    if precision not in PRECISIONS:
        raise InputError(f"no precision {precision!r} here; accepted: {', '.join(PRECISIONS)}")
    spec, dynamic = model.spec, None
    if size is None:
        # Neither whole windows nor a square, lest the tracer take that for a rule.
        window = spec.window * spec.unshuffle
        shape = 3 * window - 2, 4 * window - 3
        dynamic = {IMAGE: {2: Dim.DYNAMIC, 3: Dim.DYNAMIC}}
    else:
        shape = size
        if min(size) < 1 or size[0] * size[1] > MOST_PIXELS:
            raise InputError(f"size is {size[0]}x{size[1]}; accepted: 1x1 to 2^26 pixels")
    network = copy.deepcopy(model).to("cpu", PRECISIONS[precision]).eval().requires_grad_(False)
    image = torch.zeros(1, spec.in_chans, *shape)
    with torch.no_grad():
        return torch.export.export(SingleInput(network), (image,), dynamic_shapes=dynamic)


def parse_shape(text: str) -> Size:
    """`HxW`, such as 256x384, in pixels. Raises InputError for anything else."""
    match = re.fullmatch(r"(\d{1,6})[x×](\d{1,6})", str(text).strip())
    if match is None or not int(match[1]) or not int(match[2]):
        raise InputError(f"size {text!r} is not of the form HxW in pixels, such as 256x384")
    return int(match[1]), int(match[2])
