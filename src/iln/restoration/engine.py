"""Which engine `auto` means: decided by the network and the processor, never by a clock.

So the same command gives the same pixels. What is measured (docs/results/precision.md): OpenVINO
against PyTorch in float32, both in strips, on x86 processors with and without AVX-512.
"""

from __future__ import annotations

import platform
from importlib.util import find_spec

import torch

from iln.backbones import Spec, name_of

FASTER_BY_OPENVINO = {"swinir": 32, "hat": 96, "drct": 180}
"""Backbones that OpenVINO computes faster than PyTorch, and the least width (embed_dim) for which
that was measured: on one core 1.5 to 2.3 times (HAT: 1.3 to 1.75) in float32; with AVX2 alone not
for pictures of 128x128 pixels, and it is ready a second later than PyTorch."""


def choose_engine(spec: Spec, device: torch.device, precision: str) -> str:
    """`openvino` or `torch`.

    Args:
        spec: of the network.
        device: where PyTorch would compute.
        precision: what was asked for: int8 is OpenVINO's, and fp16 on a CPU PyTorch's, to see what
            it does to a model.
    """
    if precision == "int8":
        return "openvino"
    least = FASTER_BY_OPENVINO.get(name_of(spec))
    suits = (
        device.type == "cpu"
        and precision != "fp16"
        and least is not None
        and spec.embed_dim >= least
        and platform.machine().lower() in ("x86_64", "amd64")
    )
    return "openvino" if suits and find_spec("openvino") is not None else "torch"
