"""A network as OpenVINO computes it, in the precision that is asked for or suits it."""

import logging

import torch

from iln.backbones import Backbone
from iln.deploy.openvino.network import compiled, supported_precisions
from iln.images.sample_pictures import draw_sample_picture
from iln.layers.forward_pass import Strips
from iln.restoration.precision import TRIAL_SIDE

SAFE = 59.0
"""dB from float32 that a choice of ours has to keep: what rounding to 8 bits costs."""

log = logging.getLogger("iln")


def compile_for(model: Backbone, precision: str) -> tuple[Backbone, str]:
    """The network as OpenVINO computes it, and in which precision.

    Args:
        model: on the CPU, in float32.
        precision: as `compiled` takes it, or `auto`: bf16 where the CPU has it and a test picture
            stays within 59 dB of float32, else fp32. bf16 and fp16, where the CPU has no
            instructions for them, are fp32 after one line of the log.
    """
    if precision in ("bf16", "fp16") and precision not in supported_precisions():
        log.info("this CPU has no instructions for %s, so OpenVINO computes in fp32", precision)
        precision = "fp32"
    if precision != "auto":
        return compiled(model, precision, model.ranges), precision
    if "bf16" in supported_precisions():
        image = draw_sample_picture(TRIAL_SIDE).image(model.spec.in_chans)
        fast, strips = compiled(model, "bf16"), Strips(TRIAL_SIDE)
        with torch.inference_mode():
            noise = (fast(image, strips) - model(image, strips)).double().square().mean()
        if noise.isfinite() and noise <= 10 ** (-SAFE / 10):
            return fast, "bf16"
        log.info("in bf16 the model is too far from float32, so it runs in fp32")
    return compiled(model, "fp32"), "fp32"
