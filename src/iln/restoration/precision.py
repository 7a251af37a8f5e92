"""Precision selection: `auto` picks the fastest precision that is safe for the network."""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from iln.backbones import Backbone
from iln.backbones.residual_stream import stream_powers
from iln.errors import InputError
from iln.images.sample_pictures import draw_sample_picture
from iln.restoration.half_precision import NAMES, PrecisionTrial

SAFE = 50.0
"""dB from float32 that half precision has to keep; rounding to 8 bits alone is 59."""
TRIAL_SIDE = 64
"""Of the picture that is tried: a blink, and every kind of window is in it."""

log = logging.getLogger("iln")


def choose(model: Backbone, device: torch.device) -> str:
    """`fp32` on a CPU, where half precision is no faster; elsewhere as `safe_half` says.

    Args:
        model: on that device, in float32. One line of the log tells where fp16 is not safe.
    """
    if device.type == "cpu":
        return "fp32"
    wide = device.type != "cuda" or torch.cuda.is_bf16_supported()
    precision, why = safe_half(model, device, bf16=wide)
    if why:
        log.info("%s", why)
    return precision


@torch.inference_mode()
def safe_half(model: Backbone, device: torch.device, *, bf16: bool) -> tuple[str, str]:
    """`fp16` if a test picture comes out finite and within 50 dB of float32, else `bf16` if the
    device has it and the same holds, else `fp32`; and why it is not fp16 ("" if it is)."""
    image = draw_sample_picture(TRIAL_SIDE).image(model.spec.in_chans).to(device)
    expected = model(image)
    tried = {"fp16": torch.float16, **({"bf16": torch.bfloat16} if bf16 else {})}
    reason = ""
    for name, dtype in tried.items():
        fault = _fault(model, dtype, image, expected)
        if not fault:
            return name, reason and f"{reason}, so it runs in {name}{_advice(model)}"
        if name == "fp16":
            reason = fault
    return "fp32", f"{reason}, so it runs in fp32{_advice(model)}"


@torch.inference_mode()
def unsafe_in_fp16(model: Backbone) -> str:
    """Why float16 cannot hold a network, found as by `safe_half`, with advice; "" if it can."""
    image = draw_sample_picture(TRIAL_SIDE).image(model.spec.in_chans)
    fault = _fault(model, torch.float16, image, model(image))
    return fault and fault + _advice(model)


def _fault(model: Backbone, dtype: torch.dtype, image: Tensor, expected: Tensor) -> str:
    trial = PrecisionTrial(model, dtype)
    trial(image, expected)
    run = trial.result()
    if not run.nonfinite and run.psnr is not None and run.psnr >= SAFE:
        return ""
    name = NAMES[dtype]
    what = f"overflows {name}" if run.nonfinite else f"keeps {run.psnr:.0f} dB in {name}"
    return f"the model {what}" + (f" at {run.first_module}" if run.first_module else "")


def _advice(model: Backbone) -> str:
    try:
        stream_powers(model)
    except InputError:  # its stream cannot be divided
        return ""
    return "; `iln rescue` may make it safe for fp16"
