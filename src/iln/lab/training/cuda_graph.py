"""A network's forward and backward pass as two CUDA graphs.

A small Transformer is thousands of short kernels, which Python starts more slowly than a GPU runs
them. Recorded once, each pass is started as a whole.
"""

from contextlib import AbstractContextManager
from typing import cast

import torch
from torch import Tensor, nn

from iln.backbones import Backbone
from iln.deploy.export.graph import SingleInput
from iln.layers.forward_pass import WHOLE, ForwardPass


class CUDAGraphPass(nn.Module):
    """Stands in for a network on CUDA, for images of one shape, with all pixels at once.

    The network's own parameters are read where they lie, and its gradients are the graph's own
    memory: they have to be used before the next step, so steps cannot be accumulated. Nothing in
    the network may wait for the GPU or look at its numbers, and no hook is called.

    Args:
        image: (B, C, H, W) of any content.
        amp: the autocast it will be called under, which must not cache what it casts: the casts are
            part of the graph.
    """

    def __init__(self, model: Backbone, image: Tensor, amp: AbstractContextManager[object]) -> None:
        super().__init__()
        before = [buffer.clone() for buffer in model.buffers()]
        with amp:
            # A wrapper: recording leaves the network's own `forward` as it is.
            self._replay = torch.cuda.make_graphed_callables(SingleInput(model), (image,))
        with torch.no_grad():  # recording ran the network: forget what BatchNorm saw
            for buffer, value in zip(model.buffers(), before, strict=True):
                buffer.copy_(value)

    def forward(self, image: Tensor, run: ForwardPass = WHOLE) -> Tensor:
        assert run is WHOLE
        return cast(Tensor, self._replay(image))
